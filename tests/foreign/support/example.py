"""The Python example, run as its reader would run it."""

import sys

from . import contract
from .process import Process
from .upstreams import ROOT, bare_environment


class Example:
    """`examples/python/follow.py` on a table, with its token in a file of the test's."""

    def __init__(self, table, token_file, server):
        command = [sys.executable, ROOT / "examples" / "python" / "follow.py", table.name, token_file, server.address]
        environment = bare_environment(PYTHONPATH=contract.FOLDER, PYTHONUNBUFFERED="1")
        self.process = Process("example", command, environment)

    def lines(self, text=""):
        """What it printed, as far as it has the text in it."""
        return [line for line in self.process.lines if text in line]

    def wait_for(self, text, count=1):
        """Waits until so many lines have the text in them, and returns them."""
        return self.process.wait_for(lambda: len(self.lines(text)) >= count and self.lines(text), f"{count} times {text!r}")

    def kill(self):
        """kill -9."""
        self.process.kill()
