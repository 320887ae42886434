"""A stream of many shards that come and go: written, and read by whoever can, in one form."""

KEYS = 20
"""How many keys take turns."""


def tree(table):
    """All shards, by id, from all pages of the listing."""
    shards, start = {}, {}
    while True:
        page = table.describe(**start)
        shards.update({shard["ShardId"]: shard for shard in page["Shards"]})
        if "LastEvaluatedShardId" not in page:
            return shards
        start = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}


def write(table, count, first=0):
    """Changes keys in turn."""
    for number in range(first, first + count):
        table.put(f"k{number % KEYS}", number={"N": str(number)})


def by_boto3(table):
    """Every record of every shard, as (key, count, number)."""
    found = []
    for shard_id in tree(table):
        for record in table.records(shard_id=shard_id):
            image = record["dynamodb"]["NewImage"]
            found.append((image["pk"]["S"], int(image["number"]["N"]), record["dynamodb"]["SequenceNumber"]))
    return found


def by_us(subscription, count):
    """The same, as Subscribe gives it, in the order in which it came."""
    found = []
    for record in subscription.take(count):
        found.append((record.key["pk"].s, int(record.new_image["number"].n), record.meta.sequence_number))
    return found


def numbers(records):
    """The sequence numbers alone."""
    return {number for *_, number in records}


def is_in_order(records):
    """Whether the changes of each key are in the order in which they were made."""
    newest = {}
    for key, count, _ in records:
        if count <= newest.get(key, -1):
            return False
        newest[key] = count
    return True
