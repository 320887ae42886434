"""What a record costs the process of a program: clients against the loop of AWS's SDK in the same language, by turns.

python clients/bench/bench.py target/release/shardstream \
    "Go=SDK for Go:clients/bench/go/bin/client:clients/bench/go/bin/sdk" \
    "Python=boto3:python clients/bench/python/client.py:python clients/bench/python/sdk.py" \
    "TypeScript=SDK for JavaScript:node clients/bench/typescript/client.js:node clients/bench/typescript/sdk.js"

Each pair is NAME=NAME OF THE PEER:COMMAND:COMMAND OF THE PEER; NAME/build in this folder, where there is one, makes
the commands. Upstream is `shardstream dev`: the client asks the server, the SDK the DynamoDB behind it.

A command gets `SERVER DYNAMODB TABLE RECORDS`, reads so many records of the table's stream to warm up and prints a
line; at each line of its input it reads them again from the oldest on, every field in the language's own types, and
prints {"records", "cpu": seconds of its process, all threads}.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "conformance"))
from server import Server

TABLE = "bench"


def item(number):
    """An item of about 1 KB, of eleven attributes of eight types."""
    return {
        "id": {"S": f"item-{number:08}"},
        "customer": {"S": f"customer-{number % 997}"},
        "note": {"S": 'She said "hello", twice: ' + "lorem ipsum dolor sit amet " * 10},
        "price": {"N": str(number % 100000 / 100)},
        "count": {"N": str(number)},
        "paid": {"BOOL": number % 2 == 0},
        "cancelled": {"NULL": True},
        "picture": {"B": bytes(range(64))},
        "tags": {"SS": ["blue", "large", f"tag-{number % 13}"]},
        "address": {"M": {"street": {"S": "High Street 12"}, "city": {"S": "Springfield"}, "zip": {"N": "12345"}}},
        "lines": {"L": [{"M": {"sku": {"S": f"sku-{n}"}, "n": {"N": str(n)}}} for n in range(4)]},
    }


def fill(server, records):
    """Writes the records: every third changes the item before it, so that it has an old image."""
    import boto3

    client = boto3.client(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{server.dynamodb}",
        region_name="eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    puts = [item(number - 1) | {"count": {"N": "-1"}} if number % 3 == 2 else item(number) for number in range(records)]
    while puts:
        # An item stands once in a batch; the twentieth is never followed by its change.
        batch, puts = puts[:1], puts[1:]
        while puts and len(batch) < 25 and all(put["id"] != puts[0]["id"] for put in batch):
            batch.append(puts.pop(0))
        client.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": put}} for put in batch]})


class Reader:
    """A program that reads."""

    def __init__(self, command, server, records):
        self._records = records
        places = f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.dynamodb}"
        self._process = subprocess.Popen(
            [*shlex.split(command), *places, TABLE, str(records)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process.stdout.readline()

    def read(self):
        """Microseconds of CPU a record, and records a second."""
        begun = time.monotonic()
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        got = json.loads(self._process.stdout.readline())
        assert got["records"] == self._records, got
        return got["cpu"] / self._records * 1e6, self._records / (time.monotonic() - begun)

    def end(self):
        """Ends it."""
        self._process.kill()
        self._process.wait()


def main():
    """All pairs, one after the other; in each, the client and its peer by turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("pairs", nargs="+")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    for build in {pathlib.Path(__file__).parent / pair.partition("=")[0].lower() / "build" for pair in given.pairs}:
        if build.exists():
            subprocess.run([build], check=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(given.server, folder)
        try:
            fill(server, given.records)
            for pair in given.pairs:
                compare(pair, server, given)
        finally:
            server.end()


def compare(pair, server, given):
    """Prints what both cost."""
    name, _, rest = pair.partition("=")
    peer, *commands = rest.split(":")
    readers = [Reader(command, server, given.records) for command in commands]
    rounds = [[reader.read() for reader in readers] for _ in range(given.rounds)]
    for number, who in enumerate((name, peer)):
        costs, rates = zip(*(both[number] for both in rounds), strict=True)
        print(f"{who}: {spread(costs)} us of CPU a record, {spread(rates, 0)} records/s")
    print(f"{name} / {peer}, CPU a record: {spread([one[0] / other[0] for one, other in rounds], 3)}")
    for reader in readers:
        reader.end()


def spread(values, digits=2):
    """The median, the least and the most."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
