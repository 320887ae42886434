"""A stream whose shards roll over and split while it is written and read: only the simulator has one.

Three who know nothing of each other read it: boto3, which is shown the whole tree; our own server, by Subscribe; and the
model, which counts for itself. What they get is one set, and each key's changes are in order.
"""

import json
import re
import urllib.request

import pytest

from support.client import horizon
from support.server import QUICK
from support.tree import by_boto3, by_us, is_in_order, numbers, tree, write
from support.upstreams import Simulator, Table
from support.waiting import until

# A shard lives half a second; records are kept for longer than a test takes.
QUICK_SHARDS = ("--time-scale", "1000", "--rollover", "500s", "--retention", "200h", "--no-stream-limits")
WRITES = 600


@pytest.fixture
def simulator():
    """A simulator whose shards are short-lived, with a port to control it by."""
    upstream = Simulator(*QUICK_SHARDS, "--control-listen", "127.0.0.1:0")
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


def control(simulator, path):
    """Asks the control port; what it says."""
    pattern = re.compile(r"control: (http://127\.0\.0\.1:\d+)")
    found = until(lambda: list(filter(None, map(pattern.search, simulator.process.lines))), "the control port")
    with urllib.request.urlopen(found[0].group(1) + path) as answer:
        return answer.read().decode()


def test_all_who_read_get_the_same_through_splits_and_rollovers(simulator, table, client, capsys):
    subscription = client.subscribe(table.stream_arn, horizon(), timeout=120)
    write(table, WRITES)
    ours, theirs = by_us(subscription, WRITES), by_boto3(table)
    (state,) = json.loads(control(simulator, "/state"))["streams"]
    shards = tree(table)
    parents = [shard["ParentShardId"] for shard in shards.values() if "ParentShardId" in shard]
    splits = len(parents) - len(set(parents))
    with capsys.disabled():
        print(
            f"\n  written {WRITES}; by our server {len(ours)}, by boto3 {len(theirs)}, by the model {state['records']};"
            f" {len(shards)} shards, {splits} splits"
        )
    assert numbers(ours) == numbers(theirs) and len(ours) == len(theirs) == state["records"] == WRITES
    assert len(shards) > 12 and splits > 0
    # Numbers rise over all shards of the simulator: so boto3's are in order by them.
    assert is_in_order(ours) and is_in_order(sorted(theirs, key=lambda record: int(record[2])))
    assert not subscription.events("gap") and len(subscription.events("shard_end")) > 4
