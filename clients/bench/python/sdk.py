"""Reads a table's stream by the plain loop of boto3, with boto3's own deserializer."""

import boto3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from reading import measured

NATIVE = TypeDeserializer().deserialize


def image(raw):
    """Every field, in Python's own types."""
    return {name: NATIVE(value) for name, value in raw.items()} if raw else None


def read(_, dynamodb, table, records):
    """The loop."""
    client = boto3.client(
        "dynamodbstreams",
        endpoint_url=dynamodb,
        region_name="eu-west-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        # The embedded DynamoDB's shard ids are shorter than AWS's.
        config=Config(parameter_validation=False),
    )
    arn = client.list_streams(TableName=table)["Streams"][0]["StreamArn"]
    seen = 0
    for shard in client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = client.get_shard_iterator(**place)["ShardIterator"]
        while iterator and seen < records:
            page = client.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                entry = record["dynamodb"]
                made = (
                    record["eventID"],
                    record["eventName"],
                    entry["SequenceNumber"],
                    image(entry.get("Keys")),
                    image(entry.get("OldImage")),
                    image(entry.get("NewImage")),
                )
                assert made[-1]["id"], "a record without its item"
                seen += 1
            iterator = page.get("NextShardIterator")
    return seen


if __name__ == "__main__":
    measured(read)
