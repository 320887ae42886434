"""Amazon's own consumer reads the simulator: the KCL, with AWS's adapter for DynamoDB Streams.

It was written against AWS and knows nothing of this project. Through rollovers, splits and a kill it has to deliver what was
written, as our server and the model say, children after their parents.
"""

import re

import pytest

from support import upstreams
from support.client import horizon
from support.process import Process
from support.server import QUICK
from support.tree import by_boto3, by_us, numbers, tree, write
from support.upstreams import ROOT, Simulator, Table, bare_environment
from support.waiting import until

# Shards live five seconds: the KCL takes a second or two to begin, and a tenth of one from parent to child.
STEADY_SHARDS = ("--time-scale", "1000", "--rollover", "5000s", "--retention", "200h", "--no-stream-limits")
WRITES = 600


@pytest.fixture(scope="module")
def witness():
    """How the KCL is started."""
    try:
        return upstreams.program("KCL_WITNESS", ROOT / "target" / "foreign" / "kcl" / "witness")
    except upstreams.Missing as missing:
        if upstreams.REQUIRED:
            raise
        pytest.skip(str(missing))


@pytest.fixture
def simulator():
    """A simulator, which is the KCL's lease store as well."""
    upstream = Simulator(*STEADY_SHARDS)
    yield upstream
    upstream.stop()


@pytest.fixture
def table(simulator):
    """A table in it."""
    return Table(simulator)


@pytest.fixture
def client(simulator, servers, clients):
    """A client of a server over it."""
    return clients(servers(simulator, *QUICK, "--upstream-at-timestamp", "yes"))


class Kcl:
    """A running witness: what came, in its own words."""

    def __init__(self, program, simulator, table, expect, order, app="witness"):
        self._order = order
        command = [program, "--leases", simulator.endpoint, "--streams", simulator.endpoint, "--arn", table.stream_arn]
        command += ["--app", app, "--expect", expect, "--order", order, "--seconds", "100", "--linger-ms", "2000"]
        self.process = Process("kcl", command, bare_environment())

    def delivered(self):
        """Every record delivered so far, as (shard, number); whole lines only."""
        text = self._order.read_text() if self._order.exists() else ""
        return [tuple(line.split(" ")) for line in text[: text.rfind("\n") + 1].splitlines()]

    def summary(self):
        """The numbers of its last words."""
        line = until(lambda: next((line for line in self.process.lines if line.startswith("complete ")), None), "the KCL", within=120)
        words = dict(re.findall(r"(\w+) (\S+)", line))
        assert words["complete"] == "true", self.process.lines
        return {name: int(word) for name, word in words.items() if word.lstrip("-").isdigit()}


def in_order(delivered):
    """Whether the numbers of each shard rise."""
    newest = {}
    for shard, number in delivered:
        if int(number) <= newest.get(shard, 0):
            return False
        newest[shard] = int(number)
    return True


def test_the_kcl_delivers_what_our_server_and_boto3_do(witness, simulator, table, client, tmp_path, capsys):
    subscription = client.subscribe(table.stream_arn, horizon(), timeout=180)
    write(table, WRITES // 2)
    kcl = Kcl(witness, simulator, table, WRITES, tmp_path / "order")
    until(kcl.delivered, "the KCL's first record", within=60)
    write(table, WRITES - WRITES // 2, first=WRITES // 2)
    summary = kcl.summary()
    ours, theirs = by_us(subscription, WRITES), by_boto3(table)
    delivered = kcl.delivered()
    with capsys.disabled():
        print(
            f"\n  written {WRITES}; by the KCL {len(delivered)}, by our server {len(ours)}, by boto3 {len(theirs)};"
            f" {len(tree(table))} shards, {summary['shards']} of them opened by the KCL"
        )
    assert numbers(delivered) == numbers(ours) == numbers(theirs)
    assert len(delivered) == WRITES and in_order(delivered)
    assert summary["disorder"] == summary["child_before_parent"] == summary["errors"] == 0
    assert summary["shards"] > 4


def test_the_kcl_killed_once_delivers_all_of_it(witness, simulator, table, tmp_path, capsys):
    write(table, WRITES)
    killed = Kcl(witness, simulator, table, WRITES, tmp_path / "killed")
    until(killed.delivered, "the KCL's first record", within=60)
    killed.process.kill()
    before = killed.delivered()
    rest = WRITES - len(numbers(before))
    after = []
    # On a slow machine it may have got through all of it, and noted that.
    if rest > 0:
        again = Kcl(witness, simulator, table, rest, tmp_path / "again")
        again.summary()
        after = again.delivered()
    with capsys.disabled():
        print(f"\n  written {WRITES}; by the KCL {len(before)} before it was killed, {len(after)} after")
    assert numbers(before) | numbers(after) == numbers(by_boto3(table))
    assert in_order(before) and in_order(after)
