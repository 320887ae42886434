"""The upstreams, each a process on a free loopback port, and tables in them, by boto3.

- **dynoxide** is what `shardstream dev` embeds; here it is reached from outside like any other endpoint.
- **MiniStack** is the best behaved: iterators expire, records are trimmed, a disabled stream ends.
- **moto** is the hostile one: HTML answers with status 500, unfiltered children, numbers as they were written.

None of them splits shards, throttles or pages a listing: the scripted fake of the Rust tests does, and

- **the simulator**, `shardstream simulate`, here for most tests with one shard that lives on and without limits, as the others.
"""

import os
import pathlib
import shutil
import uuid

import boto3
from botocore.config import Config

from . import values
from .process import Process, accepts, free_port
from .waiting import until

ROOT = pathlib.Path(__file__).resolve().parents[3]
REGION = "eu-west-1"
REQUIRED = os.environ.get("CI") == "true" or os.environ.get("SHARDSTREAM_FOREIGN") == "required"


class Missing(Exception):
    """A program that the suite needs is not there. A skip at a desk, a failure in CI."""


def program(variable, *places):
    """The first of the places that exists, unless an environment variable names another."""
    for place in filter(None, (os.environ.get(variable), *places)):
        found = shutil.which(str(place))
        if found:
            return found
    raise Missing(f"{places[0]} is not there: run tests/foreign/run, or set {variable}")


def shardstream():
    """The server's binary."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return program("SHARDSTREAM_BIN", target / "debug" / "shardstream")


def bare_environment(**more):
    """An environment that no profile, proxy or endpoint of the machine reaches into, with credentials that mean nothing."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "foreign",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
        **more,
    }


class Upstream:
    """A running upstream."""

    closes_shards = False
    """Whether a disabled stream's shard ends and can be drained."""
    claims_an_end = False
    """Whether an open shard has an ending sequence number."""
    tells_key_schema = True
    """Whether DescribeStream has the table's key."""
    numbers_as_written = False
    """Whether numbers come back as they were written, instead of normalised."""
    pages_streams = True
    """Whether ListStreams keeps to the asked number."""
    settles = False
    """Whether a stream is ENABLING and DISABLING for a while."""
    empty_pages = 0
    """How many empty pages may come before records."""
    containers = values.CONTAINERS
    """How many lists and maps it lets lie around a value."""
    item_bytes = values.ITEM_BYTES
    """How large it lets an item be."""

    def __init__(self):
        self.process = None
        self.endpoint = None

    def boto3(self, service):
        """A boto3 client of this upstream. Keeps to itself what the environment says of AWS."""
        session = boto3.session.Session(
            aws_access_key_id="123456789012", aws_secret_access_key="foreign", region_name=REGION
        )
        config = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=60, max_pool_connections=20)
        return session.client(service, endpoint_url=self.endpoint, config=config)

    def stop(self):
        """Kills it."""
        if self.process is not None:
            self.process.kill()

    def _answers(self):
        self.boto3("dynamodbstreams").list_streams(Limit=1)
        return True


class MiniStack(Upstream):
    """MiniStack from PyPI. With `clock`, a file under libfaketime tells it the time."""

    name = "ministack"
    closes_shards = True

    def __init__(self, clock=None):
        super().__init__()
        python = program("MINISTACK_PYTHON", ROOT / ".venv-ministack" / "bin" / "python")
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        environment = bare_environment(GATEWAY_PORT=str(port), **(clock.environment() if clock else {}))
        # The program of that name listens on every address; its application does not have to.
        command = [python, "-m", "hypercorn", "ministack.app:app", "-b", f"127.0.0.1:{port}"]
        self.process = Process(self.name, command, environment)
        self.process.wait_for(lambda: accepts(port), "listening")
        self._answers()


class Moto(Upstream):
    """moto's server from PyPI."""

    name = "moto"
    numbers_as_written = True
    pages_streams = False
    containers = values.CONTAINERS + 1
    item_bytes = 400_000

    def __init__(self):
        super().__init__()
        server = program("MOTO_SERVER", ROOT / ".venv-moto" / "bin" / "moto_server")
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.process = Process(self.name, [server, "-H", "127.0.0.1", "-p", port], bare_environment())
        self.process.wait_for(lambda: accepts(port), "listening")
        self._answers()


class Dynoxide(Upstream):
    """What `shardstream dev` embeds, without its demo."""

    name = "dynoxide"
    claims_an_end = True
    tells_key_schema = False

    def __init__(self):
        super().__init__()
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        command = [shardstream(), "dev", "--quiet", "--write-rate", "0", "--listen", "127.0.0.1:0"]
        command += ["--admin-listen", "off", "--dynamodb-port", port]
        self.process = Process(self.name, command, bare_environment())
        self.process.wait_for(lambda: accepts(port), "listening")
        self._answers()


class Simulator(Upstream):
    """`shardstream simulate`; `flags` make it more than the one lasting shard that the others have."""

    name = "simulator"
    closes_shards = True
    settles = True
    empty_pages = 3
    LASTING = ("--shards", "1", "--rollover", "1000h", "--no-stream-limits")

    def __init__(self, *flags):
        super().__init__()
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        command = [shardstream(), "simulate", "--dynamodb-port", port, *(flags or self.LASTING)]
        self.process = Process(self.name, command, bare_environment())
        self.process.wait_for(lambda: accepts(port), "listening")
        self._answers()


KINDS = {kind.name: kind for kind in (Dynoxide, MiniStack, Moto, Simulator)}


class Table:
    """A table with a stream, and its one shard."""

    def __init__(self, upstream, view="NEW_AND_OLD_IMAGES", range_key=False):
        self.upstream = upstream
        # Some emulators make the shard's id from the table's name, and boto3 refuses one under 28 characters.
        self.name = f"foreign-{uuid.uuid4().hex[:16]}"
        self._dynamodb = upstream.boto3("dynamodb")
        self._streams = upstream.boto3("dynamodbstreams")
        self._keys = [("pk", "HASH")] + ([("sk", "RANGE")] if range_key else [])
        self._create(view)

    def _create(self, view):
        self._dynamodb.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in self._keys],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in self._keys],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
        )
        self.stream_arn = until(self._latest_stream, "the table's stream")
        self.shard_id = until(self.shards, "the stream's shard")[0]["ShardId"]

    def _latest_stream(self):
        return self._dynamodb.describe_table(TableName=self.name)["Table"].get("LatestStreamArn")

    def drop(self):
        """Deletes the table."""
        self._dynamodb.delete_table(TableName=self.name)

    def make_anew(self, view="NEW_AND_OLD_IMAGES"):
        """Makes the table again after it was dropped; `stream_arn` and `shard_id` are the new stream's from then on."""
        self._create(view)

    def put(self, key, **attributes):
        """Puts an item with a string key."""
        self.put_item({"pk": {"S": key}, **attributes})

    def put_item(self, item):
        """Puts a whole item."""
        self._dynamodb.put_item(TableName=self.name, Item=item)

    def put_many(self, prefix, count):
        """Puts `count` small items, one after the other, and returns their keys."""
        keys = [f"{prefix} {number}" for number in range(count)]
        for number, key in enumerate(keys):
            self.put(key, number={"N": str(number)})
        return keys

    def delete(self, key):
        """Deletes an item."""
        self._dynamodb.delete_item(TableName=self.name, Key={"pk": {"S": key}})

    def disable_stream(self):
        """Ends the stream."""
        self._dynamodb.update_table(TableName=self.name, StreamSpecification={"StreamEnabled": False})
        self._settle(self.stream_arn, "DISABLED")

    def enable_stream(self, view="NEW_AND_OLD_IMAGES"):
        """Starts a new stream, and returns its ARN."""
        specification = {"StreamEnabled": True, "StreamViewType": view}
        self._dynamodb.update_table(TableName=self.name, StreamSpecification=specification)
        new = until(lambda: self._latest_stream() != self.stream_arn and self._latest_stream(), "the new stream")
        self._settle(new, "ENABLED")
        return new

    def _settle(self, stream_arn, status):
        """Waits for a stream to be what it was asked to become."""
        if self.upstream.settles:
            until(lambda: self.describe(stream_arn)["StreamStatus"] == status, f"a stream that is {status}")

    def describe(self, stream_arn=None, **more):
        """What boto3 says of this or another stream; `more` is for a page of it."""
        return self._streams.describe_stream(StreamArn=stream_arn or self.stream_arn, **more)["StreamDescription"]

    def shards(self):
        """What boto3 says of its shards."""
        return self.describe()["Shards"]

    def records(self, stream_arn=None, shard_id=None):
        """Every record that boto3 reads from the beginning of the shard up to its tip or end, of this or another stream."""
        answer = self._streams.get_shard_iterator(
            StreamArn=stream_arn or self.stream_arn, ShardId=shard_id or self.shard_id, ShardIteratorType="TRIM_HORIZON"
        )
        iterator, records, empty = answer.get("ShardIterator"), [], 0
        while iterator:
            page = self._streams.get_records(ShardIterator=iterator, Limit=1000)
            records += page["Records"]
            empty = 0 if page["Records"] else empty + 1
            # Of most emulators an empty page is the tip: they have none before records.
            iterator = page.get("NextShardIterator") if empty <= self.upstream.empty_pages else None
        return records
