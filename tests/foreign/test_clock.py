"""Real expiry and real trimming: MiniStack and the server by a clock that is moved forward.

An iterator lives 15 minutes: the server heals its expiry, and nobody notices. Records live 24 hours: their loss is told
before anything newer, and where none is possible, none is told.
"""

import time

import grpc
import pytest

from support import contract as c
from support import same, values
from support.client import after, at_time, horizon, latest, refused, span
from support.example import Example
from support.server import QUICK
from support.upstreams import Table
from support.waiting import until

MINUTE, HOUR = 60, 3600


@pytest.fixture
def table(clocked_ministack):
    """A table of a MiniStack by the test's clock."""
    return Table(clocked_ministack)


@pytest.fixture
def client(clocked_ministack, clock, servers, clients):
    """A client of a server by the same clock."""
    return clients(servers(clocked_ministack, clock=clock))


def tip(client, table, place=None):
    """The token at the tip."""
    answer = client.get(table, place or horizon())
    while answer.records or not answer.at_tip:
        answer = client.get(place=answer.token)
    return answer.token


# Expiry


def test_an_expired_iterator_is_healed_under_a_stream(client, table, clock):
    table.put_many("before", 5)
    push = client.push(table, horizon(), heartbeat_interval=span(1))
    push.take(5)
    while not push.next_event("heartbeat").at_tip:
        pass
    for move in range(3):
        clock.move(16 * MINUTE)
        table.put_many(f"after move {move}", 5)
        push.take(5 * (move + 2))
    assert not push.events("gap") and not any(beat.upstream_error for beat in push.events("heartbeat"))
    push.cancel()
    same.assert_same(push.records, table.records())


def test_an_expired_iterator_is_healed_before_the_first_record(client, table, clock):
    push = client.push(table, horizon(), heartbeat_interval=span(1))
    while not push.next_event("heartbeat").at_tip:
        pass
    clock.move(16 * MINUTE)
    keys = table.put_many("first", 3)
    assert same.keys(push.take(3)) == keys
    push.cancel()


def test_an_expired_iterator_at_the_latest_loses_nothing(client, table, clock):
    table.put_many("before", 3)
    session = client.open(table, latest())
    push = client.push(table, latest(), heartbeat_interval=span(1))
    push.next_event("heartbeat")
    clock.move(16 * MINUTE)
    keys = table.put_many("after", 3)
    push.take(3)
    push.cancel()
    assert same.keys(push.records)[-3:] == keys
    received = []
    while received[-1:] != keys[-1:]:
        received += same.keys(client.read(session.lease.lease_id, wait=span(10)).records)
    assert received[-3:] == keys


def test_a_session_that_nobody_read_for_an_hour_reads_on(client, table, clock):
    keys = table.put_many("item", 10)
    lease = client.open(table, horizon(), lease_duration=span(3600)).lease.lease_id
    assert same.keys(client.read(lease, max_records=4).records) == keys[:4]
    clock.move(HOUR)
    assert same.keys(client.read(lease).records) == keys[4:]


# Trimming


@pytest.fixture
def trimmed(clocked_ministack, table, clock, servers, clients):
    """A token after the fourth of ten records that were all trimmed, before three new ones; and the numbers of all.

    The server that gave the token is gone: it had the records in memory, and would still deliver them.
    """
    server = servers(clocked_ministack, clock=clock)
    table.put_many("trimmed", 10)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in table.records()]
    token = clients(server).get(table, horizon(), max_records=4).token
    server.kill()
    clock.move(24 * HOUR + 30 * MINUTE)
    table.put_many("kept", 3)
    until(lambda: len(table.records()) == 3, "the upstream to trim")
    return token, numbers, [record["dynamodb"]["SequenceNumber"] for record in table.records()]


KEPT = ["kept 0", "kept 1", "kept 2"]


def test_a_gap_is_told_before_anything_newer_and_the_stream_goes_on(client, table, trimmed):
    token, numbers, kept = trimmed
    push = client.push(place=token, gap_policy=c.GAP_POLICY_CONTINUE, until=c.Until(record_count=3))
    push.drain()
    (gap,) = push.events("gap")
    assert gap.shard_id == table.shard_id and gap.cause == c.GAP_CAUSE_TRIMMED
    assert gap.after_sequence_number == numbers[3]
    assert gap.before_sequence_number in ("", kept[0])
    assert gap.HasField("detected_time") and gap.HasField("after_time")
    kinds = ["records" if message.records else message.WhichOneof("event") for message in push.messages]
    assert kinds.index("gap") < kinds.index("records")
    assert same.keys(push.records) == KEPT


def test_a_gap_ends_the_stream_unless_asked_otherwise_and_one_reconnect_goes_on(client, trimmed):
    token, _, _ = trimmed
    push = client.push(place=token)
    push.drain()
    assert push.end.reason == c.END_REASON_GAP and not push.records and len(push.events("gap")) == 1
    push = client.push(place=push.token, until=c.Until(record_count=3))
    push.drain()
    assert not push.events("gap") and same.keys(push.records) == KEPT


def test_a_read_of_trimmed_records_is_refused_with_the_token_behind_them(client, trimmed):
    token, _, _ = trimmed
    for _ in range(2):
        with refused(grpc.StatusCode.OUT_OF_RANGE, "RECORDS_TRIMMED") as metadata:
            client.get(place=token)
    assert same.keys(client.get(place=metadata["token"], wait=span(10)).records) == KEPT


def test_a_session_is_refused_trimmed_records_until_a_jump(client, table, trimmed):
    token, numbers, _ = trimmed
    with refused(grpc.StatusCode.OUT_OF_RANGE, "RECORDS_TRIMMED"):
        client.open(table, token)
    lease = client.open(table, horizon()).lease.lease_id
    assert same.keys(client.read(lease, max_records=1).records) == KEPT[:1]
    for place in ({"token": token}, {"position": after(numbers[3])}):
        with refused(grpc.StatusCode.OUT_OF_RANGE, "RECORDS_TRIMMED"):
            client.shard.JumpTo(c.JumpToRequest(lease_id=lease, **place))
    # What was refused has moved nothing.
    assert same.keys(client.read(lease, max_records=1).records) == KEPT[1:2]


def test_records_trimmed_under_a_session_are_a_loss_until_a_jump(client, table, clock):
    keys = table.put_many("trimmed", 10)
    lease = client.open(table, horizon(), lease_duration=span(3600)).lease.lease_id
    client.read(lease, max_records=4)
    clock.move(24 * HOUR + 30 * MINUTE)
    table.put_many("kept", 3)
    received = []
    with refused(grpc.StatusCode.OUT_OF_RANGE, "RECORDS_TRIMMED"):
        while received[-1:] != KEPT[-1:]:
            received += same.keys(client.read(lease, wait=span(5)).records)
    # What the server still had in memory was not lost. Behind that nobody can know.
    assert received in ([], keys[4:])
    with refused(grpc.StatusCode.OUT_OF_RANGE, "RECORDS_TRIMMED"):
        client.read(lease)
    client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=at_time(time.time() + clock.offset - HOUR)))
    assert same.keys(client.read(lease, wait=span(10)).records) == KEPT


def test_asking_for_the_trim_horizon_is_no_gap(client, table, trimmed):
    push = client.push(table, horizon(), until=c.Until(record_count=3))
    push.drain()
    assert not push.events("gap") and same.keys(push.records) == KEPT


# Whole streams


def told(subscription):
    """What came, in order, heartbeats aside."""
    events = [message.WhichOneof("event") or "records" for message in subscription.messages]
    return [event for event in events if event != "heartbeat"]


@pytest.fixture
def asleep(clocked_ministack, table, clock, servers, clients):
    """The token of a subscription that fell asleep after the fourth of ten records; all were trimmed before three new ones.

    With the numbers of both. The server is gone, as in `trimmed`.
    """
    server = servers(clocked_ministack, clock=clock)
    table.put_many("trimmed", 10)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in table.records()]
    subscription = clients(server).subscribe(table.name, horizon(), until=c.Until(record_count=4))
    subscription.drain()
    server.kill()
    clock.move(24 * HOUR + 30 * MINUTE)
    table.put_many("kept", 3)
    until(lambda: len(table.records()) == 3, "the upstream to trim")
    return subscription.token, numbers, [record["dynamodb"]["SequenceNumber"] for record in table.records()]


@pytest.mark.parametrize("order", [c.RECORD_ORDER_PER_SHARD, c.RECORD_ORDER_BY_TIME])
def test_a_subscription_that_slept_is_told_the_gap_before_anything_newer(client, table, asleep, order):
    token, numbers, kept = asleep
    options = {"gap_policy": c.GAP_POLICY_CONTINUE, "until": c.Until(record_count=3), "order": order}
    subscription = client.subscribe("", token, **options)
    subscription.drain()
    (gap,) = subscription.events("gap")
    assert gap.shard_id == table.shard_id and gap.cause == c.GAP_CAUSE_TRIMMED
    # The number that the upstream refused had been delivered: that those behind it are lost cannot be known from that.
    assert not gap.certain
    assert gap.after_sequence_number == numbers[3] and gap.before_sequence_number in ("", kept[0])
    assert gap.HasField("detected_time") and gap.HasField("after_time")
    assert told(subscription).index("gap") < told(subscription).index("records")
    assert same.keys(subscription.records) == KEPT


def test_a_gap_ends_a_subscription_unless_asked_otherwise_and_one_reconnect_goes_on(client, asleep):
    token, _, _ = asleep
    subscription = client.subscribe("", token)
    subscription.drain()
    assert subscription.end.reason == c.END_REASON_GAP and not subscription.records
    assert len(subscription.events("gap")) == 1
    subscription = client.subscribe("", subscription.token, until=c.Until(record_count=3))
    subscription.drain()
    assert not subscription.events("gap") and same.keys(subscription.records) == KEPT


def test_a_client_that_stopped_reading_until_records_were_trimmed_is_told_the_gap(
    clocked_ministack, table, clock, servers, clients
):
    # Far more than a connection and the server's memory hold, so that the rest stays upstream.
    client = clients(servers(clocked_ministack, *QUICK, "--window-bytes-per-shard", "1MiB", "--page-bytes", "1MiB", clock=clock))
    for number in range(60):
        table.put_item(values.large(f"trimmed {number}"))
    numbers = [record["dynamodb"]["SequenceNumber"] for record in table.records()]
    options = {"gap_policy": c.GAP_POLICY_CONTINUE, "heartbeat_interval": span(1), "timeout": 120}
    subscription = client.subscribe(table.name, horizon(), **options)
    subscription.take(1)
    clock.move(24 * HOUR + 30 * MINUTE)
    table.put_many("kept", 3)
    until(lambda: len(table.records()) == 3, "the upstream to trim")
    while same.keys(subscription.records)[-3:] != KEPT:
        next(subscription)
    subscription.cancel()
    delivered = same.sequence_numbers(subscription.records)[:-3]
    assert 0 < len(delivered) < len(numbers), "everything was under way before it was trimmed"
    (gap,) = subscription.events("gap")
    assert delivered == numbers[: len(delivered)] and gap.after_sequence_number == delivered[-1]
    assert [event for event in told(subscription) if event != "records"] == ["shard_open", "gap"]


def test_the_example_prints_the_gap_and_goes_on(clocked_ministack, clock, table, asleep, servers, tmp_path):
    token, numbers, _ = asleep
    (tmp_path / "token").write_text(token)
    example = Example(table.name, tmp_path / "token", servers(clocked_ministack, clock=clock).address)
    try:
        (gap,) = example.wait_for("may have lost records")
        assert gap == f"{table.shard_id} may have lost records after {numbers[3]}"
        example.wait_for("'kept 2'")
        assert ["kept" in line for line in example.lines()] == [False, True, True, True]
    finally:
        example.kill()


def test_a_subscription_from_the_trim_horizon_is_told_no_gap(client, table, asleep):
    subscription = client.subscribe(table.name, horizon(), until=c.Until(record_count=3))
    subscription.drain()
    assert not subscription.events("gap") and same.keys(subscription.records) == KEPT


def test_a_subscription_to_a_quiet_table_does_not_cry_loss(client, table, clock):
    table.put_many("seen", 5)
    at_tip = c.Until(at_tip=True)
    subscription = client.subscribe(table.name, horizon(), until=at_tip)
    subscription.drain()
    clock.move(2 * HOUR)
    subscription = client.subscribe("", subscription.token, until=at_tip)
    subscription.drain()
    clock.move(22 * HOUR + 30 * MINUTE)
    keys = table.put_many("new", 2)
    assert len(table.records()) == 2
    subscription = client.subscribe("", subscription.token, until=c.Until(record_count=2))
    subscription.drain()
    assert not subscription.events("gap") and same.keys(subscription.records) == keys


def test_a_subscription_that_stays_over_a_quiet_day_does_not_cry_loss(client, table, clock):
    table.put_many("seen", 5)
    subscription = client.subscribe(table.name, horizon(), heartbeat_interval=span(1), timeout=120)
    subscription.take(5)
    for _ in range(0, 26, 2):
        while not subscription.next_event("heartbeat").at_tip:
            pass
        clock.move(2 * HOUR)
    keys = table.put_many("new", 2)
    subscription.take(7)
    subscription.cancel()
    assert not subscription.events("gap") and same.keys(subscription.records)[5:] == keys


def test_an_expired_iterator_is_healed_under_a_subscription(client, table, clock):
    table.put_many("before", 5)
    subscription = client.subscribe(table.name, horizon(), heartbeat_interval=span(1), timeout=120)
    subscription.take(5)
    for move in range(2):
        while not subscription.next_event("heartbeat").at_tip:
            pass
        clock.move(16 * MINUTE)
        table.put_many(f"after move {move}", 5)
        subscription.take(5 * (move + 2))
    subscription.cancel()
    assert not subscription.events("gap")
    same.assert_same(subscription.records, table.records())


def test_a_stream_that_was_disabled_and_gone_while_nobody_was_there_is_told(clocked_ministack, client, table, asleep, clock):
    token, _, _ = asleep
    old_arn = table.stream_arn
    table.disable_stream()
    new_arn = table.enable_stream()
    clock.move(25 * HOUR)
    keys = table.put_many("of the next stream", 3)
    subscription = client.subscribe("", token, gap_policy=c.GAP_POLICY_CONTINUE, until=c.Until(record_count=3))
    subscription.drain()
    gaps = subscription.events("gap")
    assert gaps and gaps[0].shard_id == table.shard_id
    assert told(subscription).index("gap") < told(subscription).index("records")
    assert [event.shard.stream_arn for event in subscription.events("shard_open")][-1] == new_arn != old_arn
    assert same.keys(subscription.records) == keys


# A quiet table


def test_a_quiet_table_does_not_cry_loss(client, table, clock):
    table.put_many("seen", 5)
    tip(client, table)
    clock.move(2 * HOUR)
    token = tip(client, table)
    clock.move(22 * HOUR + 30 * MINUTE)
    # The number in the token is trimmed, but nothing was missed: it was at the tip 22.5 hours ago.
    keys = table.put_many("new", 2)
    assert len(table.records()) == 2
    assert same.keys(client.get(place=token, wait=span(10)).records) == keys
    push = client.push(place=token, until=c.Until(record_count=2))
    push.drain()
    assert not push.events("gap") and same.keys(push.records) == keys


def test_a_stream_that_stays_over_a_quiet_day_does_not_cry_loss(client, table, clock):
    table.put_many("seen", 5)
    push = client.push(table, horizon(), heartbeat_interval=span(1))
    push.take(5)
    for hours in range(0, 26, 2):
        while not push.next_event("heartbeat").at_tip:
            pass
        clock.move(2 * HOUR)
    keys = table.put_many("new", 2)
    push.take(7)
    push.cancel()
    assert not push.events("gap") and same.keys(push.records)[5:] == keys
