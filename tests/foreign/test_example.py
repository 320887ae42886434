"""What is shown to programmers does what it says: the examples, and the lines in README.md."""

import re
import sys

import grpc
import pytest

from support import contract as c
from support import upstreams
from support.example import Example
from support.process import Process
from support.scripted import Scripted, end, gap, records
from support.upstreams import ROOT, bare_environment
from support.waiting import until


@pytest.fixture(params=["python", "node", "go", "java"])
def example(request, tmp_path):
    """Starts the example of a language, always with the same file for its token."""
    started = []

    def start(table, address):
        try:
            started.append(Example(table, tmp_path / "token", address, request.param))
        except upstreams.Missing as missing:
            if upstreams.REQUIRED:
                raise
            pytest.skip(str(missing))
        return started[-1]

    yield start
    for program in started:
        program.kill()


def test_it_prints_every_record_and_goes_on_after_it_was_killed(example, table, server, tmp_path):
    printed, written = [], []
    for life in range(3):
        written += table.put_many(f"life {life}", 5)
        program = example(table.name, server.address)
        program.wait_for(f"life {life} 4")
        # The token comes within a second of the record that it covers, and with each heartbeat.
        token = tmp_path / "token"
        until(token.exists, "a token")
        program.kill()
        printed += [re.search(r"life \d+ \d+", line)[0] for line in program.lines("pk")]
    assert list(dict.fromkeys(printed)) == written


@pytest.fixture
def scripted():
    """Starts a server with a script."""
    started = []

    def start(*answers):
        started.append(Scripted(*answers))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_it_tells_losses_and_comes_again_when_the_server_ends_the_stream(example, scripted, tmp_path):
    code = grpc.StatusCode
    server = scripted(
        ([records("1", token="one"), gap("1", True, "two"), end(c.END_REASON_GAP, "two")], code.OUT_OF_RANGE),
        ([gap("", False, "three"), records("5"), end(c.END_REASON_GAP, "four")], code.OUT_OF_RANGE),
        ([end(c.END_REASON_DRAINING, "five", delay=0.2)], code.UNAVAILABLE),
        # It says when to come again, whatever its status.
        ([records("6"), end(c.END_REASON_SHARD_LIMIT, "six", delay=0.2)], code.RESOURCE_EXHAUSTED),
        # The server breaks off, and says nothing.
        ([records("7", token="seven")], code.UNAVAILABLE),
        ([records("8", token="eight")], None),
    )
    program = example("Orders", server.address)
    assert program.process.wait() == 0
    program.process.kill()
    told = [line for line in program.lines() if "shardId-1" in line]
    assert [re.search(r"shardId-1 (\d|lost|may have lost)", line)[1] for line in told] == [
        "1", "lost", "may have lost", "5", "6", "7", "8"
    ]  # fmt: skip
    assert server.asked[0].stream == "Orders"
    assert server.asked[0].position.iterator_type == c.ITERATOR_TYPE_TRIM_HORIZON
    assert [request.token for request in server.asked[1:]] == ["two", "four", "five", "six", "seven"]
    assert (tmp_path / "token").read_text() == "eight"


def test_it_does_not_come_again_for_what_stays_as_it_is(example, scripted, tmp_path):
    server = scripted(([records("1", token="one"), end(c.END_REASON_UNREADABLE, "two")], grpc.StatusCode.DATA_LOSS))
    program = example("Orders", server.address)
    assert program.process.wait() != 0
    program.process.kill()
    assert len(server.asked) == 1
    assert (tmp_path / "token").read_text() == "two"


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
    process = Process("README.md", command, bare_environment(PYTHONPATH=c.FOLDER, PYTHONUNBUFFERED="1"))
    try:
        process.wait_for(lambda: any(keys[-1] in line for line in process.lines), "the last record")
        assert [key for line in process.lines for key in re.findall(r'"(item \d)"', line)] == keys
    finally:
        process.kill()
