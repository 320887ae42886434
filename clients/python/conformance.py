"""Plays the user of the Python client for the conformance suite; clients/conformance/README.md says how.

python conformance.py          the blocking client
python conformance.py --aio    the asyncio client
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import sys
import threading
import time
from typing import Any

import shardstream
from shardstream import aio


def say(**line: Any) -> None:
    """One line of what the user got."""
    print(json.dumps(line), flush=True)


def typed(raw: Any) -> Any:
    """An attribute in DynamoDB's JSON."""
    kind = raw.WhichOneof("value")
    match kind:
        case None:
            return {"unknown": base64.b64encode(raw.SerializeToString()).decode()}
        case "b":
            return {"B": base64.b64encode(raw.b).decode()}
        case "ss" | "ns":
            return {kind.upper(): sorted(getattr(raw, kind).values)}
        case "bs":
            return {"BS": sorted(base64.b64encode(value).decode() for value in raw.bs.values)}
        case "m":
            return {"M": {name: typed(value) for name, value in raw.m.entries.items()}}
        case "l":
            return {"L": [typed(value) for value in raw.l.values]}
    return {{"null_value": "NULL", "bool_value": "BOOL"}.get(kind, kind.upper()): getattr(raw, kind)}


def image(native: Any) -> Any:
    """Native values in DynamoDB's JSON: there and back, to show that nothing is lost."""
    if native is None:
        return None
    return {name: typed(value) for name, value in shardstream.to_attributes(native).items()}


def tell(record: shardstream.Record) -> None:
    """A record."""
    line = {"shard": record.shard_id, "sequence": record.sequence_number, "type": record.type, "id": record.id}
    line |= {"key": image(record.key), "new": image(record.new_image), "old": image(record.old_image)}
    try:
        line["changed"] = sorted(record.changed())
    except ValueError:
        line["changed"] = None
    say(record=line)


def loss(event: Any) -> dict[str, Any]:
    """A gap or an unreadable record."""
    if isinstance(event, shardstream.Gap):
        line = {"shard": event.shard_id, "cause": event.cause, "certain": event.certain}
        return {"gap": line | {"after": event.after_sequence_number, "before": event.before_sequence_number}}
    line = {"shard": event.shard_id, "sequence": event.sequence_number, "cause": event.cause}
    return {"unreadable": line | {"after": event.after_sequence_number}}


def tell_event(event: Any) -> None:
    """An event."""
    if isinstance(event, (shardstream.Gap, shardstream.Unreadable)):
        say(**loss(event))
        return
    match type(event).__name__:
        case "ShardOpen":
            say(shard_open=event.shard.shard_id)
        case "ShardEnd":
            say(shard_end=event.shard_id, children=[child.shard_id for child in event.children])
        case "StreamEnd":
            say(stream_end=event.stream_arn, next=event.next_stream_arn)
        case "Heartbeat":
            say(heartbeat={"at_tip": event.at_tip, "upstream_error": event.upstream_error})


def tell_error(error: shardstream.ShardstreamError) -> None:
    """What the client raised."""
    losses = [loss(one) for one in error.losses]
    line = {"kind": type(error).__name__, "code": error.code.name, "reason": error.reason, "token": error.token}
    say(error=line | {"losses": losses, "metadata": error.metadata, "retry_delay": error.retry_delay})


class Store(shardstream.MemoryTokenStore):
    """A store that tells what is saved."""

    def save(self, position: str) -> None:
        """Keeps it and tells."""
        super().save(position)
        token, *shards = position.split()
        say(stored=token, shard_tokens=shards)


class Tracing(shardstream.Hooks):
    """Sends a traceparent and tells of pauses."""

    def __init__(self, action: dict[str, Any]) -> None:
        self.action = action

    def traceparent(self, method: str) -> str | None:
        """What the action says."""
        return self.action.get("traceparent")

    def resume(self, error: shardstream.ShardstreamError, pause: float) -> None:
        """Only where the action wants to know."""
        if self.action.get("resumes"):
            say(resume=error.reason or error.code.name)


def start(said: Any) -> Any:
    """A start as the action says it."""
    if isinstance(said, dict):
        (kind, value), *_ = said.items()
        if kind == "time":
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        kinds = {"at": shardstream.at_sequence_number, "after": shardstream.after_sequence_number}
        return kinds[kind](value) if kind in kinds else value
    return said


def arguments(action: dict[str, Any]) -> dict[str, Any]:
    """Of `connect`."""
    found: dict[str, Any] = {"hooks": Tracing(action), "timing": shardstream.Timing(**action.get("timing", {}))}
    if credentials := action.get("credentials"):
        tokens = iter(credentials)
        found["credentials"] = credentials if isinstance(credentials, str) else lambda: next(tokens)
    if tls := action.get("tls"):
        found["tls"] = shardstream.Tls(**tls)
    if action.get("numbers") == "text":
        found["numbers"] = shardstream.Number
    return found


def options(action: dict[str, Any]) -> dict[str, Any]:
    """Of `subscribe` and its like."""
    names = ("on_gap", "on_unreadable", "heartbeat_interval", "heartbeats")
    found = {name: action[name] for name in names if name in action} | action.get("options", {})
    if "store" in action:
        found["store"] = Store(action["store"])
    return found


def open_stream(client: Any, action: dict[str, Any], place: Any, session: Any = None) -> Any:
    """The stream that the action wants."""
    if session is not None:
        return session.stream(**options(action))
    named = {"start": place} if place else {}
    if action["call"] == "stream_shard":
        return client.stream_shard(action.get("stream", ""), action.get("shard", ""), **named, **options(action))
    return client.subscribe(action.get("stream", ""), **named, **options(action))


class User:
    """What both clients' users do with a message."""

    def __init__(self, action: dict[str, Any]) -> None:
        self.action, self.records, self.messages = action, 0, 0

    def takes(self, message: shardstream.Message) -> bool:
        """Takes a message; False to leave the loop."""
        self.messages += 1
        for record in message:
            tell(record)
            self.records += 1
            if self.records == self.action.get("take"):
                return False
        if message.event is not None:
            tell_event(message.event)
        return self.messages != self.action.get("take_messages")


UNARY = {
    "server_info": lambda c, a: c.server_info(),
    "list_streams": lambda c, a: c.list_streams(a.get("table", "")),
    "describe_stream": lambda c, a: c.describe_stream(a["stream"]),
    "list_shards": lambda c, a: c.list_shards(a["stream"]),
    "list_children": lambda c, a: c.list_children(a["stream"], a["shard"]),
    "walk_tree": lambda c, a: c.walk_tree(a["stream"], a["shard"]),
    "get_records": lambda c, a: c.get_records(
        a.get("stream", ""), a.get("shard", ""), start(a.get("start", "TRIM_HORIZON")), **options(a)
    ),
}


def tells_row(row: Any, number: int, action: dict[str, Any]) -> bool:
    """A message of a watch; False to leave the loop."""
    say(watched=[shard.shard.shard_id for shard in row.shards], removed=list(row.removed_shard_ids))
    if number != action.get("take"):
        return True
    say(left=True)
    return False


def tell_answer(answer: Any) -> None:
    """What a unary call gave."""
    if isinstance(answer, shardstream.Batch):
        for record in answer:
            tell(record)
        for one in answer.unreadable:
            say(**loss(one))
        say(batch={"token": answer.token, "exhausted": answer.exhausted, "at_tip": answer.at_tip})
        return
    if not isinstance(answer, list):
        name = type(answer).__name__
        if name == "GetServerInfoResponse":
            say(version=answer.version, features=list(answer.features))
        elif name == "ListChildrenResponse":
            say(children=[child.shard_id for child in answer.children], complete=answer.complete)
        else:
            say(description=answer.stream_arn, status=answer.status)
        return
    for row in answer:
        if isinstance(row, tuple):
            say(depth=row[0], shard=row[1].shard_id)
        else:
            say(row=getattr(row, "shard_id", "") or row.stream_arn)


KEPT: list[Any] = []
"""Streams that nobody reads and nobody closes."""


def blocking(action: dict[str, Any]) -> None:
    """An action with the blocking client."""
    with shardstream.connect(action["target"], **arguments(action)) as client:
        if action["call"] in UNARY:
            tell_answer(UNARY[action["call"]](client, action))
            return
        if action["call"] == "session":
            session(client, action)
            return
        if action["call"] == "watch_shards":
            for number, row in enumerate(client.watch_shards(action["stream"]), 1):
                if not tells_row(row, number, action):
                    return
            say(ended=True)
            return
        place = start(action.get("start"))
        if action.get("beside"):
            KEPT.append(open_stream(client, action, place))
            next(KEPT[-1])
        if many := action.get("streams"):
            streams = [open_stream(client, action, place) for _ in range(many)]
            say(streams=sum(len(next(stream).records) for stream in streams))
            return
        while True:
            try:
                follow(open_stream(client, action, place), action)
                return
            except (shardstream.RecordsTrimmed, shardstream.RecordUnreadable) as error:
                tell_error(error)
                if not action.get("accept"):
                    return
                place = error.token


def follow(stream: Any, action: dict[str, Any]) -> None:
    """The loop."""
    user, begun = User(action), time.monotonic()
    if wait := action.get("cancel_after"):
        threading.Timer(wait, stream.cancel).start()
    for message in stream:
        if not user.takes(message):
            say(left=True)
            stream.cancel()
            break
        time.sleep(action.get("slow", 0))
    else:
        say(ended=True)
    if wait and time.monotonic() - begun > wait + 1:
        say(late=True)


def session(client: Any, action: dict[str, Any]) -> None:
    """A session with the blocking client."""
    with client.open_shard(action["stream"], action["shard"], start(action.get("start", ""))) as opened:
        for step in action["steps"]:
            match step:
                case "read":
                    tell_answer(opened.read())
                case "stream":
                    follow(opened.stream(**options(action)), action)
                case {"jump": place}:
                    opened.jump(start(place))
                case {"seek": when}:
                    tell_answer(opened.seek(start({"time": when})))
                case "renew":
                    opened.renew()


async def with_asyncio(action: dict[str, Any]) -> None:
    """An action with the asyncio client."""
    async with aio.connect(action["target"], **arguments(action)) as client:
        if action["call"] in UNARY:
            tell_answer(await UNARY[action["call"]](client, action))
            return
        if action["call"] == "session":
            await session_with_asyncio(client, action)
            return
        if action["call"] == "watch_shards":
            number = 0
            async for row in client.watch_shards(action["stream"]):
                number += 1
                if not tells_row(row, number, action):
                    return
            say(ended=True)
            return
        place = start(action.get("start"))
        if action.get("beside"):
            KEPT.append(open_stream(client, action, place))
            await anext(KEPT[-1])
        if many := action.get("streams"):
            streams = [open_stream(client, action, place) for _ in range(many)]
            got = await asyncio.gather(*(anext(stream) for stream in streams))
            say(streams=sum(len(message.records) for message in got))
            return
        while True:
            try:
                await follow_with_asyncio(open_stream(client, action, place), action)
                return
            except (shardstream.RecordsTrimmed, shardstream.RecordUnreadable) as error:
                tell_error(error)
                if not action.get("accept"):
                    return
                place = error.token


async def follow_with_asyncio(stream: Any, action: dict[str, Any]) -> None:
    """The loop."""
    user, begun = User(action), time.monotonic()
    if wait := action.get("cancel_after"):
        asyncio.get_running_loop().call_later(wait, stream.cancel)
    async for message in stream:
        if not user.takes(message):
            say(left=True)
            stream.cancel()
            break
        await asyncio.sleep(action.get("slow", 0))
    else:
        say(ended=True)
    if wait and time.monotonic() - begun > wait + 1:
        say(late=True)


async def session_with_asyncio(client: Any, action: dict[str, Any]) -> None:
    """A session with the asyncio client."""
    opened = await client.open_shard(action["stream"], action["shard"], start(action.get("start", "")))
    async with opened:
        for step in action["steps"]:
            match step:
                case "read":
                    tell_answer(await opened.read())
                case "stream":
                    await follow_with_asyncio(opened.stream(**options(action)), action)
                case {"jump": place}:
                    await opened.jump(start(place))
                case {"seek": when}:
                    tell_answer(await opened.seek(start({"time": when})))
                case "renew":
                    await opened.renew()


def report(error: Exception) -> None:
    """What the client raised, or what is wrong with it or with this program."""
    if isinstance(error, shardstream.ShardstreamError):
        tell_error(error)
    else:
        say(fault=f"{type(error).__name__}: {error}")


async def main_with_asyncio() -> None:
    """One action a line, in one event loop."""
    for line in sys.stdin:
        try:
            await with_asyncio(json.loads(line))
        except Exception as error:
            report(error)
        say(done=True)


def main() -> None:
    """One action a line, until there are no more."""
    for line in sys.stdin:
        try:
            blocking(json.loads(line))
        except Exception as error:
            report(error)
        say(done=True)


if __name__ == "__main__":
    if "--aio" in sys.argv[1:]:
        asyncio.run(main_with_asyncio())
    else:
        main()
