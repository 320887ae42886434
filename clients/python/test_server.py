"""The loop of README.md against the real server, which is killed in the midst: nothing comes twice, nothing is missing.

python clients/python/test_server.py target/debug/shardstream
"""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import boto3
import botocore.exceptions
from botocore.config import Config

HERE = pathlib.Path(__file__).parent
RECORDS = 300


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`shardstream dev` on a folder that outlives it."""

    def __init__(self, program, folder):
        self.port, self.dynamodb = free_port(), free_port()
        self._command = [program, "dev", "--data-dir", folder, "--listen", f"127.0.0.1:{self.port}"]
        self._command += [
            "--dynamodb-port",
            str(self.dynamodb),
            "--admin-listen",
            "off",
            "--write-rate",
            "0",
            "--quiet",
        ]
        self.start()

    def start(self):
        """Starts it, and waits until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: accepts(self.port) and accepts(self.dynamodb), "the server listens")

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process.wait()


def accepts(port):
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition, what, within=60):
    """Waits for it."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.02)


class Writer:
    """Writes items 0, 1, 2, ... to a table, each once, whatever becomes of the server."""

    def __init__(self, server, table):
        config = Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=5)
        self._db = boto3.resource(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{server.dynamodb}",
            region_name="eu-west-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=config,
        )
        self.table = self._db.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "n", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.written = 0
        threading.Thread(target=self._write, daemon=True).start()

    def _write(self):
        while self.written < RECORDS:
            with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                # A write whose answer was lost is not made again.
                if "Item" not in self.table.get_item(Key={"n": self.written}, ConsistentRead=True):
                    self.table.put_item(Item={"n": self.written, "text": f"item {self.written}"})
                self.written += 1
            time.sleep(0.005)


class Loop:
    """A program that a user would write: a block of README.md, with this server and table."""

    def __init__(self, number, server, table, folder):
        block = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.DOTALL)[number]
        for old, new in (("localhost:50051", f"127.0.0.1:{server.port}"), ('"orders"', f'"{table}"')):
            assert old in block
            block = block.replace(old, new)
        block = block.replace("orders.token", str(pathlib.Path(folder) / f"{table}.token"))
        if "async with" in block:
            imports, _, body = block.partition("\n\n")
            block = (
                f"import asyncio\n{imports}\nasync def main():\n{textwrap.indent(body, '    ')}\nasyncio.run(main())\n"
            )
        self._block, self.numbers = block, []
        self.start()

    def start(self):
        """Runs it."""
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", self._block], stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        threading.Thread(target=self._read, args=[self._process], daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            self.numbers.append(int(re.search(r"Decimal\('(\d+)'\)", line)[1]))

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process.wait()


def server_killed(program, number, name):
    """The server is killed three times."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder)
        try:
            writer = Writer(server, name)
            loop = Loop(number, server, name, folder)
            for part in (1, 2, 3):
                until(lambda part=part: len(loop.numbers) >= part * RECORDS // 4, "records")
                server.kill()
                time.sleep(0.3)
                server.start()
            until(lambda: len(loop.numbers) >= RECORDS, "all records")
            time.sleep(0.5)
            loop.kill()
            assert loop.numbers == list(range(RECORDS)), f"{len(loop.numbers)} records: {loop.numbers}"
            assert writer.written == RECORDS
            print(f"{name}: server killed 3 times, {RECORDS} records, none twice, none missing")
        finally:
            server.kill()


def client_killed(program, number, name):
    """The program is killed, and goes on from what it stored: nothing is missing, and little comes again."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder)
        try:
            Writer(server, name)
            loop = Loop(number, server, name, folder)
            for part in (1, 2):
                until(lambda part=part: len(loop.numbers) >= part * RECORDS // 3, "records")
                loop.kill()
                time.sleep(0.2)
                loop.start()
            until(lambda: set(loop.numbers) == set(range(RECORDS)), "all records")
            loop.kill()
            print(f"{name}: program killed twice, {RECORDS} records, none missing, {len(loop.numbers) - RECORDS} again")
        finally:
            server.kill()


if __name__ == "__main__":
    for kind, block in (("blocking", 0), ("asyncio", 1)):
        server_killed(sys.argv[1], block, f"server-killed-{kind}")
        client_killed(sys.argv[1], block, f"client-killed-{kind}")
