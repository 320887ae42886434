"""Fixtures: upstreams that stay up for the whole run, servers over them, and tables.

`tests/foreign/run` sets everything up and runs the suite; its arguments are pytest's. What is missing is a skip at a desk
and a failure in CI.
"""

import time
import types

import pytest

from support import process, upstreams, values
from support.clock import Clock
from support.client import Client
from support.server import QUICK, Server
from support.upstreams import KINDS, Missing, MiniStack, Table
from support.waiting import a_later_second_than


def _or_skip(build, *arguments, **named):
    try:
        return build(*arguments, **named)
    except Missing as missing:
        if upstreams.REQUIRED:
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def running():
    """Upstreams and servers that are started once, when first asked for."""
    found = {}

    def start(key, build, *arguments):
        if key not in found:
            found[key] = _or_skip(build, *arguments)
        return found[key]

    yield start
    process.kill_all()


@pytest.fixture(scope="session")
def grpcurl_program():
    """Where grpcurl is."""
    return _or_skip(upstreams.program, "GRPCURL", upstreams.ROOT / "target" / "foreign" / "bin" / "grpcurl", "grpcurl")


@pytest.fixture(scope="session", params=sorted(KINDS))
def upstream(request, running):
    """Each of the upstreams in turn."""
    return running(request.param, KINDS[request.param])


@pytest.fixture(scope="session")
def server(upstream, running):
    """A server over the upstream, for tests that leave it as it was."""
    return running(f"server over {upstream.name}", lambda: Server(upstream.endpoint, *QUICK))


@pytest.fixture(scope="session")
def client(server):
    """A client of that server."""
    client = Client(server.address)
    yield client
    client.close()


@pytest.fixture
def table(upstream):
    """A new, empty table with a stream."""
    return Table(upstream)


@pytest.fixture(scope="session")
def written(upstream, running):
    """A table with everything in it, which nobody writes to any more: see `_write_everything`."""
    return running(f"table in {upstream.name}", _write_everything, upstream)


def _write_everything(upstream):
    """Inserts, changes and removes every item; then, at least a second later, inserts 30 small ones.

    Returns the table, its `records` as boto3 reads them, and `middle`, a time between the two parts.
    """
    table = Table(upstream)
    items = values.items(upstream.containers, upstream.item_bytes)
    for item in items.values():
        table.put_item(item)
    for number, item in enumerate(items.values()):
        # As long as before: the large one has no byte to spare.
        changed = {**item, "text": {"S": "y" + item["text"]["S"][1:]}} if "text" in item else {**item, "changed": {"N": "1"}}
        table.put_item(changed)
        if number % 2:
            table.delete(item["pk"]["S"])
    table.delete("large")
    middle = a_later_second_than(time.time())
    table.put_many("later", 30)
    # So that now is a time after the last record.
    a_later_second_than(time.time())
    return types.SimpleNamespace(
        table=table, items=items, records=table.records(), middle=middle, stream_arn=table.stream_arn, shard_id=table.shard_id
    )


@pytest.fixture
def servers():
    """Starts servers that end with the test: `servers(upstream, *flags)`."""
    started = []

    def start(upstream, *flags, **named):
        started.append(Server(upstream.endpoint, *(flags or QUICK), **named))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def clients():
    """Makes clients that end with the test: `clients(server)`."""
    made = []

    def make(server):
        made.append(Client(server.address))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def ministack(running):
    """The MiniStack that the whole run shares."""
    return running(MiniStack.name, MiniStack)


@pytest.fixture
def clock(tmp_path):
    """A clock that can be moved."""
    return _or_skip(Clock, tmp_path)


@pytest.fixture
def clocked_ministack(clock):
    """A MiniStack of the test's own, by that clock."""
    upstream = _or_skip(MiniStack, clock)
    yield upstream
    upstream.stop()
