"""A gRPC client and boto3 read the same stream and see the same records, in every field and value."""

from support import contract as c
from support import same, values
from support.client import horizon, span
from support.upstreams import Table


def test_reading_without_a_lease_gives_what_boto3_reads(client, written):
    records, _ = client.read_to_tip(written)
    same.assert_same(records, written.records)


def test_reading_on_a_lease_gives_what_boto3_reads(client, written):
    session = client.open(written, horizon())
    records = []
    while True:
        answer = client.read(session.lease.lease_id)
        records += answer.records
        if not answer.records and answer.at_tip:
            break
    same.assert_same(records, written.records)


def test_reading_a_few_records_at_a_time_gives_what_boto3_reads(client, written):
    records, _ = client.read_to_tip(written, max_records=7)
    same.assert_same(records, written.records)


def test_reading_a_few_bytes_at_a_time_gives_what_boto3_reads(client, written):
    answer = client.get(written, horizon(), max_bytes=1)
    assert len(answer.records) == 1, "one record always fits"
    records, _ = client.read_to_tip(written, max_bytes=2_000)
    same.assert_same(records, written.records)


def test_pushed_records_are_what_boto3_reads(client, written):
    push = client.push(written, horizon(), until=c.Until(at_tip=True))
    push.drain()
    assert push.end.reason == c.END_REASON_LIMIT
    same.assert_same(push.records, written.records)


def test_pushed_in_small_messages_they_are_what_boto3_reads(client, written):
    push = client.push(written, horizon(), until=c.Until(at_tip=True), max_batch_records=3, max_batch_bytes=16 * 1024)
    push.drain()
    same.assert_same(push.records, written.records)
    for message in push.messages:
        assert len(message.records) <= 3
        # 16 KiB of records and a small tail, or one record that is larger.
        assert len(message.records) <= 1 or message.ByteSize() < 17 * 1024


def test_records_written_while_they_are_pushed_are_what_boto3_reads(upstream, client, table):
    count = 0
    push = client.push(table, horizon(), heartbeat_interval=span(1))
    assert push.next_event("heartbeat") is not None
    for item in values.items(upstream.containers, upstream.item_bytes).values():
        table.put_item(item)
        count += 1
    push.take(count)
    push.cancel()
    same.assert_same(push.records, table.records())


def test_keys_alone_and_one_image_alone_are_what_boto3_reads(upstream, client):
    for view in ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE"):
        table = Table(upstream, view)
        table.put("item", number={"N": "1"})
        table.put("item", number={"N": "2"})
        table.delete("item")
        records, _ = client.read_to_tip(table)
        same.assert_same(records, table.records())
        assert len(records) == 3


def test_a_range_key_is_part_of_the_key(upstream, client):
    table = Table(upstream, range_key=True)
    table.put("item", sk={"S": "first"})
    table.put("item", sk={"S": "second"})
    records, _ = client.read_to_tip(table)
    same.assert_same(records, table.records())
    assert [record.key["sk"].s for record in records] == ["first", "second"]
