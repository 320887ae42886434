"""Reads a table's stream by bloop, into a model that has every attribute."""

import bloop
import boto3
from botocore.config import Config
from reading import measured

ADDRESS = bloop.Map(street=bloop.String, city=bloop.String, zip=bloop.Number)
LINE = bloop.Map(sku=bloop.String, n=bloop.Number)


def opened(dynamodb, table):
    """An engine, and the model."""
    places = {"endpoint_url": dynamodb, "region_name": "eu-west-1"}
    places |= {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    # The embedded DynamoDB's shard ids are shorter than AWS's.
    config = Config(parameter_validation=False)
    clients = {service: boto3.client(service, config=config, **places) for service in ("dynamodb", "dynamodbstreams")}
    engine = bloop.Engine(**clients)

    class Item(bloop.BaseModel):
        """The items of bench.py."""

        class Meta:
            """Which table."""

            table_name = table
            stream = {"include": {"new", "old"}}  # noqa: RUF012
            billing = {"mode": "on_demand"}  # noqa: RUF012

        id = bloop.Column(bloop.String, hash_key=True)
        customer = bloop.Column(bloop.String)
        note = bloop.Column(bloop.String)
        price = bloop.Column(bloop.Number)
        count = bloop.Column(bloop.Number)
        paid = bloop.Column(bloop.Boolean)
        cancelled = bloop.Column(bloop.String)
        picture = bloop.Column(bloop.Binary)
        tags = bloop.Column(bloop.Set(bloop.String))
        address = bloop.Column(ADDRESS)
        lines = bloop.Column(bloop.List(LINE))

    # Binding asks for backups, which the embedded DynamoDB does not have.
    engine.bind(Item, skip_table_setup=True)
    Item.Meta.stream["arn"] = clients["dynamodbstreams"].list_streams(TableName=table)["Streams"][0]["StreamArn"]
    return engine, Item


OPENED = []


def read(_, dynamodb, table, records):
    """The loop."""
    if not OPENED:
        OPENED.extend(opened(dynamodb, table))
    engine, item = OPENED
    stream, seen = engine.stream(item, "trim_horizon"), 0
    while seen < records:
        record = next(stream)
        if record is not None:
            made = record["meta"]["event"]["id"], record["meta"]["event"]["type"], record["new"], record["old"]
            assert made[2].id and made[2].note, "a record without its item"
            seen += 1
    return seen


if __name__ == "__main__":
    measured(read)
