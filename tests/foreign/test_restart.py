"""The server is killed or told to end under load, and its clients go on from their tokens."""

import itertools
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2

from support import contract as c
from support import same
from support.client import InBackground, horizon, span, start
from support.waiting import until

RECORDS = 900


class Load:
    """Writes to a table at a steady pace beside the test, at most RECORDS items."""

    def __init__(self, table):
        self._table = table
        self._stop = threading.Event()
        self.written = 0
        self._writing = InBackground(self._write)

    def _write(self):
        for number in range(RECORDS):
            if self._stop.wait(0.004):
                return
            self._table.put(f"item {number}", number={"N": str(number)})
            self.written += 1

    def stop(self):
        """Ends it, and returns how many items were written."""
        self._stop.set()
        self._writing.result()
        return self.written


@pytest.fixture
def load(table):
    """Load on the test's table, which ends with the test at the latest."""
    load = Load(table)
    yield load
    load.stop()


def follow(client, place, count):
    """Follows a table in the background until the server is gone, and returns the call once `count` records have come."""
    push = client.push(*place, max_batch_records=20, heartbeat_interval=span(1), timeout=120)
    following = InBackground(push._rest)
    until(lambda: len(push.records) >= count or following.is_done, f"{count} records")
    assert not following.is_done, following.result()
    return push, following


def test_nothing_is_lost_when_the_server_is_killed(upstream, table, load, servers, clients):
    messages, place = [], (table, horizon())
    for life in range(3):
        server = servers(upstream)
        push, following = follow(clients(server), place, 60)
        server.kill()
        error = following.result()
        assert push.end is None and error.code() == grpc.StatusCode.UNAVAILABLE
        messages += push.messages
        place = (None, push.token)
    count = load.stop()
    client = clients(servers(upstream))
    push = client.push(*place, until=c.Until(at_tip=True))
    push.drain()
    messages += push.messages
    received = [record for message in messages for record in message.records]
    assert len(received) == count
    same.assert_same(received, table.records())

    # Every token that was ever received resumes directly after what it covers: duplicates only come after it.
    covered = 0
    for number, message in enumerate(messages):
        covered += len(message.records)
        if number % 10 == 0 and covered < count:
            following = client.get(place=message.token, max_records=1).records
            assert same.sequence_numbers(following) == same.sequence_numbers(received[covered : covered + 1])


def test_nothing_is_lost_when_the_server_is_killed_under_unary_reads(upstream, table, load, servers, clients):
    received, place = [], (table, horizon())
    for life in range(3):
        server = servers(upstream)
        client = clients(server)
        lease = client.open(*place).lease.lease_id
        wanted = len(received) + 60
        while len(received) < wanted:
            answer = client.read(lease, max_records=20, wait=span(10))
            received += answer.records
            place = (table, answer.token)
        server.kill()
        with pytest.raises(grpc.RpcError) as failure:
            client.read(lease)
        assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
    load.stop()
    records, _ = clients(servers(upstream)).read_to_tip(*place)
    same.assert_same(received + records, table.records())


def follow_stream(client, place, count, **fields):
    """As `follow`, a whole stream."""
    subscription = client.subscribe(*place, **{"max_batch_records": 20, "timeout": 120, **fields})
    following = InBackground(subscription._rest)
    until(lambda: len(subscription.records) >= count or following.is_done, f"{count} records")
    assert not following.is_done, following.result()
    return subscription, following


def killed_under_load(upstream, table, servers, clients, keep, **fields):
    """Follows the table's stream through three lives of a server, and once more to the tip, resuming from what `keep` keeps."""
    lives, place = [], (table.name, horizon())
    for life in range(3):
        server = servers(upstream)
        subscription, following = follow_stream(clients(server), place, 60, **fields)
        server.kill()
        error = following.result()
        assert subscription.end is None and error.code() == grpc.StatusCode.UNAVAILABLE
        lives.append(subscription)
        place = ("", keep(subscription))
    return lives, place


def test_a_subscription_that_keeps_its_last_token_alone_loses_nothing_when_the_server_is_killed(
    upstream, table, load, servers, clients
):
    lives, place = killed_under_load(
        upstream, table, servers, clients, keep=lambda life: life.token, heartbeat_interval=span(1)
    )
    count = load.stop()
    last = clients(servers(upstream)).subscribe(*place, until=c.Until(at_tip=True))
    last.drain()
    received = []
    for life, following in zip(lives, lives[1:] + [last]):
        # What comes twice is what came after the token, from its first record on.
        left_behind = same.sequence_numbers(life.records[life.covered :])
        assert same.sequence_numbers(following.records[: len(left_behind)]) == left_behind
        received += life.records[: life.covered]
    received += last.records
    assert len(received) == count and not any(life.events("gap") for life in lives)
    same.assert_same(received, table.records())


def test_a_subscription_that_keeps_newer_shard_tokens_too_gets_nothing_twice_when_the_server_is_killed(
    upstream, table, load, servers, clients
):
    # Tokens of the stream are to be rare, so that those of its shards matter: on one message of a dozen or so.
    rare = {"checkpoint_interval": span(60), "heartbeat_interval": span(60), "max_batch_records": 1}
    lives, place = killed_under_load(upstream, table, servers, clients, keep=lambda life: life, **rare)
    assert any(life.shard_tokens for life in lives), "every record was covered by the stream's own token"
    count = load.stop()
    last = clients(servers(upstream)).subscribe(*place, until=c.Until(at_tip=True))
    last.drain()
    received = [record for life in lives + [last] for record in life.records]
    assert len(received) == count
    same.assert_same(received, table.records())


def test_a_subscription_is_handed_over_when_the_server_is_told_to_end(upstream, table, load, servers, clients):
    lives, place = [], (table.name, horizon())
    for life in range(2):
        server = servers(upstream)
        subscription, following = follow_stream(clients(server), place, 60)
        server.terminate()
        error = following.result()
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert subscription.end is not None and subscription.end.reason == c.END_REASON_DRAINING
        assert server.process.wait() == 0
        lives.append(subscription)
        place = ("", subscription.token)
    load.stop()
    last = clients(servers(upstream)).subscribe(*place, until=c.Until(at_tip=True))
    last.drain()
    # Nothing lost, and nothing twice: the last message's token covers everything.
    same.assert_same([record for life in lives + [last] for record in life.records], table.records())


def test_a_server_that_is_told_to_end_hands_its_clients_over(upstream, table, load, servers, clients):
    messages, place = [], (table, horizon())
    for life in range(2):
        server = servers(upstream)
        client = clients(server)
        push, following = follow(client, place, 60)
        watch = client.health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.terminate()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        # A watch has no end of its own, and the server would wait for it as long as it may.
        watch.cancel()
        error = following.result()
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert push.end is not None and push.end.reason == c.END_REASON_DRAINING
        assert server.process.wait() == 0
        messages += push.messages
        place = (None, push.token)
    load.stop()
    push = clients(servers(upstream)).push(*place, until=c.Until(at_tip=True))
    push.drain()
    received = [record for message in messages + push.messages for record in message.records]
    # Nothing lost, and nothing twice.
    same.assert_same(received, table.records())


def test_a_waiting_read_is_answered_at_once_when_the_server_is_told_to_end(upstream, table, servers, clients):
    server = servers(upstream)
    client = clients(server)
    token = client.get(table, horizon()).token
    lease = client.open(table, horizon()).lease.lease_id
    requests = [c.GetRecordsRequest(start=start(None, token), wait=span(30))]
    requests += [c.GetRecordsRequest(lease_id=lease, wait=span(30))]
    waiting = [client.shard.GetRecords.future(request) for request in requests]
    # On one connection they are under way when the server has answered calls that were made after them.
    for _ in range(3):
        assert client.serving()
    begun = time.monotonic()
    server.terminate()
    for answer in (call.result() for call in waiting):
        assert not answer.records and not answer.exhausted and answer.token
    assert server.process.wait() == 0
    assert time.monotonic() - begun < 15


def test_many_streams_all_get_their_end(upstream, table, servers, clients):
    keys = table.put_many("item", 20)
    server = servers(upstream)
    pushes = [clients(server).push(table, horizon(), max_batch_records=most) for most in itertools.islice(range(1, 21), 20)]
    for push in pushes:
        push.take(20)
    server.terminate()
    for push in pushes:
        push.drain()
        assert push.end.reason == c.END_REASON_DRAINING and same.keys(push.records) == keys
    assert server.process.wait() == 0
