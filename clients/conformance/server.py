"""The real server, which can be killed and started again, and somebody who writes to one of its tables."""

import contextlib
import os
import pathlib
import socket
import subprocess
import threading
import time

import boto3
import botocore.exceptions
import trustme
from botocore.config import Config

RECORDS = 300


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`shardstream dev` on a folder that outlives it; with `tls` a `shardstream serve` before it is killed.

    flags: more of that server.
    """

    def __init__(self, program, folder, tls=None, flags=()):
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
        self._command = [*dev, *quiet, *flags, "--listen", listen]
        if tls is not None:
            self._start([*dev, *quiet, "--listen", "127.0.0.1:0"])
            aws = ["--aws-endpoint-url", f"http://127.0.0.1:{self.dynamodb}", "--aws-fake-credentials"]
            files = ["--tls-cert", tls["server"], "--tls-key", tls["server_key"], "--tls-client-ca", tls["ca"]]
            self._command = [program, "serve", *aws, *files, *quiet, *flags, "--listen", listen]
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
