"""`shardstream serve` over an upstream, as a process."""

import re
import signal

from .process import Process
from .upstreams import bare_environment, shardstream

_ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")

QUICK = ["--idle-poll-interval", "100ms", "--shard-calls-per-second", "100"]
"""An emulator bears more calls than AWS allows, and nobody wants to wait for an idle second in each test."""


class Server:
    """A running server. `address` is its gRPC address, `admin` its admin address."""

    def __init__(self, endpoint, *flags, clock=None, name="server"):
        command = [shardstream(), "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        command += ["--aws-endpoint-url", endpoint, *flags]
        environment = bare_environment(**(clock.environment() if clock else {}))
        self.process = Process(name, command, environment)
        self.address, self.admin = self.process.wait_for(self._ready, "the ready line")

    def _ready(self):
        # The one line that names both bound addresses. The upstream's has other lines, or none.
        for line in list(self.process.lines):
            ports = _ADDRESS.findall(line)
            if len(ports) == 2 and "0" not in ports:
                return tuple(f"127.0.0.1:{port}" for port in ports)
        return None

    def kill(self):
        """kill -9."""
        self.process.kill()

    def terminate(self):
        """SIGTERM; does not wait."""
        self.process.signal(signal.SIGTERM)
