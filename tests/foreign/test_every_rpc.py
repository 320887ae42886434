"""Every RPC of the contract, driven by a client that has nothing but the .proto files, over each of the three upstreams."""

import itertools
import time
import tomllib

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support import contract as c
from support import same
from support.client import (
    Client,
    InBackground,
    after,
    at,
    at_time,
    horizon,
    latest,
    moment,
    refused,
    shard_of,
    span,
)
from support.upstreams import REGION, ROOT
from support.waiting import a_later_second_than, until

NOWHERE = "x" * 22


def number(record):
    """The sequence number of a record that boto3 read."""
    return record["dynamodb"]["SequenceNumber"]


# OpenShard, GetShardSession, RenewLease, CloseShard


def test_a_session_opened_without_a_start_has_no_position_until_a_jump(client, written):
    session = client.open(written)
    assert session.stream_arn == written.stream_arn and session.shard_id == written.shard_id
    assert not session.HasField("position") and not session.token and not session.parent_shard_id
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_POSITIONED"):
        client.read(session.lease.lease_id)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_POSITIONED"):
        client.push(lease_id=session.lease.lease_id).drain()
    jumped = client.shard.JumpTo(c.JumpToRequest(lease_id=session.lease.lease_id, position=horizon())).session
    assert jumped.HasField("position") and jumped.token
    assert client.read(session.lease.lease_id, max_records=1).records


def test_a_session_opened_by_table_name_answers_with_the_arn(client, written):
    name = c.ShardName(stream=written.table.name, shard_id=written.shard_id)
    session = client.shard.OpenShard(c.OpenShardRequest(shard=name, position=horizon())).session
    assert session.stream_arn == written.stream_arn
    same.assert_same(client.read(session.lease.lease_id, max_records=1).records, written.records[:1])


def test_a_session_tells_where_it_stands(client, written):
    session = client.open(written, horizon())
    lease = session.lease.lease_id
    answer = client.read(lease, max_records=5)
    told = client.shard.GetShardSession(c.GetShardSessionRequest(lease_id=lease)).session
    assert told.token == answer.token == answer.session.token
    assert told.position == after(number(written.records[4]))
    assert not told.exhausted and not told.HasField("streaming_position")
    reopened = client.open(written, told.token)
    same.assert_same(client.read(reopened.lease.lease_id, max_records=5).records, written.records[5:10])


def test_a_token_names_its_shard(client, written):
    token = client.get(written, horizon(), max_records=2).token
    session = client.shard.OpenShard(c.OpenShardRequest(token=token)).session
    assert session.shard_id == written.shard_id
    same.assert_same(client.get(place=token, max_records=1).records, written.records[2:3])


def test_a_lease_is_renewed_and_its_duration_coerced(client, written):
    short = client.open(written, lease_duration=span(1)).lease
    long = client.open(written, lease_duration=span(100_000)).lease
    assert (short.duration.seconds, long.duration.seconds) == (10, 3600)
    a_later_second_than(time.time())
    renewed = client.shard.RenewLease(c.RenewLeaseRequest(lease_id=short.lease_id)).lease
    assert renewed.lease_id == short.lease_id and renewed.duration == short.duration
    assert renewed.expire_time.ToNanoseconds() > short.expire_time.ToNanoseconds()
    assert abs(renewed.expire_time.seconds - time.time() - 10) < 3


def test_a_closed_session_is_gone_and_closing_it_again_is_no_error(client, written):
    lease = client.open(written, horizon()).lease.lease_id
    for _ in range(2):
        client.shard.CloseShard(c.CloseShardRequest(lease_id=lease))
    for call, request in (
        (client.shard.GetShardSession, c.GetShardSessionRequest(lease_id=lease)),
        (client.shard.RenewLease, c.RenewLeaseRequest(lease_id=lease)),
        (client.shard.GetRecords, c.GetRecordsRequest(lease_id=lease)),
        (client.shard.JumpTo, c.JumpToRequest(lease_id=lease, position=horizon())),
        (client.shard.ListChildren, c.ListChildrenRequest(lease_id=lease)),
    ):
        with refused(grpc.StatusCode.NOT_FOUND, "LEASE_NOT_FOUND"):
            call(request)


# JumpTo: the five iterator types, and a token


def test_a_jump_to_the_trim_horizon_reads_from_the_first_record(client, written):
    lease = client.open(written, latest()).lease.lease_id
    client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=horizon()))
    same.assert_same(client.read(lease, max_records=3).records, written.records[:3])


def test_a_jump_to_a_sequence_number_reads_at_it_or_after_it(client, written):
    lease = client.open(written).lease.lease_id
    for place in (0, 10, len(written.records) - 2):
        client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=at(number(written.records[place]))))
        same.assert_same(client.read(lease, max_records=1).records, written.records[place : place + 1])
        client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=after(number(written.records[place]))))
        same.assert_same(client.read(lease, max_records=1).records, written.records[place + 1 : place + 2])


def test_a_jump_to_a_time_reads_the_records_of_that_second_and_later(client, written):
    lease = client.open(written).lease.lease_id
    later = [record for record in written.records if seconds(record) >= written.middle]
    assert 0 < len(later) < len(written.records)
    for exactly in (written.middle, written.middle + 0.9):
        client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=at_time(exactly)))
        same.assert_same(client.read(lease, max_records=1).records, later[:1])


def test_a_jump_to_the_latest_misses_nothing_that_is_written_after_the_answer(client, table):
    table.put_many("before", 5)
    lease = client.open(table).lease.lease_id
    session = client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=latest())).session
    table.put_many("after", 5)
    expected = [f"after {n}" for n in range(5)]
    received = []
    while received[-1:] != expected[-1:]:
        received += same.keys(client.read(lease, wait=span(10)).records)
    assert received[-5:] == expected
    # Its token resumes by time: nothing is missed, a little may be seen again.
    records, _ = client.read_to_tip(table, session.token)
    assert same.keys(records)[-5:] == expected


def test_a_jump_to_a_token_reads_on_behind_it(client, written):
    token = client.get(written, horizon(), max_records=20).token
    lease = client.open(written, horizon()).lease.lease_id
    session = client.shard.JumpTo(c.JumpToRequest(lease_id=lease, token=token)).session
    assert session.token == token
    same.assert_same(client.read(lease, max_records=5).records, written.records[20:25])


def test_the_five_iterator_types_are_all_there_are(client, written):
    lease = client.open(written).lease.lease_id
    for wrong in (
        c.Position(),
        c.Position(iterator_type=c.ITERATOR_TYPE_AT_SEQUENCE_NUMBER),
        c.Position(iterator_type=c.ITERATOR_TYPE_AT_TIMESTAMP),
        c.Position(iterator_type=c.ITERATOR_TYPE_TRIM_HORIZON, sequence_number="1"),
        c.Position(iterator_type=c.ITERATOR_TYPE_LATEST, time=moment(time.time())),
        c.Position(iterator_type=77),
    ):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "POSITION_MALFORMED"):
            client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=wrong))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "START_MISSING"):
        client.shard.JumpTo(c.JumpToRequest(lease_id=lease))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "SEQUENCE_NUMBER_MALFORMED"):
        client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=at("twelve")))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TIME_IN_FUTURE"):
        client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=at_time(time.time() + 3600)))


# SeekTo


def test_a_seek_finds_the_first_records_of_a_time(client, written):
    later = [record for record in written.records if seconds(record) >= written.middle]
    lease = client.open(written).lease.lease_id
    for target in ({"lease_id": lease}, {"shard": shard_of(written)}):
        answer = client.shard.SeekTo(c.SeekToRequest(**target, time=moment(written.middle), max_records=4))
        assert answer.outcome == c.SEEK_OUTCOME_FOUND and not answer.from_horizon
        same.assert_same(answer.records, later[:4])
        same.assert_same(client.get(place=answer.token, max_records=4).records, later[4:8])
        assert answer.HasField("session") == ("lease_id" in target)
    same.assert_same(client.read(lease, max_records=4).records, later[4:8])


def test_a_seek_past_the_last_record_stands_at_the_tip(client, table):
    table.put_many("before", 3)
    now = a_later_second_than(time.time())
    lease = client.open(table).lease.lease_id
    answer = client.shard.SeekTo(c.SeekToRequest(lease_id=lease, time=moment(now)))
    assert answer.outcome == c.SEEK_OUTCOME_AT_TIP and not answer.records
    table.put("after")
    assert same.keys(client.read(lease, wait=span(10)).records) == ["after"]
    assert same.keys(client.get(place=answer.token, wait=span(10)).records) == ["after"]


def test_a_seek_to_a_time_older_than_anybody_remembers_says_so(client, written):
    request = c.SeekToRequest(shard=shard_of(written), time=moment(time.time() - 30 * 3600), max_records=2)
    answer = client.shard.SeekTo(request)
    assert answer.outcome == c.SEEK_OUTCOME_FOUND and answer.from_horizon
    same.assert_same(answer.records, written.records[:2])


# GetRecords


def test_an_answer_has_as_many_records_as_were_asked_for_at_most(client, written):
    for most in (1, 10):
        answer = client.get(written, horizon(), max_records=most)
        same.assert_same(answer.records, written.records[:most])
    assert len(client.get(written, horizon(), max_records=10_000).records) <= 1_000


def test_a_repeated_read_gets_the_same_records_again(client, written):
    lease = client.open(written, horizon()).lease.lease_id
    first = client.read(lease, max_records=4, request_id="one")
    again = client.read(lease, max_records=4, request_id="one")
    assert not first.repeated and again.repeated
    assert list(first.records) == list(again.records) and first.token == again.token
    following = client.read(lease, max_records=4, request_id="two")
    assert not following.repeated
    same.assert_same(following.records, written.records[4:8])


def test_a_read_that_waits_returns_with_the_first_record(client, table):
    token = client.get(table, horizon()).token
    waiting = InBackground(client.get, place=token, wait=span(25))
    table.put("awaited")
    begun = time.monotonic()
    assert same.keys(waiting.result().records) == ["awaited"]
    assert time.monotonic() - begun < 10, "it did not wait to the end"


def test_a_read_that_does_not_wait_says_that_nothing_is_there(client, table):
    answer = client.get(table, horizon())
    assert not answer.records and not answer.exhausted
    at_tip = lambda: client.get(place=answer.token).at_tip
    until(at_tip, "the tip")
    answer = client.get(place=answer.token)
    assert abs(answer.observed_time.seconds - time.time()) < 10


# ListChildren, WalkTree


def test_an_open_shard_has_no_children_yet(upstream, client, written):
    lease = client.open(written).lease.lease_id
    for target in ({"lease_id": lease}, {"shard": shard_of(written)}):
        answer = client.shard.ListChildren(c.ListChildrenRequest(**target))
        assert not answer.children, "an upstream that answers with the asked shard itself is not believed"
        assert not answer.complete, "an open shard, or one that claims to have an end, may still be split"


def test_the_tree_of_one_shard_is_that_shard(client, written):
    lease = client.open(written).lease.lease_id
    for target in ({"lease_id": lease}, {"shard": shard_of(written)}):
        (row,) = client.shard.WalkTree(c.WalkTreeRequest(**target))
        assert row.depth == 0
        assert (row.shard.stream_arn, row.shard.shard_id) == (written.stream_arn, written.shard_id)


# StreamRecords


def test_a_stream_ends_after_exactly_so_many_records(client, written):
    push = client.push(written, horizon(), until=c.Until(record_count=10))
    push.drain()
    assert push.end.reason == c.END_REASON_LIMIT
    same.assert_same(push.records, written.records[:10])
    same.assert_same(client.get(place=push.token, max_records=1).records, written.records[10:11])


def test_a_stream_ends_before_the_first_record_of_a_time(client, written):
    push = client.push(written, horizon(), until=c.Until(time=moment(written.middle)))
    push.drain()
    assert push.end.reason == c.END_REASON_LIMIT
    before = list(itertools.takewhile(lambda record: seconds(record) < written.middle, written.records))
    same.assert_same(push.records, before)
    following = client.get(place=push.token, max_records=1).records
    same.assert_same(following, written.records[len(before) : len(before) + 1])


def test_a_stream_ends_at_the_tip(client, table):
    push = client.push(table, horizon(), until=c.Until(at_tip=True))
    push.drain()
    assert push.end.reason == c.END_REASON_LIMIT and not push.records
    keys = table.put_many("item", 3)
    push = client.push(place=push.token, until=c.Until(at_tip=True))
    push.drain()
    assert same.keys(push.records) == keys


def test_an_idle_stream_has_heartbeats_and_they_say_that_it_is_at_the_tip(client, table):
    push = client.push(table, horizon(), heartbeat_interval=span(1))
    heartbeat = push.next_event("heartbeat")
    while not heartbeat.at_tip:
        heartbeat = push.next_event("heartbeat")
    following = push.next_event("heartbeat")
    assert following.at_tip and following.lag.ToNanoseconds() == 0 and not following.upstream_error
    assert abs(following.observed_time.seconds - time.time()) < 10
    table.put("news")
    assert same.keys(push.take(1)) == ["news"]
    push.cancel()


def test_a_cancelled_stream_leaves_its_session_where_it_stood(client, written):
    lease = client.open(written, horizon()).lease.lease_id
    push = client.push(lease_id=lease, max_batch_records=5)
    push.take(15)
    told = client.shard.GetShardSession(c.GetShardSessionRequest(lease_id=lease)).session
    assert told.HasField("streaming_position")
    token = push.token
    push.cancel()
    gone = lambda: not client.shard.GetShardSession(c.GetShardSessionRequest(lease_id=lease)).session.HasField(
        "streaming_position"
    )
    until(gone, "the server to notice that the stream is gone")
    same.assert_same(client.read(lease, max_records=1).records, written.records[:1])
    # The client goes on from the last token that it received.
    push = client.push(lease_id=lease, token=token, until=c.Until(at_tip=True))
    push.drain()
    received = same.sequence_numbers(push.records)
    assert received == [number(record) for record in written.records][-len(received) :]


def test_a_stream_that_ends_well_moves_its_session(client, written):
    lease = client.open(written, horizon()).lease.lease_id
    push = client.push(lease_id=lease, until=c.Until(record_count=12))
    push.drain()
    answer = client.read(lease, max_records=3)
    same.assert_same(answer.records, written.records[12:15])


def test_the_newest_mover_of_a_lease_wins(client, written):
    lease = client.open(written, latest()).lease.lease_id
    push = client.push(lease_id=lease, heartbeat_interval=span(1))
    push.next_event("heartbeat")
    client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=horizon()))
    push.drain()
    assert push.end.reason == c.END_REASON_SUPERSEDED
    same.assert_same(client.read(lease, max_records=1).records, written.records[:1])
    push = client.push(lease_id=lease, heartbeat_interval=span(1))
    next(push)
    client.shard.CloseShard(c.CloseShardRequest(lease_id=lease))
    push.drain()
    assert push.end.reason == c.END_REASON_LEASE_CLOSED


# StreamService


def test_streams_are_listed_whole_and_in_pages(upstream, client, written, table):
    (summary,) = client.stream.ListStreams(c.ListStreamsRequest(table_name=written.table.name)).streams
    assert (summary.stream_arn, summary.table_name) == (written.stream_arn, written.table.name)
    found, page_token = [], ""
    while True:
        page = client.stream.ListStreams(c.ListStreamsRequest(page_size=1, page_token=page_token))
        assert len(page.streams) <= 1 or not upstream.pages_streams
        found += [stream.stream_arn for stream in page.streams]
        page_token = page.next_page_token
        if not page_token:
            break
    assert len(found) == len(set(found)) and {written.stream_arn, table.stream_arn} <= set(found)
    assert not client.stream.ListStreams(c.ListStreamsRequest(table_name="no-such-table")).streams


def test_a_stream_is_described_as_boto3_describes_it(upstream, client, written):
    described = written.table.describe()
    for stream in (written.stream_arn, written.table.name):
        description = client.stream.DescribeStream(c.DescribeStreamRequest(stream=stream)).description
        assert description.stream_arn == written.stream_arn
        assert description.stream_label == described["StreamLabel"]
        assert description.table_name == described["TableName"]
        assert description.status == c.STREAM_STATUS_ENABLED
        assert description.stream_view_type == c.STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES
        key = [(element.attribute_name, element.key_type) for element in description.key_schema]
        assert key == ([("pk", c.KEY_TYPE_HASH)] if upstream.tells_key_schema else [])
        assert description.created_time.seconds == int(described["CreationRequestDateTime"].timestamp())


def test_shards_are_listed_as_boto3_lists_them(upstream, client, written):
    (described,) = written.table.shards()
    (shard,) = client.stream.ListShards(c.ListShardsRequest(stream=written.stream_arn)).shards
    assert (shard.stream_arn, shard.shard_id) == (written.stream_arn, described["ShardId"])
    assert shard.starting_sequence_number == described["SequenceNumberRange"].get("StartingSequenceNumber", "")
    if not upstream.claims_an_end:
        assert shard.state == c.SHARD_STATE_OPEN and not shard.ending_sequence_number


# Subscribe (more of it in test_subscribe.py) and WatchShards


def test_a_subscription_gives_what_boto3_reads_and_its_token_goes_on(client, written):
    subscription = client.subscribe(written.table.name, horizon(), until=c.Until(record_count=10))
    subscription.drain()
    assert subscription.end.reason == c.END_REASON_LIMIT
    same.assert_same(subscription.records, written.records[:10])
    rest = client.subscribe("", subscription.token, until=c.Until(at_tip=True))
    rest.drain()
    same.assert_same(rest.records, written.records[10:])


def watched(watch):
    """The rows of one round of WatchShards."""
    shards, removed = [], []
    for message in watch:
        shards += message.shards
        removed += message.removed_shard_ids
        if message.complete:
            return message, shards, removed
    raise AssertionError("the watch ended within a round")


def test_a_watch_tells_the_tree_and_how_far_it_is_read(client, table):
    subscription = client.subscribe(table.name, horizon(), heartbeat_interval=span(1))
    keys = table.put_many("item", 3)
    assert same.keys(subscription.take(3)) == keys
    watch = client.stream.WatchShards(c.WatchShardsRequest(stream=table.name, interval=span(0.2)))
    message, (row,), removed = watched(watch)
    assert (message.stream_arn, message.status) == (table.stream_arn, c.STREAM_STATUS_ENABLED) and not removed
    assert abs(message.listed_time.seconds - time.time()) < 120
    assert (row.shard.stream_arn, row.shard.shard_id) == (table.stream_arn, table.shard_id)
    while row.state != c.READING_STATE_AT_TIP:
        _, (row,), _ = watched(watch)
    assert row.subscribers == 1 and row.lanes >= 1 and row.lag.ToNanoseconds() == 0
    newest = table.records()[-1]
    assert row.sequence_number == number(newest)
    table.put("news")
    while row.sequence_number == number(newest):
        _, (row,), _ = watched(watch)
    assert row.sequence_number == number(table.records()[-1])
    subscription.cancel()
    while row.subscribers:
        _, (row,), _ = watched(watch)
    watch.cancel()


def test_a_watch_of_what_does_not_exist_is_refused(client, written):
    with refused(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND"):
        next(client.stream.WatchShards(c.WatchShardsRequest(stream="no-such-table")))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "STREAM_MALFORMED"):
        next(client.stream.WatchShards(c.WatchShardsRequest(stream=written.stream_arn.split("/stream/")[0])))


# ServerService, health, reflection


def test_the_server_tells_what_it_is(client, upstream):
    info = client.server.GetServerInfo(c.GetServerInfoRequest())
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert info.version == manifest["package"]["version"]
    assert info.upstream.endpoint_kind == c.ENDPOINT_KIND_CUSTOM and info.upstream.region == REGION
    assert info.limits.max_records == 1_000 and info.limits.max_wait.seconds == 60
    assert info.defaults.max_batch_bytes == 256 * 1024 and info.defaults.lease_duration.seconds == 60


def test_the_server_says_that_it_is_well(client):
    assert client.serving()
    for service in ("ShardService", "StreamService", "ServerService"):
        assert client.serving(f"shardstream.v1.{service}")
    with pytest.raises(grpc.RpcError) as failure:
        client.serving("shardstream.v1.NoSuchService")
    assert failure.value.code() == grpc.StatusCode.NOT_FOUND
    watch = client.health.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_the_server_describes_itself(client, version):
    ask = client.plain.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
    listed = {service.name for service in answer.list_services_response.service}
    assert {method.split("/")[1] for method in c.METHODS} | {"grpc.health.v1.Health"} <= listed


def test_its_description_is_the_contract(client):
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(client.plain))
    described = set()
    for service in {method.split("/")[1] for method in c.METHODS}:
        methods = pool.FindServiceByName(service).methods
        described |= {f"/{service}/{method.name}" for method in methods}
    assert described == c.METHODS


# Errors


def test_what_does_not_exist_is_not_found(client, written):
    unknown = c.ShardName(stream="no-such-table", shard_id=written.shard_id)
    with refused(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND"):
        client.shard.GetRecords(c.GetRecordsRequest(start=c.ShardStart(shard=unknown, position=horizon())))
    # One upstream answers this with HTML, one with an iterator that reads nothing for ever.
    unknown = c.ShardName(stream=written.stream_arn, shard_id="shardId-00000000000000000000-nowhere0")
    for place in (horizon(), latest(), after("1")):
        with refused(grpc.StatusCode.NOT_FOUND, "SHARD_NOT_FOUND"):
            client.shard.GetRecords(c.GetRecordsRequest(start=c.ShardStart(shard=unknown, position=place)))
    with refused(grpc.StatusCode.NOT_FOUND, "SHARD_NOT_FOUND"):
        client.shard.OpenShard(c.OpenShardRequest(shard=unknown))
    with refused(grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND"):
        client.stream.DescribeStream(c.DescribeStreamRequest(stream="no-such-table"))


def test_a_damaged_token_is_refused(client, written):
    token = client.get(written, horizon(), max_records=1).token
    damaged = token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB")
    for wrong in (damaged, NOWHERE, "", token + token, "🦀"):
        with pytest.raises(grpc.RpcError) as failure:
            client.get(written, wrong)
        assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TOKEN_MALFORMED"):
        client.get(written, damaged)


def test_a_table_arn_is_not_taken_for_a_stream(client, written):
    table_arn = written.stream_arn.split("/stream/")[0]
    name = c.ShardName(stream=table_arn, shard_id=written.shard_id)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "STREAM_MALFORMED"):
        client.shard.OpenShard(c.OpenShardRequest(shard=name))


def test_no_rpc_of_the_contract_was_left_out(request):
    others = {item.originalname for item in request.session.items if item.path == request.path}
    everything = {name for name in globals() if name.startswith("test_")}
    if others != everything:
        pytest.skip("only a part of this file was run")
    assert Client.called >= c.METHODS


def seconds(record):
    """When boto3 says that a record was made, rounded down as AWS does."""
    return int(record["dynamodb"]["ApproximateCreationDateTime"].timestamp())
