"""Tokens that bloop itself took go on here at the same record: over MiniStack, which closes shards and pages as AWS does."""

import json
import pathlib
import subprocess

import grpc
import pytest

from support import contract as c
from support import same, upstreams
from support.client import Client, refused
from support.server import QUICK, Server
from support.upstreams import REGION, ROOT, Missing, Table, bare_environment, program

AT_TIP = c.Until(at_tip=True)
EVERYTHING = 1_000_000


@pytest.fixture(scope="session")
def bloop_python():
    """The interpreter of bloop's environment."""
    try:
        return program("BLOOP_PYTHON", ROOT / ".venv-bloop" / "bin" / "python")
    except Missing as missing:
        if upstreams.REQUIRED:
            raise
        pytest.skip(str(missing))


@pytest.fixture
def bloop(bloop_python, ministack):
    """Reads a table's stream with bloop: returns the token from where it stopped, and the numbers of what it read."""

    def read(table, reader, place, count):
        request = {"endpoint": ministack.endpoint, "region": REGION, "table": table.name}
        request |= {"with": reader, "place": place, "count": count}
        script = pathlib.Path(upstreams.__file__).with_name("bloop_reader.py")
        command = [bloop_python, script, json.dumps(request)]
        done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        return answer["token"], answer["numbers"]

    return read


@pytest.fixture
def client(ministack, running):
    """A client of a server over MiniStack."""
    server = running("server over ministack", lambda: Server(ministack.endpoint, *QUICK))
    client = Client(server.address)
    yield client
    client.close()


@pytest.fixture
def table(ministack):
    """A new table of MiniStack's with thirty records in its stream."""
    table = Table(ministack)
    table.put_many("item", 30)
    return table


def numbers(table):
    """The sequence numbers that boto3 reads."""
    return [record["dynamodb"]["SequenceNumber"] for record in table.records()]


def subscribed(client, token, **fields):
    """The sequence numbers that a subscription from bloop's token gives up to the tip."""
    subscription = client.subscribe("", json.dumps(token), until=AT_TIP, **fields)
    subscription.drain()
    assert subscription.end.reason == c.END_REASON_LIMIT and not subscription.events("gap")
    return same.sequence_numbers(subscription.records)


@pytest.mark.parametrize("reader", ["Stream", "Coordinator"])
@pytest.mark.parametrize("count", [0, 1, 11, 30])
def test_a_token_of_a_whole_stream_goes_on_at_the_same_record(client, bloop, table, reader, count):
    token, read = bloop(table, reader, "trim_horizon", count)
    assert read == numbers(table)[:count] and token["stream_arn"] == table.stream_arn
    table.put_many("later", 5)
    # What bloop reads from its own token: the same.
    _, following = bloop(table, reader, token, EVERYTHING)
    assert following == numbers(table)[count:]
    assert subscribed(client, token) == following
    assert subscribed(client, token, order=c.RECORD_ORDER_BY_TIME) == following


@pytest.mark.parametrize("count", [0, 30])
def test_a_token_of_one_shard_goes_on_at_the_same_record(client, bloop, table, count):
    token, read = bloop(table, "Shard", "trim_horizon", count)
    assert read == numbers(table)[:count] and token["shard_id"] == table.shard_id
    table.put_many("later", 5)
    _, following = bloop(table, "Shard", token, EVERYTHING)
    assert following[-5:] == numbers(table)[-5:]
    push = client.push(place=json.dumps(token), until=AT_TIP)
    push.drain()
    assert push.end.reason == c.END_REASON_LIMIT and not push.events("gap")
    assert same.sequence_numbers(push.records) == following
    records, _ = client.read_to_tip(None, json.dumps(token))
    assert same.sequence_numbers(records) == following


def test_a_token_at_the_latest_misses_nothing(client, bloop, table):
    token, read = bloop(table, "Stream", "latest", 10)
    assert not read
    table.put_many("later", 5)
    # It does not say when it was taken, so that everything which may be newer has to come.
    assert subscribed(client, token)[-5:] == numbers(table)[-5:]


def test_a_token_of_a_stream_that_was_disabled_drains_it(client, bloop, table):
    token, _ = bloop(table, "Stream", "trim_horizon", 12)
    table.disable_stream()
    subscription = client.subscribe("", json.dumps(token))
    subscription.drain()
    assert subscription.end.reason == c.END_REASON_STREAM_END
    assert same.sequence_numbers(subscription.records) == numbers(table)[12:]


def test_it_goes_on_with_tokens_of_our_own(client, bloop, table):
    token, _ = bloop(table, "Stream", "trim_horizon", 4)
    subscription = client.subscribe(table.name, json.dumps(token), until=c.Until(record_count=9))
    subscription.drain()
    rest = client.subscribe("", subscription.token, until=AT_TIP)
    rest.drain()
    assert same.sequence_numbers(subscription.records + rest.records) == numbers(table)[4:]


def test_the_one_is_not_taken_for_the_other(client, bloop, table):
    stream_token, _ = bloop(table, "Stream", "trim_horizon", 1)
    shard_token, _ = bloop(table, "Shard", "trim_horizon", 1)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TOKEN_WRONG_KIND"):
        client.subscribe("", json.dumps(shard_token)).drain()
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TOKEN_WRONG_KIND"):
        client.get(place=json.dumps(stream_token))
