"""Two servers over one upstream, and a client that goes from one to the other with each call and keeps only tokens."""

import itertools

import pytest

from support import contract as c
from support import same
from support.client import Client, at_time, horizon, latest, moment, shard_of, span
from support.server import QUICK, Server


@pytest.fixture
def turns(upstream, server, running):
    """The clients of two servers by turns, for ever."""
    other = running(f"second server over {upstream.name}", lambda: Server(upstream.endpoint, *QUICK, name="second server"))
    pair = [Client(server.address), Client(other.address)]
    yield itertools.cycle(pair)
    for client in pair:
        client.close()


def test_reading_by_turns_is_whole(turns, written):
    answer = next(turns).get(written, horizon(), max_records=4)
    records = list(answer.records)
    while answer.records or not answer.at_tip:
        answer = next(turns).get(place=answer.token, max_records=4)
        records += answer.records
    same.assert_same(records, written.records)


def test_reading_by_turns_while_records_are_written_is_whole(turns, table):
    answer = next(turns).get(table, horizon())
    records = list(answer.records)
    for number in range(30):
        table.put(f"item {number}")
        answer = next(turns).get(place=answer.token, max_records=3, wait=span(10))
        records += answer.records
    while len(records) < 30:
        answer = next(turns).get(place=answer.token, wait=span(10))
        assert answer.records
        records += answer.records
    same.assert_same(records, table.records())


def test_streams_by_turns_are_whole(turns, written):
    messages, place = [], (written, horizon())
    while True:
        push = next(turns).push(*place, until=c.Until(record_count=9, at_tip=True), max_batch_records=4)
        push.drain()
        messages += push.messages
        place = (None, push.token)
        if len(push.records) < 9:
            break
    same.assert_same([record for message in messages for record in message.records], written.records)


def test_streams_broken_off_at_any_message_are_whole(turns, written):
    received, place = [], (written, horizon())
    while len(received) < len(written.records):
        push = next(turns).push(*place, max_batch_records=6)
        for _ in range(2):
            next(push)
        push.cancel()
        received += push.records
        place = (None, push.token)
    same.assert_same(received, written.records)


def test_seeks_by_turns_are_whole(turns, written):
    request = c.SeekToRequest(shard=shard_of(written), time=moment(written.middle), max_records=5)
    answers = [next(turns).shard.SeekTo(request) for _ in range(4)]
    for answer in answers:
        assert answer.outcome == c.SEEK_OUTCOME_FOUND
        assert answer.records == answers[0].records and len(answer.records) == 5
        # The place of one is read on by the other.
        rest, _ = next(turns).read_to_tip(None, answer.token)
        same.assert_same(list(answer.records) + rest, written.records[-30:])
    answer = next(turns).get(written, at_time(written.middle), max_records=5)
    assert answer.records == answers[0].records


def test_children_by_turns_are_the_same(turns, written):
    answers = [next(turns).shard.ListChildren(c.ListChildrenRequest(shard=shard_of(written))) for _ in range(4)]
    assert all(answer == answers[0] for answer in answers)
    trees = [list(next(turns).shard.WalkTree(c.WalkTreeRequest(shard=shard_of(written)))) for _ in range(2)]
    assert trees[0] == trees[1]


def test_the_latest_of_one_server_misses_nothing_on_the_other(turns, table):
    table.put_many("before", 3)
    token = next(turns).get(table, latest()).token
    keys = table.put_many("after", 5)
    records, _ = next(turns).read_to_tip(None, token)
    assert same.keys(records)[-5:] == keys
    push = next(turns).push(place=token, until=c.Until(at_tip=True))
    push.drain()
    assert same.keys(push.records)[-5:] == keys


def test_subscriptions_by_turns_are_whole(turns, written):
    messages, place = [], (written.table.name, horizon())
    while True:
        subscription = next(turns).subscribe(*place, until=c.Until(record_count=9, at_tip=True), max_batch_records=4)
        subscription.drain()
        messages += subscription.messages
        place = ("", subscription.token)
        if len(subscription.records) < 9:
            break
    same.assert_same([record for message in messages for record in message.records], written.records)


def test_subscriptions_broken_off_at_any_message_are_whole(turns, written):
    received, place = [], (written.table.name, horizon())
    while len(received) < len(written.records):
        subscription = next(turns).subscribe(*place, max_batch_records=6)
        while not subscription.covered:
            next(subscription)
        subscription.cancel()
        received += subscription.records[: subscription.covered]
        place = ("", subscription.token)
    same.assert_same(received, written.records)


def test_subscriptions_broken_off_are_whole_with_the_newer_tokens_of_their_shards(turns, written):
    received, place = [], (written.table.name, horizon())
    while len(received) < len(written.records):
        options = {"checkpoint_interval": span(60), "heartbeat_interval": span(60), "max_batch_records": 6}
        subscription = next(turns).subscribe(*place, **options)
        while not subscription.token or not subscription.records:
            next(subscription)
        subscription.cancel()
        received += subscription.records
        place = ("", subscription)
    same.assert_same(received, written.records)


def test_subscriptions_by_turns_while_records_are_written_are_whole(turns, table):
    received, place = [], (table.name, horizon())
    for number in range(20):
        table.put(f"item {number}")
        subscription = next(turns).subscribe(*place, until=c.Until(record_count=1))
        subscription.drain()
        received += subscription.records
        place = ("", subscription.token)
    same.assert_same(received, table.records())


def test_a_subscription_from_the_latest_of_one_server_misses_nothing_on_the_other(turns, table):
    table.put_many("before", 3)
    subscription = next(turns).subscribe(table.name, latest(), heartbeat_interval=span(1))
    subscription.next_event("heartbeat")
    token = subscription.token
    subscription.cancel()
    keys = table.put_many("after", 5)
    resumed = next(turns).subscribe("", token, until=c.Until(at_tip=True))
    resumed.drain()
    assert same.keys(resumed.records)[-5:] == keys


def test_both_serve_one_shard_to_many_clients_at_once(turns, written):
    pushes = [next(turns).push(written, horizon(), until=c.Until(at_tip=True)) for _ in range(6)]
    for push in pushes:
        push.drain()
        same.assert_same(push.records, written.records)
