"""Subscribe: a whole stream, from every start to every end. Over these upstreams a stream has one shard: children are the
scripted fake's business."""

import itertools
import time

import grpc
import pytest

from support import contract as c
from support import same, values
from support.client import at, at_time, error_info, horizon, latest, moment, refused, span
from support.waiting import a_later_second_than

AT_TIP = c.Until(at_tip=True)


def drained(subscription, reason=c.END_REASON_LIMIT):
    """The subscription, read to its end, which is the expected one."""
    subscription.drain()
    assert subscription.end.reason == reason, subscription.end
    return subscription


def seconds(record):
    """When boto3 says that a record was made, rounded down as AWS does."""
    return int(record["dynamodb"]["ApproximateCreationDateTime"].timestamp())


# Starts


@pytest.mark.parametrize("named", ["by its ARN", "by its table"])
def test_from_the_trim_horizon_it_gives_what_boto3_reads(client, written, named):
    stream = written.stream_arn if named == "by its ARN" else written.table.name
    subscription = drained(client.subscribe(stream, horizon(), until=AT_TIP))
    same.assert_same(subscription.records, written.records)
    (opened,) = subscription.events("shard_open")
    assert (opened.shard.stream_arn, opened.shard.shard_id) == (written.stream_arn, written.shard_id)
    assert not subscription.events("gap") and not subscription.events("shard_end")


def test_from_a_time_it_gives_the_records_of_that_second_and_later(client, written):
    later = [record for record in written.records if seconds(record) >= written.middle]
    for exactly in (written.middle, written.middle + 0.9):
        subscription = drained(client.subscribe(written.stream_arn, at_time(exactly), until=AT_TIP))
        same.assert_same(subscription.records, later)
    everything = drained(client.subscribe(written.stream_arn, at_time(time.time() - 30 * 3600), until=AT_TIP))
    same.assert_same(everything.records, written.records)


def test_from_the_latest_it_gives_nothing_old(client, written):
    subscription = drained(client.subscribe(written.stream_arn, latest(), until=AT_TIP))
    assert not subscription.records and len(subscription.events("shard_open")) == 1


def test_from_the_latest_it_misses_nothing_that_is_written_after_it_began(client, table):
    table.put_many("before", 5)
    subscription = client.subscribe(table.name, latest(), heartbeat_interval=span(1)).begin()
    keys = table.put_many("after", 5)
    while same.keys(subscription.records)[-1:] != keys[-1:]:
        next(subscription)
    subscription.cancel()
    assert same.keys(subscription.records)[-5:] == keys
    # A token that covers no record yet resumes by time: nothing is missed, a little may be seen again.
    early = next(message.token for message in subscription.messages if message.token)
    resumed = drained(client.subscribe("", early, until=AT_TIP))
    assert same.keys(resumed.records)[-5:] == keys[-min(5, len(resumed.records)) :]
    covered = len(subscription.records) - len(resumed.records)
    assert same.sequence_numbers(subscription.records)[max(covered, 0) :] == same.sequence_numbers(resumed.records)[-5:]


def test_a_token_from_before_the_first_record_at_the_latest_misses_nothing(client, table):
    subscription = client.subscribe(table.name, latest(), heartbeat_interval=span(1))
    subscription.next_event("heartbeat")
    token = subscription.token
    subscription.cancel()
    keys = table.put_many("while nobody was there", 4)
    assert same.keys(drained(client.subscribe("", token, until=AT_TIP)).records) == keys


# Every attribute type and every level


def test_records_of_every_type_and_depth_arrive_while_they_are_written(upstream, client, table):
    subscription = client.subscribe(table.name, horizon(), heartbeat_interval=span(1)).begin()
    items = values.items(upstream.containers, upstream.item_bytes)
    for item in items.values():
        table.put_item(item)
    subscription.take(len(items))
    subscription.cancel()
    same.assert_same(subscription.records, table.records())


def test_all_levels_that_dynamodb_nests_are_decoded(client, written):
    subscription = drained(client.subscribe(written.stream_arn, horizon(), until=AT_TIP))
    deepest = max(_depth(value) for record in subscription.records for value in record.new_image.values())
    assert deepest >= values.CONTAINERS
    for message in subscription.messages:
        assert c.SubscribeResponse.FromString(message.SerializeToString()) == message


def _depth(value):
    kind = value.WhichOneof("value")
    inner = value.m.entries.values() if kind == "m" else value.l.values if kind == "l" else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


# Ends


def test_it_ends_after_exactly_so_many_records(client, written):
    for count in (1, 10, len(written.records)):
        subscription = drained(client.subscribe(written.stream_arn, horizon(), until=c.Until(record_count=count)))
        same.assert_same(subscription.records, written.records[:count])
        rest = drained(client.subscribe("", subscription.token, until=AT_TIP))
        same.assert_same(rest.records, written.records[count:])


def test_it_ends_before_the_first_record_of_a_time(client, written):
    subscription = drained(client.subscribe(written.stream_arn, horizon(), until=c.Until(time=moment(written.middle))))
    before = list(itertools.takewhile(lambda record: seconds(record) < written.middle, written.records))
    same.assert_same(subscription.records, before)
    rest = drained(client.subscribe("", subscription.token, until=AT_TIP))
    same.assert_same(rest.records, written.records[len(before) :])


def test_it_ends_once_a_time_ahead_has_passed(client, table):
    keys = table.put_many("before", 3)
    ahead = a_later_second_than(time.time()) + 2
    subscription = drained(client.subscribe(table.name, horizon(), until=c.Until(time=moment(ahead))))
    assert same.keys(subscription.records) == keys and time.time() >= ahead
    keys = table.put_many("after", 3)
    assert same.keys(drained(client.subscribe("", subscription.token, until=AT_TIP)).records) == keys


def test_it_ends_at_the_tip_of_a_stream_with_nothing_in_it(client, table):
    subscription = drained(client.subscribe(table.name, horizon(), until=AT_TIP))
    assert not subscription.records
    keys = table.put_many("item", 3)
    assert same.keys(drained(client.subscribe("", subscription.token, until=AT_TIP)).records) == keys


# Order by time, small messages, heartbeats


@pytest.mark.parametrize("merge_wait", [0, 2])
def test_by_time_it_gives_what_boto3_reads(client, written, merge_wait):
    options = {"order": c.RECORD_ORDER_BY_TIME, "merge_wait": span(merge_wait)}
    first = drained(client.subscribe(written.stream_arn, horizon(), until=c.Until(record_count=20), **options))
    rest = drained(client.subscribe("", first.token, until=AT_TIP, **options))
    same.assert_same(first.records + rest.records, written.records)


def test_by_time_records_arrive_while_they_are_written(client, table):
    subscription = client.subscribe(table.name, horizon(), order=c.RECORD_ORDER_BY_TIME, heartbeat_interval=span(1)).begin()
    for number in range(3):
        table.put(f"item {number}")
        subscription.take(number + 1)
    subscription.cancel()
    same.assert_same(subscription.records, table.records())


def test_in_small_messages_it_gives_what_boto3_reads(client, written):
    limits = {"max_batch_records": 3, "max_batch_bytes": 16 * 1024}
    subscription = drained(client.subscribe(written.stream_arn, horizon(), until=AT_TIP, **limits))
    same.assert_same(subscription.records, written.records)
    for message in subscription.messages:
        assert len(message.records) <= 3
        # 16 KiB of records and a small tail, or one record that is larger.
        assert len(message.records) <= 1 or message.ByteSize() < 17 * 1024


def test_an_idle_subscription_has_heartbeats_and_they_say_that_it_is_at_the_tip(client, table):
    subscription = client.subscribe(table.name, horizon(), heartbeat_interval=span(1))
    while not subscription.next_event("heartbeat").at_tip:
        pass
    heartbeat = subscription.next_event("heartbeat")
    assert heartbeat.at_tip and heartbeat.lag.ToNanoseconds() == 0 and not heartbeat.upstream_error
    assert abs(heartbeat.observed_time.seconds - time.time()) < 10
    table.put("news")
    assert same.keys(subscription.take(1)) == ["news"]
    subscription.cancel()


# Tokens


def test_broken_off_at_any_message_it_goes_on_after_its_token(client, written):
    """With the token alone, what comes twice lies behind it; with the newer tokens of its shards, nothing comes twice."""
    options = {"max_batch_records": 4, "checkpoint_interval": span(60), "heartbeat_interval": span(60)}
    numbers = [record["dynamodb"]["SequenceNumber"] for record in written.records]
    left_behind = 0
    for count in range(1, 14, 3):
        broken = client.subscribe(written.stream_arn, horizon(), **options)
        while len(broken.messages) < count or not broken.token:
            next(broken)
        broken.cancel()
        left_behind += len(broken.records) - broken.covered
        resumed = drained(client.subscribe("", broken.token, until=AT_TIP))
        assert same.sequence_numbers(resumed.records) == numbers[broken.covered :]
        resumed = drained(client.subscribe("", broken, until=AT_TIP))
        assert same.sequence_numbers(resumed.records) == numbers[len(broken.records) :]
    assert left_behind, "no token was older than the records beside it: the newer tokens were not tried"


def test_a_shard_token_of_it_resumes_that_shard_alone(client, written):
    subscription = drained(client.subscribe(written.stream_arn, horizon(), until=c.Until(record_count=12)))
    token = [message.shard_token for message in subscription.messages if message.records][-1]
    records, _ = client.read_to_tip(None, token)
    same.assert_same(records, written.records[12:])
    push = client.push(place=token, until=AT_TIP)
    push.drain()
    same.assert_same(push.records, written.records[12:])


def test_a_token_may_be_given_with_the_name_that_it_knows(client, written):
    token = drained(client.subscribe(written.table.name, horizon(), until=c.Until(record_count=5))).token
    for stream in ("", written.table.name, written.stream_arn):
        rest = drained(client.subscribe(stream, token, until=AT_TIP))
        same.assert_same(rest.records, written.records[5:])


# Refusals


def test_a_place_that_a_whole_stream_does_not_have_is_refused(client, written):
    number = written.records[0]["dynamodb"]["SequenceNumber"]
    for place, reason in (
        (at(number), "POSITION_MALFORMED"),
        (c.Position(), "POSITION_MALFORMED"),
        (None, "START_MISSING"),
        (at_time(time.time() + 3600), "TIME_IN_FUTURE"),
    ):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, reason):
            client.subscribe(written.stream_arn, place).drain()


def test_a_token_of_another_kind_or_stream_is_refused(client, written, table):
    stream_token = drained(client.subscribe(written.stream_arn, horizon(), until=c.Until(record_count=5))).token
    shard_token = client.get(written, horizon(), max_records=1).token
    of_another = drained(client.subscribe(table.stream_arn, horizon(), until=AT_TIP)).token
    another_shard = client.get(table, horizon()).token
    for reason, stream, place, newer in (
        ("TOKEN_WRONG_KIND", "", shard_token, []),
        ("TOKEN_WRONG_KIND", "", stream_token, [stream_token]),
        ("TOKEN_MISMATCH", table.name, stream_token, []),
        ("TOKEN_MISMATCH", written.stream_arn, of_another, []),
        ("TOKEN_MISMATCH", "", stream_token, [another_shard]),
        ("TOKEN_MALFORMED", "", stream_token[:-3] + ("AAA" if stream_token[-3:] != "AAA" else "BBB"), []),
        ("START_AMBIGUOUS", written.stream_arn, horizon(), [shard_token]),
    ):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, reason):
            client.subscribe(stream, place, shard_tokens=newer).drain()
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TOKEN_WRONG_KIND"):
        client.push(place=stream_token).drain()


def test_a_stream_that_does_not_exist_is_not_found(client, written):
    with refused(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND"):
        client.subscribe("no-such-table", horizon()).drain()
    with pytest.raises(grpc.RpcError) as failure:
        client.subscribe(written.stream_arn.split("/stream/")[0], horizon()).drain()
    assert error_info(failure.value).reason == "STREAM_MALFORMED"
