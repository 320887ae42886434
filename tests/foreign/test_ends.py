"""A disabled stream drains to its end. Of the upstreams only MiniStack and the simulator close a shard as AWS does."""

import time

import grpc
import pytest

from support import contract as c
from support import same
from support.client import Client, InBackground, horizon, moment, shard_of, span
from support.server import QUICK, Server
from support.upstreams import MiniStack, Simulator, Table
from support.waiting import a_later_second_than


@pytest.fixture(params=[MiniStack, Simulator], ids=lambda kind: kind.name)
def closing(request, running):
    """An upstream that closes shards."""
    return running(request.param.name, request.param)


@pytest.fixture
def client(closing, running):
    """A client of a server over it."""
    server = running(f"server over {closing.name}", lambda: Server(closing.endpoint, *QUICK))
    client = Client(server.address)
    yield client
    client.close()


@pytest.fixture
def ended(closing):
    """A table whose stream holds 25 records and is disabled."""
    table = Table(closing)
    table.put_many("item", 25)
    table.disable_stream()
    return table


def test_the_last_page_is_delivered_and_only_then_the_end(client, ended):
    answer = client.get(ended, horizon())
    records = list(answer.records)
    while not answer.exhausted:
        answer = client.get(place=answer.token)
        records += answer.records
    same.assert_same(records, ended.records())
    assert len(records) == 25 and not answer.records
    # It stays at its end, and the token too.
    assert client.get(place=answer.token).exhausted


def test_on_a_lease_the_session_is_exhausted_until_a_jump(client, ended):
    lease = client.open(ended, horizon()).lease.lease_id
    records = []
    while not (answer := client.read(lease, max_records=10)).exhausted:
        records += answer.records
    same.assert_same(records, ended.records())
    assert answer.session.exhausted
    told = client.shard.GetShardSession(c.GetShardSessionRequest(lease_id=lease)).session
    assert told.exhausted
    revived = client.shard.JumpTo(c.JumpToRequest(lease_id=lease, position=horizon())).session
    assert not revived.exhausted
    assert len(client.read(lease).records) == 25


def test_a_stream_ends_with_the_shard(client, ended):
    push = client.push(ended, horizon())
    push.drain()
    same.assert_same(push.records, ended.records())
    (end,) = push.events("shard_end")
    assert end.shard_id == ended.shard_id and not end.children and end.complete
    assert push.end.reason == c.END_REASON_SHARD_END
    again = client.push(place=push.token)
    again.drain()
    assert not again.records and again.end.reason == c.END_REASON_SHARD_END


def test_an_end_that_comes_while_reading_is_delivered_too(closing, client):
    table = Table(closing)
    push = client.push(table, horizon(), heartbeat_interval=span(1))
    waiting = client.get(table, horizon()).token
    push.next_event("heartbeat")
    table.put_many("item", 3)
    push.take(3)
    waiting = client.get(place=waiting, wait=span(10))
    assert len(waiting.records) == 3
    waiting = InBackground(client.get, place=waiting.token, wait=span(30))
    table.disable_stream()
    push.drain()
    assert push.end.reason == c.END_REASON_SHARD_END
    assert waiting.result().exhausted
    same.assert_same(push.records, table.records())


def test_a_seek_past_the_last_record_of_a_closed_shard_says_so(client, ended):
    now = a_later_second_than(time.time())
    for target in ({"shard": shard_of(ended)}, {"lease_id": client.open(ended).lease.lease_id}):
        answer = client.shard.SeekTo(c.SeekToRequest(**target, time=moment(now)))
        assert answer.outcome == c.SEEK_OUTCOME_SHARD_ENDED and not answer.records
    assert answer.session.exhausted
    assert client.get(place=answer.token).exhausted


def test_a_closed_shard_is_listed_so_and_has_all_the_children_it_will_have(client, ended):
    (shard,) = client.stream.ListShards(c.ListShardsRequest(stream=ended.stream_arn)).shards
    assert shard.state == c.SHARD_STATE_CLOSED and shard.ending_sequence_number
    answer = client.shard.ListChildren(c.ListChildrenRequest(shard=shard_of(ended)))
    assert not answer.children and answer.complete
    description = client.stream.DescribeStream(c.DescribeStreamRequest(stream=ended.stream_arn)).description
    assert description.status == c.STREAM_STATUS_DISABLED


def test_the_old_stream_stays_readable_when_a_new_one_is_enabled(client, ended):
    old = ended.records()
    new_arn = ended.enable_stream()
    ended.put("of the new stream")
    records, _ = client.read_to_tip(ended)
    same.assert_same(records, old)
    new_shard = ended.describe(new_arn)["Shards"][0]["ShardId"]
    by_name = c.ShardName(stream=ended.name, shard_id=new_shard)
    session = client.shard.OpenShard(c.OpenShardRequest(shard=by_name, position=horizon())).session
    assert session.stream_arn == new_arn
    assert same.keys(client.read(session.lease.lease_id, wait=span(10)).records) == ["of the new stream"]
    # MiniStack's shards have the same id in both streams: a token of one is not taken for the other.
    token = client.get(ended, horizon()).token
    with pytest.raises(grpc.RpcError) as failure:
        other = c.ShardName(stream=new_arn, shard_id=new_shard)
        client.shard.GetRecords(c.GetRecordsRequest(start=c.ShardStart(shard=other, token=token)))
    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
