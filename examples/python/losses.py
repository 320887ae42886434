"""Follows a stream and says what was lost, in its place; what to do about it is yours.

    pip install ./clients/python
    python examples/python/losses.py tell|stop TABLE TOKEN_FILE [HOST:PORT]
"""

import sys

from shardstream import FileTokenStore, Gap, RecordsTrimmed, RecordUnreadable, Unreadable, connect


def tell(table, store, server="localhost:50051"):
    """Goes on over losses: they are events between the records."""
    with connect(server) as client:
        for message in client.subscribe(table, store=store, on_gap="continue", on_unreadable="continue"):
            match message.event:
                case Gap(shard_id=shard, certain=certain, after_sequence_number=after):
                    print(f"{shard}: {'lost' if certain else 'may have lost'} records after {after or 'its beginning'}")
                case Unreadable(shard_id=shard, sequence_number=number, cause=cause):
                    print(f"{shard}: record {number} cannot be read: {cause}")
            for record in message:
                print(f"{record.shard_id}: {record.sequence_number}")


def stop(table, store, server="localhost:50051"):
    """Stops at a loss, as a client does unless told otherwise, and accepts it knowingly."""
    with connect(server) as client:
        while True:
            try:
                for message in client.subscribe(table, store=store):
                    for record in message:
                        print(f"{record.shard_id}: {record.sequence_number}")
                return  # Only a stream that is named by its ARN has an end.
            except (RecordsTrimmed, RecordUnreadable) as error:
                print(f"accepted: {error.losses}")
                store.save(error.token)  # Without this the next loop stops at the same loss.


if __name__ == "__main__":
    way, table, file, *server = sys.argv[1:]
    {"tell": tell, "stop": stop}[way](table, FileTokenStore(file), *server)
