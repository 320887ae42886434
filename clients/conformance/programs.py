"""What a language's users write, run as they would: the loop of its README and its examples.

python clients/conformance/programs.py target/debug/shardstream --loop NAME=COMMAND --copy NAME=COMMAND ...

The server is killed in the midst of a loop, and so is the program: nothing comes twice, nothing is missing.

--loop    run as `COMMAND HOST:PORT TABLE TOKEN_FILE [CA CERTIFICATE KEY]`, prints a line for each record, with its key
--copy    run as `COMMAND TABLE FILE HOST:PORT`, copies a table into the file; as `COMMAND FILE` it prints a line for
          each item, whose last word is how often it was changed
--losses  run as `COMMAND tell|stop TABLE TOKEN_FILE HOST:PORT`, tells losses in their place, or stops at each
"""

import argparse
import asyncio
import pathlib
import re
import shlex
import subprocess
import tempfile
import threading
import time

from server import RECORDS, Server, Writer, certificates, until
from stage import Stage

BEFORE = [{"shard": "a", "records": [1], "token": "t1"}]
GAP = {
    "gap": {"shardId": "a", "afterSequenceNumber": "1", "cause": "GAP_CAUSE_TRIMMED", "certain": True},
    "token": "t2",
}
UNREADABLE = {"unreadable": {"shardId": "a", "sequenceNumber": "8", "cause": "broken"}, "shardToken": "a8"}
AFTER = [{"shard": "a", "records": [9], "token": "t3"}]
TRIMMED = [{"end": {"reason": "END_REASON_GAP"}, "token": "t2"}, {"status": {"code": "OUT_OF_RANGE"}}]
NUMBER = re.compile(r"\bn\b\D*(\d+)")
"""The attribute `n` of a printed key, in whatever way a language prints it."""


class Loop:
    """A program that a user would write: the loop of README.md, with this server and table."""

    def __init__(self, command, server, table, folder):
        self._command = [*command, f"127.0.0.1:{server.port}", table, str(pathlib.Path(folder) / f"{table}.token")]
        if server.tls is not None:
            self._command += [server.tls[name] for name in ("ca", "certificate", "key")]
        self.numbers = []
        self.start()

    def start(self):
        """Runs it."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=[self._process], daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            # A program that is killed may leave half a line.
            if line.endswith("\n"):
                self.numbers.append(int(NUMBER.search(line)[1]))

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process.wait()


def server_killed(program, command, name, with_tls=False):
    """The server is killed three times."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as pem:
        server = Server(program, folder, certificates(pem) if with_tls else None)
        try:
            writer = Writer(server, "numbers")
            loop = Loop(command, server, "numbers", folder)
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
            how = ", mutual TLS" if with_tls else ""
            print(f"{name}{how}: server killed 3 times, {RECORDS} records, none twice, none missing")
        finally:
            server.end()


def client_killed(program, command, name):
    """The program is killed, and goes on from what it stored: nothing is missing, and little comes again."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder)
        try:
            Writer(server, "numbers")
            loop = Loop(command, server, "numbers", folder)
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


def copied(program, command, name):
    """The example that copies is killed: its copy has each change once all the same."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder)
        try:
            Writer(server, "numbers")
            file = str(pathlib.Path(folder) / "copy")
            # Looked at while it does not run, for a file may be its own.
            times = 0
            while times < 3 or len(changes(command, file)) < RECORDS:
                process = subprocess.Popen([*command, "numbers", file, f"127.0.0.1:{server.port}"])
                time.sleep(1.5 + times / 4)  # Some languages take a while to begin.
                process.kill()
                process.wait()
                times += 1
                assert times < 30, f"{len(changes(command, file))} items after {times} times"
            assert changes(command, file) == ["1"] * RECORDS, changes(command, file)
            print(f"{name}: program killed {times} times, {RECORDS} items copied, each once")
        finally:
            server.end()


def changes(command, file):
    """How often each item was changed."""
    printed = subprocess.run([*command, file], capture_output=True, text=True).stdout
    return [line.split()[-1] for line in printed.splitlines()]


async def printed(command, way, script):
    """What the example of losses prints: against a script, for `shardstream dev` loses nothing."""
    async with Stage(script) as stage:
        with tempfile.TemporaryDirectory() as folder:
            process = await asyncio.create_subprocess_exec(
                *command, way, "orders", f"{folder}/token", stage.target, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await asyncio.wait_for(process.communicate(), 30)
        asked = [call.request.get("token") for call in stage.calls]
    return output.decode().splitlines(), asked


async def losses(command, name):
    """Both ways of the example."""
    script = [{"call": "Subscribe", "play": [*BEFORE, GAP, UNREADABLE, *AFTER]}]
    lines, _ = await printed(command, "tell", script)
    wanted = ["a: 1", "a: lost records after 1", "a: record 8 cannot be read: broken", "a: 9"]
    assert lines == wanted, lines
    script = [{"call": "Subscribe", "play": [*BEFORE, GAP, *TRIMMED]}, {"call": "Subscribe", "play": AFTER}]
    lines, asked = await printed(command, "stop", script)
    assert [line.split(" ")[0] for line in lines] == ["a:", "accepted:", "a:"] and asked == [None, "t2"], (lines, asked)
    print(f"{name}: losses told in their place, and accepted")


def main():
    """All that are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    kinds = ("loop", "copy", "losses")
    for kind in kinds:
        parser.add_argument(f"--{kind}", action="append", default=[], metavar="NAME=COMMAND")
    given = parser.parse_args()
    loops, copies, told = (
        [(shlex.split(command), name) for name, _, command in (one.partition("=") for one in getattr(given, kind))]
        for kind in kinds
    )
    for number, loop in enumerate(loops):
        server_killed(given.server, *loop)
        client_killed(given.server, *loop)
        if number == 0:
            server_killed(given.server, *loop, with_tls=True)
    for copy in copies:
        copied(given.server, *copy)
    for example in told:
        asyncio.run(losses(*example))


if __name__ == "__main__":
    main()
