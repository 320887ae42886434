"""What memory.py asks for, with the client for asyncio."""

import asyncio
import sys

from shardstream import aio


async def follow(client, table, had):
    """Reads for ever."""
    async for _ in client.subscribe(table, "LATEST", heartbeats=True, heartbeat_interval=1):
        had.set()


async def main(server, table, what):
    """Stays as it is at the end."""
    client = aio.connect(server)
    await client.server_info()
    if what == "slow":
        slow = client.subscribe(table)
        await anext(slow)
    else:
        events = [asyncio.Event() for _ in range(int(what))]
        tasks = [asyncio.create_task(follow(client, table, had)) for had in events]
        for had in events:
            await had.wait()
        assert not any(task.done() for task in tasks)
    print("ready", flush=True)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
