"""Reads a table's stream by the client; with `--aio` by the one for asyncio."""

import asyncio
import sys

import shardstream
from reading import measured
from shardstream import aio


def taken(record):
    """Every field, in Python's own types."""
    made = record.id, record.type, record.sequence_number, record.key, record.old_image, record.new_image
    assert made[-1]["id"], "a record without its item"
    return made


def blocking(server, _, table, records):
    """The loop."""
    seen = 0
    with shardstream.connect(server) as client:
        for message in client.subscribe(table, until={"record_count": records}):
            for record in message:
                taken(record)
                seen += 1
    return seen


async def with_asyncio(server, table, records):
    """The loop."""
    seen = 0
    async with aio.connect(server) as client:
        async for message in client.subscribe(table, until={"record_count": records}):
            for record in message:
                taken(record)
                seen += 1
    return seen


if __name__ == "__main__":
    if "--aio" in sys.argv:
        measured(lambda server, _, table, records: asyncio.run(with_asyncio(server, table, records)))
    else:
        measured(blocking)
