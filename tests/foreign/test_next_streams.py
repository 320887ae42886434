"""Streams that end, and what follows them: a disabled one drains, and a subscription by table name goes on with the next.

What AWS does, only MiniStack does too. dynoxide and moto each lack something; what they do instead is shown by boto3 in the
same test, and what the server makes of it is held all the same.
"""

import botocore.exceptions
import grpc
import pytest

from support import contract as c
from support import same
from support.client import Client, horizon, refused, span
from support.server import QUICK, Server
from support.upstreams import Dynoxide, MiniStack, Moto, Table

CONTINUE = {"gap_policy": c.GAP_POLICY_CONTINUE, "heartbeat_interval": span(1), "timeout": 100}
AT_TIP = c.Until(at_tip=True)


@pytest.fixture(scope="module")
def of(running):
    """A client of a server over an upstream of this kind, and the upstream itself."""
    made = []

    def start(kind):
        upstream = running(kind.name, kind)
        server = running(f"server over {kind.name}", lambda: Server(upstream.endpoint, *QUICK))
        made.append(Client(server.address))
        return upstream, made[-1]

    yield start
    for client in made:
        client.close()


@pytest.fixture
def over_ministack(of):
    """A client over MiniStack, and a new table there."""
    upstream, client = of(MiniStack)
    return client, Table(upstream)


@pytest.fixture
def over_dynoxide(of):
    """A client over dynoxide, and a new table there."""
    upstream, client = of(Dynoxide)
    return client, Table(upstream)


@pytest.fixture
def over_moto(of):
    """A client over moto, and a new table there."""
    upstream, client = of(Moto)
    return client, Table(upstream)


def followed(client, stream, keys, **fields):
    """A subscription from the horizon that has given these records."""
    subscription = client.subscribe(stream, horizon(), **{**CONTINUE, **fields})
    assert same.keys(subscription.take(len(keys))) == keys
    return subscription


def kinds(subscription):
    """What came, in order, without heartbeats and repeats."""
    told = ["records" if message.records else message.WhichOneof("event") for message in subscription.messages]
    told = [kind for kind in told if kind != "heartbeat"]
    return [kind for number, kind in enumerate(told) if told[number - 1 : number] != [kind]]


def assert_goes_on(subscription, old_arn, old_records, new_arn, new_records):
    """It told the end of the old stream with the name of the next one, then everything of that, and no loss."""
    subscription.take(len(old_records) + len(new_records))
    same.assert_same(subscription.records, old_records + new_records)
    assert not subscription.events("gap")
    (ended,) = subscription.events("shard_end")
    assert ended.complete and not ended.children
    ends = subscription.events("stream_end")
    # The end may be told before the next stream is there, and again when it is.
    assert 1 <= len(ends) <= 2 and {end.stream_arn for end in ends} == {old_arn}
    assert [end.next_stream_arn for end in ends] in ([new_arn], ["", new_arn])
    opened = [event.shard.stream_arn for event in subscription.events("shard_open")]
    assert opened == [old_arn, new_arn]
    assert kinds(subscription) == ["shard_open", "records", "shard_end", "stream_end", "shard_open", "records"]


# A disabled stream drains to its end


@pytest.mark.parametrize("limits", [{}, {"max_batch_records": 4}, {"order": c.RECORD_ORDER_BY_TIME}])
def test_by_arn_a_disabled_stream_drains_to_its_end(over_ministack, limits):
    client, table = over_ministack
    table.put_many("item", 25)
    table.disable_stream()
    subscription = client.subscribe(table.stream_arn, horizon(), **limits)
    subscription.drain()
    assert subscription.end.reason == c.END_REASON_STREAM_END
    same.assert_same(subscription.records, table.records())
    assert kinds(subscription) == ["shard_open", "records", "shard_end", "stream_end", "end"]
    (end,) = subscription.events("stream_end")
    assert end.stream_arn == table.stream_arn and not end.next_stream_arn
    # It stays at its end, and every token before it drains too.
    again = client.subscribe("", subscription.token)
    again.drain()
    assert not again.records and again.end.reason == c.END_REASON_STREAM_END
    part = client.subscribe(table.stream_arn, horizon(), until=c.Until(record_count=11))
    part.drain()
    rest = client.subscribe("", part.token)
    rest.drain()
    assert rest.end.reason == c.END_REASON_STREAM_END
    same.assert_same(part.records + rest.records, table.records())


def test_by_arn_it_ends_while_it_is_followed_although_a_next_stream_begins(over_ministack):
    client, table = over_ministack
    keys = table.put_many("item", 3)
    subscription = followed(client, table.stream_arn, keys)
    table.put_many("late", 3)
    table.disable_stream()
    table.enable_stream()
    table.put("of the next stream")
    subscription.drain()
    assert subscription.end.reason == c.END_REASON_STREAM_END
    (end,) = subscription.events("stream_end")
    assert end.stream_arn == table.stream_arn and not end.next_stream_arn
    same.assert_same(subscription.records, table.records())
    assert len(subscription.records) == 6 and not subscription.events("gap")


def test_by_arn_it_ends_when_its_table_is_deleted(over_ministack):
    client, table = over_ministack
    keys = table.put_many("item", 3)
    subscription = followed(client, table.stream_arn, keys)
    table.put_many("late", 3)
    table.drop()
    subscription.drain()
    assert subscription.end.reason == c.END_REASON_STREAM_END and not subscription.events("gap")
    same.assert_same(subscription.records, table.records())


# By table name it goes on


def test_by_name_it_goes_on_when_the_stream_is_disabled_and_enabled(over_ministack):
    client, table = over_ministack
    old_arn = table.stream_arn
    subscription = followed(client, table.name, table.put_many("item", 3))
    table.put_many("late", 3)
    table.disable_stream()
    new_arn = table.enable_stream()
    table.put_many("of the next stream", 4)
    assert_goes_on(subscription, old_arn, table.records(), new_arn, table.records(new_arn))
    subscription.cancel()


def test_by_name_it_waits_for_the_next_stream_and_says_that_the_old_one_ended(over_ministack):
    client, table = over_ministack
    old_arn = table.stream_arn
    subscription = followed(client, table.name, table.put_many("item", 3))
    table.disable_stream()
    end = subscription.next_event("stream_end")
    assert end.stream_arn == old_arn and not end.next_stream_arn
    assert subscription.next_event("heartbeat").at_tip
    new_arn = table.enable_stream()
    table.put_many("of the next stream", 4)
    assert_goes_on(subscription, old_arn, table.records(), new_arn, table.records(new_arn))
    subscription.cancel()


def test_by_name_it_goes_on_when_the_table_is_made_anew(over_ministack):
    client, table = over_ministack
    old_arn = table.stream_arn
    subscription = followed(client, table.name, table.put_many("item", 3))
    table.put_many("late", 3)
    table.drop()
    table.make_anew()
    table.put_many("of the next stream", 4)
    assert_goes_on(subscription, old_arn, table.records(old_arn), table.stream_arn, table.records())
    subscription.cancel()


def test_by_name_it_goes_on_from_stream_to_stream(over_ministack):
    client, table = over_ministack
    arns, keys = [table.stream_arn], table.put_many("stream 0", 3)
    subscription = followed(client, table.name, keys)
    for number in range(1, 4):
        table.disable_stream()
        table.stream_arn = table.enable_stream()
        arns.append(table.stream_arn)
        keys += table.put_many(f"stream {number}", 3)
        subscription.take(len(keys))
    subscription.cancel()
    assert same.keys(subscription.records) == keys
    assert [event.shard.stream_arn for event in subscription.events("shard_open")] == arns
    same.assert_same(subscription.records, [record for arn in arns for record in table.records(arn)])


def test_its_token_goes_on_over_streams_that_ended_while_nobody_was_there(over_ministack):
    client, table = over_ministack
    old_arn = table.stream_arn
    table.put_many("item", 10)
    first = client.subscribe(table.name, horizon(), until=c.Until(record_count=4))
    first.drain()
    table.disable_stream()
    new_arn = table.enable_stream()
    table.put_many("of the next stream", 4)
    everything = table.records() + table.records(new_arn)
    resumed = client.subscribe("", first.token, until=c.Until(record_count=len(everything) - 4))
    resumed.drain()
    same.assert_same(first.records + resumed.records, everything)
    (end,) = resumed.events("stream_end")
    assert (end.stream_arn, end.next_stream_arn) == (old_arn, new_arn)
    # The same token with the ARN stays with the old stream.
    resumed = client.subscribe(old_arn, first.token)
    resumed.drain()
    assert resumed.end.reason == c.END_REASON_STREAM_END
    same.assert_same(first.records + resumed.records, table.records())


def test_a_token_from_between_two_streams_goes_on_with_the_next(over_ministack):
    client, table = over_ministack
    subscription = followed(client, table.name, table.put_many("item", 3))
    table.disable_stream()
    subscription.next_event("stream_end")
    token = subscription.token
    subscription.cancel()
    new_arn = table.enable_stream()
    keys = table.put_many("of the next stream", 4)
    resumed = client.subscribe("", token, until=c.Until(record_count=4))
    resumed.drain()
    assert same.keys(resumed.records) == keys
    (opened,) = resumed.events("shard_open")
    assert opened.shard.stream_arn == new_arn


@pytest.mark.parametrize("keeps", ["the token alone", "newer shard tokens too"])
def test_broken_off_soon_after_the_next_stream_began_it_goes_on(over_ministack, keeps):
    client, table = over_ministack
    options = {"checkpoint_interval": span(60), "heartbeat_interval": span(60), "max_batch_records": 2, "timeout": 60}
    subscription = followed(client, table.name, table.put_many("item", 3), **options)
    table.disable_stream()
    new_arn = table.enable_stream()
    keys = table.put_many("of the next stream", 6)
    subscription.take(3 + 4)
    subscription.cancel()
    given = len(subscription.records) if keeps == "newer shard tokens too" else subscription.covered
    place = subscription if keeps == "newer shard tokens too" else subscription.token
    resumed = client.subscribe("", place, until=c.Until(record_count=9 - given))
    resumed.drain()
    assert same.keys(subscription.records[:given] + resumed.records)[3:] == keys
    same.assert_same((subscription.records[:given] + resumed.records)[3:], table.records(new_arn))


# Watched


def rounds(client, stream):
    """A watch of a stream's one shard: the newest message and row of each round."""
    row = None
    for message in client.stream.WatchShards(c.WatchShardsRequest(stream=stream, interval=span(0.2))):
        row = message.shards[0] if message.shards else row
        if message.complete:
            yield message, row


def test_a_watch_tells_that_a_stream_is_disabled_and_drained(over_ministack):
    client, table = over_ministack
    subscription = followed(client, table.stream_arn, table.put_many("item", 3))
    watch = rounds(client, table.stream_arn)
    message, row = next(watch)
    assert message.status == c.STREAM_STATUS_ENABLED and row.shard.state == c.SHARD_STATE_OPEN
    table.put_many("late", 3)
    table.disable_stream()
    subscription.drain()
    message, row = next(
        (message, row)
        for message, row in watch
        if message.status == c.STREAM_STATUS_DISABLED and row.state == c.READING_STATE_DRAINED
    )
    assert row.sequence_number == table.records()[-1]["dynamodb"]["SequenceNumber"]


def test_a_watch_ends_when_its_stream_is_deleted(over_dynoxide):
    client, table = over_dynoxide
    subscription = followed(client, table.stream_arn, table.put_many("item", 3))
    watch = rounds(client, table.stream_arn)
    next(watch)
    table.drop()
    subscription.drain()
    with refused(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND"):
        for _ in watch:
            pass


# dynoxide: a stream ends with its table only


def test_dynoxide_goes_on_under_the_old_name_when_the_stream_is_disabled_and_enabled(over_dynoxide):
    client, table = over_dynoxide
    keys = table.put_many("item", 1)
    subscriptions = [followed(client, stream, keys) for stream in (table.name, table.stream_arn)]
    table.disable_stream()
    new_arn = table.enable_stream()
    table.put_many("of the next stream", 4)
    # There is no end to be told: by the old ARN dynoxide answers with the new stream, and iterators of the old go on in it.
    assert new_arn != table.stream_arn and table.records() == table.records(new_arn)
    for subscription in subscriptions:
        subscription.take(5)
        subscription.cancel()
        same.assert_same(subscription.records[1:], table.records(new_arn))
        assert kinds(subscription) == ["shard_open", "records"]


@pytest.mark.parametrize("named", ["by its ARN", "by its table"])
def test_dynoxide_loses_a_stream_with_its_table_and_that_is_told(over_dynoxide, named):
    client, table = over_dynoxide
    old_arn = table.stream_arn
    subscription = followed(client, old_arn if named == "by its ARN" else table.name, table.put_many("item", 3))
    before = table.records()
    table.drop()
    # Not closed as in AWS, where it would stay for a day: gone. What was written last may be lost, and nobody can know.
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
        table.describe()
    gap = subscription.next_event("gap")
    assert gap.cause == c.GAP_CAUSE_SHARD_EXPIRED and not gap.certain
    assert gap.after_sequence_number == before[-1]["dynamodb"]["SequenceNumber"]
    assert subscription.next_event("shard_end").complete
    if named == "by its ARN":
        subscription.drain()
        assert subscription.end.reason == c.END_REASON_STREAM_END
        return
    end = subscription.next_event("stream_end")
    assert end.stream_arn == old_arn and not end.next_stream_arn
    table.make_anew()
    keys = table.put_many("of the next stream", 4)
    end = subscription.next_event("stream_end")
    assert (end.stream_arn, end.next_stream_arn) == (old_arn, table.stream_arn)
    subscription.take(7)
    subscription.cancel()
    assert same.keys(subscription.records)[3:] == keys
    same.assert_same(subscription.records, before + table.records())


def test_dynoxide_gives_what_a_table_made_anew_holds_to_a_token_of_the_old_one(over_dynoxide):
    client, table = over_dynoxide
    table.put_many("item", 6)
    old = table.records()
    first = client.subscribe(table.name, horizon(), until=c.Until(record_count=3))
    first.drain()
    table.drop()
    table.make_anew()
    table.put_many("of the next stream", 4)
    resumed = client.subscribe("", first.token, gap_policy=c.GAP_POLICY_CONTINUE, until=AT_TIP)
    resumed.drain()
    # What the server still had of the old stream comes too; dynoxide itself has none of it any more.
    new = table.records()
    same.assert_same(resumed.records[-4:], new)
    same.assert_same(resumed.records[:-4], (old + new)[-len(resumed.records) : -4])


def test_a_subscription_that_waits_for_a_table_is_not_in_trouble(of, servers, clients):
    upstream, _ = of(Dynoxide)
    table = Table(upstream)
    client = clients(servers(upstream, *QUICK, "--max-upstream-outage", "1s"))
    subscription = followed(client, table.name, table.put_many("item", 3))
    table.drop()
    subscription.next_event("stream_end")
    for _ in range(3):
        assert not subscription.next_event("heartbeat").upstream_error
    table.make_anew()
    keys = table.put_many("of the next stream", 4)
    assert same.keys(subscription.take(7))[3:] == keys
    subscription.cancel()


# moto: streams never end


def test_moto_cannot_enable_a_stream_again_and_a_subscription_bears_it(over_moto):
    client, table = over_moto
    subscription = followed(client, table.name, table.put_many("item", 3))
    table.disable_stream()
    # It keeps a broken stream: it can be neither described nor enabled again, and its iterators go on with nothing.
    with pytest.raises(botocore.exceptions.ClientError, match="500"):
        table.describe()
    with pytest.raises(botocore.exceptions.ClientError, match="Cannot enable stream"):
        table.enable_stream()
    for _ in range(2):
        heartbeat = subscription.next_event("heartbeat")
        assert heartbeat.at_tip and not heartbeat.upstream_error
    subscription.cancel()
    assert len(subscription.records) == 3 and not subscription.events("gap")


def test_moto_lets_the_iterators_of_a_deleted_table_go_on_and_a_new_subscription_finds_the_new_one(of, servers, clients):
    upstream, client = of(Moto)
    table = Table(upstream)
    subscription = followed(client, table.name, table.put_many("item", 3))
    table.put_many("late", 2)
    table.drop()
    subscription.take(5)
    table.make_anew()
    keys = table.put_many("of the next stream", 4)
    # An iterator is all that the old stream has left, and it never ends: to one who reads by it, nothing happens.
    for _ in range(2):
        assert subscription.next_event("heartbeat").at_tip
    subscription.cancel()
    assert len(subscription.records) == 5
    # Another server: this one may take a name for what it stood for within the last 10 s.
    fresh = clients(servers(upstream)).subscribe(table.name, horizon(), until=AT_TIP)
    fresh.drain()
    assert same.keys(fresh.records) == keys
    assert fresh.events("shard_open")[0].shard.stream_arn == table.stream_arn


@pytest.mark.parametrize("kind", [Dynoxide, Moto], ids=lambda kind: kind.name)
def test_a_token_of_a_forgotten_stream_tells_the_loss_and_goes_on_with_the_next(of, servers, clients, kind):
    upstream, _ = of(kind)
    table = Table(upstream)
    # Servers of its own: one that has read the old stream may still have some of it.
    table.put_many("item", 6)
    first = clients(servers(upstream)).subscribe(table.name, horizon(), until=c.Until(record_count=3))
    first.drain()
    old_arn = table.stream_arn
    table.drop()
    table.make_anew()
    keys = table.put_many("of the next stream", 8)
    # Both answer by the old ARN, with the new stream, and moto numbers its records from the beginning again.
    assert table.records(old_arn) == table.records()
    options = {"gap_policy": c.GAP_POLICY_CONTINUE, "until": AT_TIP}
    resumed = clients(servers(upstream)).subscribe("", first.token, **options)
    resumed.drain()
    (gap,) = resumed.events("gap")
    assert gap.cause == c.GAP_CAUSE_STREAM_REPLACED
    assert gap.after_sequence_number == first.records[-1].meta.sequence_number
    assert same.keys(resumed.records) == keys
    assert [event.shard.stream_arn for event in resumed.events("shard_open")] == [table.stream_arn]
