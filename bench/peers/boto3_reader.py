"""The plain loop of boto3."""

import boto3

from reading import Rising, measured, plan, shards_with_counts

plan = plan()
client = boto3.client("dynamodbstreams", endpoint_url=plan["upstream"])


def read_shard(shard, wanted):
    answer = client.get_shard_iterator(StreamArn=plan["stream"], ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    iterator, order = answer["ShardIterator"], Rising()
    while iterator and order.seen < wanted:
        page = client.get_records(ShardIterator=iterator)
        for record in page["Records"]:
            order.note(record["dynamodb"]["SequenceNumber"])
        iterator = page.get("NextShardIterator")
    return order.seen


read_shard(plan["warm_shard"], plan["warm_records"])
measured(lambda: sum(read_shard(shard, wanted) for shard, wanted in shards_with_counts(plan)))
