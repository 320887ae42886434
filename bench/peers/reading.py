"""What the readers share: the plan, the words that are exchanged with the benchmark, and the check of what was read."""

import json
import sys

NUMBER_BEGIN = "7000000000000"


def plan():
    return json.loads(sys.argv[1])


def measured(read):
    """Gets going when told to, tells how many records `read` got, and stays until its CPU time was looked up."""
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps({"records": read()}), flush=True)
    sys.stdin.readline()


class Rising:
    """Counts records, each of which has to be the next one of its shard."""

    def __init__(self):
        self.seen = 0

    def note(self, number):
        if int(number.removeprefix(NUMBER_BEGIN)) != self.seen:
            raise ValueError(f"record {self.seen} was to come, and {number} came")
        self.seen += 1


def shards_with_counts(plan):
    """The shards in their order, each with how many of its records are wanted."""
    left = plan["records"]
    for shard in plan["shards"]:
        wanted = min(left, plan["shard_records"])
        left -= wanted
        yield shard, wanted
