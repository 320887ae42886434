"""What streams cost a client in memory: many that wait for records, and one whose program does not read on.

python clients/bench/memory.py target/debug/shardstream NAME=COMMAND ... [--streams 1000]

A command gets `SERVER TABLE STREAMS`. With 0 streams it makes one call and prints a line. With more it opens so many
from the newest record on, reads each for ever, and prints a line when every one has had a message. With `slow` it opens
one from the oldest record on, takes a message, prints a line, and reads no more. Then it stays as it is.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
from server import Server

from bench import TABLE, fill

SETTLED = 4
"""Seconds after which what is on its way has come."""


def mebibytes(command, server, what):
    """Resident memory of the program."""
    words = [*shlex.split(command), f"127.0.0.1:{server.port}", TABLE, str(what)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline(), f"{command}: ended"
        time.sleep(SETTLED)
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024
    finally:
        process.kill()
        process.wait()


def main():
    """All that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("clients", nargs="+", metavar="NAME=COMMAND")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--records", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(given.server, folder)
        try:
            fill(server, given.records)
            for name, _, command in (client.partition("=") for client in given.clients):
                idle, slow = mebibytes(command, server, 0), mebibytes(command, server, "slow")
                few, many = mebibytes(command, server, given.streams // 10), mebibytes(command, server, given.streams)
                print(
                    f"{name}: {idle:.0f} MiB without a stream, {slow:.0f} with a slow one, {few:.0f} with "
                    f"{given.streams // 10}, {many:.0f} with {given.streams} "
                    f"({(many - idle) * 1024 / given.streams:.0f} KiB each)",
                    flush=True,
                )
        finally:
            server.end()


if __name__ == "__main__":
    main()
