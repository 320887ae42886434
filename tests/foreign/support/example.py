"""The examples, run as their readers would run them."""

import sys

from . import contract
from .process import Process
from .upstreams import ROOT, bare_environment, program


INSTALLED = ROOT / "target" / "foreign"


def command(language):
    """How an example is started, but for its arguments."""
    match language:
        case "python":
            return [sys.executable, ROOT / "examples" / "python" / "follow.py"]
        case "node":
            program("NODE_PACKAGES", INSTALLED / "node" / "node_modules" / ".bin" / "proto-loader-gen-types")
            return [program("NODE", "node"), ROOT / "examples" / "node" / "follow.js"]
        case "go":
            return [program("GO_EXAMPLE", INSTALLED / "go" / "follow")]
        case "java":
            program("JAVA", "java")
            return [program("JAVA_EXAMPLE", INSTALLED / "java-example" / "follow")]


class Example:
    """`examples/*/follow` on a table of that name, with its token in a file of the test's."""

    def __init__(self, table, token_file, address, language="python"):
        arguments = [*command(language), table, token_file, address]
        modules = str(INSTALLED / "node" / "node_modules")
        environment = bare_environment(PYTHONPATH=contract.FOLDER, PYTHONUNBUFFERED="1", NODE_PATH=modules)
        self.process = Process(f"example in {language}", arguments, environment)

    def lines(self, text=""):
        """What it printed, as far as it has the text in it."""
        return [line for line in self.process.lines if text in line]

    def wait_for(self, text, count=1):
        """Waits until so many lines have the text in them, and returns them."""
        return self.process.wait_for(lambda: len(self.lines(text)) >= count and self.lines(text), f"{count} times {text!r}")

    def kill(self):
        """kill -9."""
        self.process.kill()
