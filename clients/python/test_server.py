"""The loop of README.md against the real server, which is killed in the midst: nothing comes twice, nothing is missing.

python clients/python/test_server.py target/debug/shardstream
"""

import contextlib
import os
import pathlib
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import boto3
import botocore.exceptions
import trustme
from botocore.config import Config

HERE = pathlib.Path(__file__).parent
RECORDS = 300


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`shardstream dev` on a folder that outlives it; with `tls` a `shardstream serve` before it is killed."""

    def __init__(self, program, folder, tls=None):
        self.tls, self._processes = tls, []
        self.port, self.dynamodb = free_port(), free_port()
        listen = f"127.0.0.1:{self.port}"
        quiet = ["--admin-listen", "off"]
        dev = [
            program,
            "dev",
            "--data-dir",
            folder,
            "--dynamodb-port",
            str(self.dynamodb),
            "--write-rate",
            "0",
            "--quiet",
        ]
        self._command = [*dev, *quiet, "--listen", listen]
        if tls is not None:
            self._start([*dev, *quiet, "--listen", "127.0.0.1:0"])
            aws = ["--aws-endpoint-url", f"http://127.0.0.1:{self.dynamodb}", "--aws-fake-credentials"]
            files = ["--tls-cert", tls["server"], "--tls-key", tls["server_key"], "--tls-client-ca", tls["ca"]]
            self._command = [program, "serve", *aws, *files, *quiet, "--listen", listen]
        self.start()

    def _start(self, command):
        environment = {**os.environ, "AWS_REGION": "eu-west-1"}
        quiet = subprocess.DEVNULL
        self._processes.append(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet))

    def start(self):
        """Starts it, and waits until it listens."""
        self._start(self._command)
        until(lambda: accepts(self.port) and accepts(self.dynamodb), "the server listens")

    def kill(self):
        """kill -9."""
        process = self._processes.pop()
        process.kill()
        process.wait()

    def end(self):
        """Kills all of it."""
        while self._processes:
            self.kill()


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
        if server.tls is not None:
            files = {name: server.tls[name] for name in ("ca", "certificate", "key")}
            block = block.replace(f':{server.port}"', f':{server.port}", tls=__import__("shardstream").Tls(**{files})')
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
            # A program that is killed may leave half a line.
            if line.endswith("\n"):
                self.numbers.append(int(re.search(r"Decimal\('(\d+)'\)", line)[1]))

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process.wait()


def certificates(folder):
    """Files for TLS on both sides."""
    ca = trustme.CA()
    files = {name: str(pathlib.Path(folder) / f"{name}.pem") for name in ("ca", "server", "certificate")}
    files |= {"server_key": f"{folder}/server.key", "key": f"{folder}/client.key"}
    ca.cert_pem.write_to_path(files["ca"])
    for name, key, issued in (
        ("server", "server_key", ca.issue_cert("localhost", "127.0.0.1")),
        ("certificate", "key", ca.issue_cert("client@example.org")),
    ):
        issued.private_key_pem.write_to_path(files[key])
        for part in issued.cert_chain_pems:
            part.write_to_path(files[name], append=True)
        os.chmod(files[key], 0o600)
    return files


def server_killed(program, number, name, with_tls=False):
    """The server is killed three times."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as pem:
        server = Server(program, folder, certificates(pem) if with_tls else None)
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
            server.end()


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
            server.end()


def copied(program, name):
    """examples/python/into_table.py is killed: its copy has each change once all the same."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder)
        try:
            Writer(server, name)
            example, file = (
                HERE.parents[1] / "examples" / "python" / "into_table.py",
                pathlib.Path(folder) / "copy.sqlite",
            )
            command = [sys.executable, example, name, file, f"127.0.0.1:{server.port}"]
            for part in (RECORDS // 3, RECORDS * 2 // 3, RECORDS):
                process = subprocess.Popen(command)
                until(lambda part=part: len(rows(file)) >= part, f"{part} items")
                process.kill()
                process.wait()
            assert rows(file) == [(1,)] * RECORDS, rows(file)
            print(f"{name}: program killed twice, {RECORDS} items, each once")
        finally:
            server.end()


def rows(file):
    """How often each item was changed."""
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT changes FROM items").fetchall()
    return []


if __name__ == "__main__":
    for kind, block in (("blocking", 0), ("asyncio", 1)):
        server_killed(sys.argv[1], block, f"server-killed-{kind}")
        client_killed(sys.argv[1], block, f"client-killed-{kind}")
    server_killed(sys.argv[1], 0, "server-killed-mutual-tls", with_tls=True)
    copied(sys.argv[1], "copied-into-sqlite")
