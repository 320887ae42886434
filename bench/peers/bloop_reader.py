"""bloop as its documentation shows it: a model, and `Engine.stream`. It is given a stream of one shard."""

import bloop
import boto3

from reading import Rising, measured, plan

plan = plan()
clients = {name: boto3.client(name, endpoint_url=plan["upstream"]) for name in ("dynamodb", "dynamodbstreams")}
engine = bloop.Engine(**clients)




class Item(bloop.BaseModel):
    class Meta:
        table_name = "one"
        stream = {"include": {"new", "old"}, "arn": plan["stream"]}

    pk = bloop.Column(bloop.String, hash_key=True)
    sk = bloop.Column(bloop.Integer, range_key=True)
    # `blob` is left out: bloop decodes base64 a second time and fails.
    name = bloop.Column(bloop.String)
    email = bloop.Column(bloop.String)
    balance = bloop.Column(bloop.Number)
    active = bloop.Column(bloop.Boolean)
    middle = bloop.Column(bloop.String)
    address = bloop.Column(bloop.Map(street=bloop.String, zip=bloop.String))
    tags = bloop.Column(bloop.Set(bloop.String))
    scores = bloop.Column(bloop.List(bloop.Number))
    note = bloop.Column(bloop.String)


engine.bind(Item, skip_table_setup=True)
Item.Meta.stream["arn"] = plan["stream"]


def read(wanted):
    stream, order = engine.stream(Item, "trim_horizon"), Rising()
    while order.seen < wanted:
        record = next(stream)
        if record is None:
            break
        order.note(record["meta"]["sequence_number"])
    return order.seen


read(plan["warm_records"])
measured(lambda: read(plan["records"]))
