"""What is shown to programmers does what it says: the examples, and the lines in README.md."""

import re
import sys

import pytest

from support import contract, upstreams
from support.example import Example
from support.process import Process
from support.upstreams import ROOT, bare_environment
from support.waiting import until


@pytest.fixture(params=["python", "node", "go"])
def example(request, table, server, tmp_path):
    """Starts the example of a language on the test's table, always with the same file for its token."""
    started = []

    def start():
        try:
            started.append(Example(table, tmp_path / "token", server, request.param))
        except upstreams.Missing as missing:
            if upstreams.REQUIRED:
                raise
            pytest.skip(str(missing))
        return started[-1]

    yield start
    for program in started:
        program.kill()


def test_it_prints_every_record_and_goes_on_after_it_was_killed(example, table, tmp_path):
    printed, written = [], []
    for life in range(3):
        written += table.put_many(f"life {life}", 5)
        program = example()
        program.wait_for(f"life {life} 4")
        # The token comes within a second of the record that it covers, and with each heartbeat.
        token = tmp_path / "token"
        until(token.exists, "a token")
        program.kill()
        printed += [re.search(r"life \d+ \d+", line)[0] for line in program.lines("pk")]
    assert list(dict.fromkeys(printed)) == written


def shown(heading):
    """The Python that README.md shows under a heading."""
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


@pytest.mark.parametrize("heading", ["The smallest client", "Whole streams"])
def test_the_lines_in_the_readme_print_every_record(server, table, heading):
    code = shown(heading)
    assert code.count("localhost:50051") == 1
    keys = table.put_many("item", 3)
    command = [sys.executable, "-c", code.replace("localhost:50051", server.address), table.name]
    process = Process("README.md", command, bare_environment(PYTHONPATH=contract.FOLDER, PYTHONUNBUFFERED="1"))
    try:
        process.wait_for(lambda: any(keys[-1] in line for line in process.lines), "the last record")
        assert [key for line in process.lines for key in re.findall(r'"(item \d)"', line)] == keys
    finally:
        process.kill()
