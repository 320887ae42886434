"""The asyncio client.

`sync.py` is made from this file by `unasync.py`: the blocking client is the same without `async` and `await`.
"""

from __future__ import annotations

import datetime
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import grpc

from . import _aio_io as io
from ._core import (
    LOG,
    RPCS,
    Backoff,
    Bearer,
    Config,
    Following,
    Hooks,
    Rpc,
    Start,
    Timing,
    Tls,
    Watched,
    policy,
    start_fields,
)
from .errors import ShardstreamError, Unauthenticated, error_of
from .records import Batch, Message, Record, unreadable_of
from .stores import TokenStore
from .v1 import position_pb2, server_service_pb2, shard_service_pb2, stream_service_pb2
from .values import Numbers

Policy = Literal["fail", "continue"]


def _shard(stream: str, shard_id: str) -> dict[str, Any]:
    """The field that names a shard; none where the token names it."""
    return {"shard": position_pb2.ShardName(stream=stream, shard_id=shard_id)} if shard_id else {}


def connect(
    target: str,
    *,
    tls: Tls | bool = False,
    credentials: str | Callable[[], Any] | None = None,
    numbers: Numbers | None = None,
    timing: Timing | None = None,
    hooks: Hooks | None = None,
    streams_per_channel: int = 90,
    options: Iterable[tuple[str, Any]] = (),
) -> Client:
    """A client of the server at `target`, in gRPC's notation: `host:port`, `dns:///name:port`.

    tls: True for the system's certificates, or `Tls(...)`.
    credentials: a bearer token, or a function that fetches one; it is called anew when the server refuses the token.
        Without TLS they go to this machine only.
    numbers: what makes numbers of their text; `Decimal` unless given.
    streams_per_channel: a server takes 100 calls on a connection; past this many streams another one is opened.
    options: of gRPC's channels, beside the client's own.
    """
    given = {"numbers": numbers, "timing": timing, "hooks": hooks}
    config = Config(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    certificates = Tls() if tls is True else tls or None
    return Client(
        target, certificates, Bearer(credentials, target, certificates), config, streams_per_channel, tuple(options)
    )


class _Lane:
    """A connection, and the streams on it. A retired one takes no new calls."""

    def __init__(self, channel: io.Channel) -> None:
        self.channel = channel
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self.is_retired = False


class _Watch:
    """A stream of shards as a connection knows it."""

    call: Any = None

    def cancel(self) -> None:
        """Ends the call."""
        if self.call is not None:
            self.call.cancel()


class Client:
    """A server, over as many connections as its streams need."""

    def __init__(
        self, target: str, tls: Tls | None, bearer: Bearer, config: Config, most: int, options: tuple[Any, ...]
    ) -> None:
        self._target, self._tls, self._bearer, self._config = target, tls, bearer, config
        self._most, self._options = most, options
        self._lanes: list[_Lane] = []
        self._closed = False

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections, and with them all streams."""
        self._closed = True
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            for stream in list(lane.streams):
                stream.cancel()
            await lane.channel.close()

    def subscribe(
        self,
        stream: str = "",
        start: Start = "TRIM_HORIZON",
        *,
        store: TokenStore | None = None,
        on_gap: Policy = "fail",
        on_unreadable: Policy = "fail",
        heartbeat_interval: float = 10.0,
        heartbeats: bool = False,
        **options: Any,
    ) -> Subscription:
        """Every record of a stream, by its table's name or its ARN; goes on by itself when the connection breaks.

        start: where to start when the store is empty: "TRIM_HORIZON", "LATEST", a time, or a position that was kept.
        store: keeps the position, each time your code has returned for a message. Delivery is at least once: after a
            crash what your code had not returned for comes again.
        on_gap, on_unreadable: "fail" raises `RecordsTrimmed` or `RecordUnreadable` with the token that goes on;
            "continue" gives a `Gap` or an `Unreadable` as `message.event` and goes on.
        heartbeats: whether to give heartbeats too.
        options: the other fields of `SubscribeRequest`, such as `until`, `order` and `max_batch_records`.
        """
        options |= {"on_gap": on_gap, "on_unreadable": on_unreadable}
        options |= {"heartbeat_interval": heartbeat_interval, "heartbeats": heartbeats}
        return Subscription(self, "Subscribe", {"stream": stream}, start, options, store)

    def stream_shard(
        self,
        stream: str = "",
        shard_id: str = "",
        start: Start = "TRIM_HORIZON",
        *,
        store: TokenStore | None = None,
        on_gap: Policy = "fail",
        on_unreadable: Policy = "fail",
        heartbeat_interval: float = 10.0,
        heartbeats: bool = False,
        **options: Any,
    ) -> Subscription:
        """The records of one shard, as `subscribe` gives those of a stream. A token as `start` names its shard."""
        options |= {"on_gap": on_gap, "on_unreadable": on_unreadable}
        options |= {"heartbeat_interval": heartbeat_interval, "heartbeats": heartbeats}
        return Subscription(self, "StreamRecords", _shard(stream, shard_id), start, options, store)

    async def server_info(self) -> server_service_pb2.GetServerInfoResponse:
        """The server's version, upstream, limits and defaults."""
        info: server_service_pb2.GetServerInfoResponse = await self._unary("GetServerInfo")
        return info

    async def list_streams(self, table_name: str = "") -> list[stream_service_pb2.StreamSummary]:
        """The streams of one table, or all."""
        return await self._pages("ListStreams", "streams", table_name=table_name)

    async def describe_stream(self, stream: str) -> stream_service_pb2.StreamDescription:
        """What a stream is."""
        answer: stream_service_pb2.DescribeStreamResponse = await self._unary("DescribeStream", stream=stream)
        return answer.description

    async def list_shards(self, stream: str) -> list[position_pb2.Shard]:
        """All shards of a stream."""
        return await self._pages("ListShards", "shards", stream=stream)

    async def list_children(self, stream: str, shard_id: str) -> shard_service_pb2.ListChildrenResponse:
        """A shard's children, and whether there can be more."""
        answer: shard_service_pb2.ListChildrenResponse
        answer = await self._unary("ListChildren", **_shard(stream, shard_id))
        return answer

    async def walk_tree(self, stream: str, shard_id: str) -> list[tuple[int, position_pb2.Shard]]:
        """A shard and its descendants, each with its depth."""
        rows = await self._unary("WalkTree", **_shard(stream, shard_id))
        return [(row.depth, row.shard) for row in rows]

    async def watch_shards(self, stream: str) -> AsyncIterator[stream_service_pb2.WatchShardsResponse]:
        """How far the server has read each shard: all of them first, then each change.

        Goes on by itself when the connection breaks: then all come again, and those that are gone by then are among
        the removed.
        """
        rpc, watched, watch, renewed = RPCS["WatchShards"], Watched(), _Watch(), False
        backoff = Backoff(self._config.timing)
        while not self._closed:
            watched.begin()
            backoff.opening()
            metadata = await self._metadata(rpc)
            with self._lane(watch) as lane:
                watch.call = lane.channel.unary_stream(rpc.path, **rpc.types)(
                    rpc.request(stream=stream), metadata=metadata
                )
                try:
                    async for row in watch.call:
                        backoff.heard(True)
                        renewed = False
                        watched.take(row)
                        yield row
                    return
                except io.FAILURES as failed:
                    if self._closed:
                        return
                    if not isinstance(failed, grpc.RpcError):
                        raise
                    error = error_of(failed)
                finally:
                    watch.cancel()
            await self._retire(lane, error)
            if not renewed and self._renews(error, metadata):
                renewed = True
                continue
            await io.Waiter().wait(self._pause(error, backoff.pause(error)))

    async def get_records(
        self,
        stream: str = "",
        shard_id: str = "",
        start: Start = "TRIM_HORIZON",
        *,
        wait: float = 0,
        on_unreadable: Policy = "fail",
        **options: Any,
    ) -> Batch:
        """One read of a shard without a session; `start=batch.token` reads on."""
        where = position_pb2.ShardStart(**_shard(stream, shard_id), **start_fields(start))
        return await self._read(wait, on_unreadable, start=where, **options)

    async def open_shard(self, stream: str = "", shard_id: str = "", start: Start = "") -> Session:
        """A session: a cursor on one shard that the server keeps under a lease."""
        fields = _shard(stream, shard_id) | start_fields(start or "")
        answer: shard_service_pb2.OpenShardResponse = await self._unary("OpenShard", **fields)
        return Session(self, answer.session)

    async def _read(self, wait: float, on_unreadable: Policy, **fields: Any) -> Batch:
        request = shard_service_pb2.GetRecordsRequest(unreadable_policy=policy(on_unreadable, "SKIP"), **fields)
        request.wait.FromNanoseconds(int(wait * 1e9))
        answer = await self._unary("GetRecords", request, timeout=wait + 30)
        unreadable = [unreadable_of(raw) for raw in answer.unreadable]
        return Batch(self._records(answer), answer.token, answer.exhausted, answer.at_tip, unreadable)

    def _records(self, answer: Any) -> list[Record]:
        return [Record(raw, answer.session.shard_id, self._config.numbers) for raw in answer.records]

    async def _pages(self, rpc: str, name: str, **fields: Any) -> list[Any]:
        rows: list[Any] = []
        while True:
            answer = await self._unary(rpc, **fields)
            rows += getattr(answer, name)
            if not answer.next_page_token:
                return rows
            fields["page_token"] = answer.next_page_token

    async def _unary(self, rpc: str, request: Any = None, timeout: float = 60.0, **fields: Any) -> Any:
        """One call, made again while its time lasts where that may help: a failed call has moved nothing."""
        method, backoff, renewed = RPCS[rpc], Backoff(self._config.timing, timeout), False
        request = request or method.request(**fields)
        while True:
            metadata = await self._metadata(method)
            try:
                with self._lane(None) as lane:
                    if method.gives_rows:
                        rows = lane.channel.unary_stream(method.path, **method.types)
                        return [row async for row in rows(request, metadata=metadata, timeout=timeout)]
                    call = lane.channel.unary_unary(method.path, **method.types)
                    return await call(request, metadata=metadata, timeout=timeout)
            except grpc.RpcError as failed:
                error = error_of(failed)
            await self._retire(lane, error)
            if not renewed and self._renews(error, metadata):
                renewed = True
                continue
            await io.Waiter().wait(self._pause(error, backoff.pause(error)))

    def _pause(self, error: ShardstreamError, pause: float) -> float:
        LOG.info("again in %.1f s: %s", pause, error)
        self._config.hooks.resume(error, pause)
        return pause

    def _renews(self, error: ShardstreamError, metadata: Iterable[tuple[str, str]]) -> bool:
        """Whether the credentials were refused and can be fetched anew."""
        if not isinstance(error, Unauthenticated) or not self._bearer.is_renewable:
            return False
        # Of many calls that are refused the first alone drops the token.
        if ("authorization", f"Bearer {self._bearer.token}") in metadata:
            self._bearer.token = None
        return True

    async def _metadata(self, rpc: Rpc) -> tuple[tuple[str, str], ...]:
        bearer = self._bearer
        if bearer.token is None and bearer.source is not None:
            bearer.token = await io.settle(bearer.source()) if callable(bearer.source) else bearer.source
        traceparent = self._config.hooks.traceparent(rpc.path)
        pairs = ("authorization", bearer.token and f"Bearer {bearer.token}"), ("traceparent", traceparent)
        return tuple((name, value) for name, value in pairs if value)

    def _take_lane(self, stream: Any) -> _Lane:
        if self._closed:
            raise RuntimeError("the client is closed")
        self._lanes = [lane for lane in self._lanes if lane.streams or not lane.is_retired]
        for lane in self._lanes:
            if not lane.is_retired and (stream is None or len(lane.streams) < self._most):
                break
        else:
            lane = _Lane(io.open_channel(self._target, self._tls, self._options))
            self._lanes.append(lane)
        if stream is not None:
            lane.streams.add(stream)
        return lane

    async def _retire(self, lane: _Lane | None, error: ShardstreamError) -> None:
        """No new calls on a connection that may be dead, as an error says that is not the server's own.

        Not every release of gRPC finds back by itself. Streams that still live on it go on, until the client is closed.
        """
        if lane is None or error.reason:
            return
        lane.is_retired = True
        if not lane.streams and lane in self._lanes:
            self._lanes.remove(lane)
            await lane.channel.close()

    @contextmanager
    def _lane(self, stream: Any) -> Iterator[_Lane]:
        lane = self._take_lane(stream)
        try:
            yield lane
        finally:
            if stream is not None:
                lane.streams.discard(stream)


class Subscription:
    """The messages of a stream or shard. Leaving the loop, or `close`, ends it at once."""

    def __init__(
        self,
        client: Client,
        rpc: str,
        source: dict[str, Any],
        start: Start,
        options: dict[str, Any],
        store: TokenStore | None,
    ) -> None:
        self._client, self._store = client, store
        self._following = Following(client._config, rpc, source, start, options)
        self._reader: io.Reader | None = None
        self._lane: _Lane | None = None
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._waiter = io.Waiter()
        self._given: Any = None
        self._kept = ""
        self._loaded = self._renewed = self._closed = False

    @property
    def position(self) -> str:
        """Goes on after everything that your code has returned for; on any server, in any process."""
        return self._following.progress.position

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self._next()
        except BaseException:
            self.cancel()
            raise

    async def _next(self) -> Message:
        if self._given is not None:
            # The program came back for more: it is done with what it had.
            self._following.cover(self._given)
            self._given = None
        while not (self._closed or self._client._closed):
            await self._keep()
            try:
                reader = self._reader or await self._open()
                raw = await reader.read()
            except grpc.RpcError as failed:
                await self._again(error_of(failed, self._following.end))
                continue
            except ShardstreamError as silence:
                await self._again(silence)
                continue
            if raw is None:
                break
            self._renewed = False
            message = self._following.take(raw)
            if message is not None:
                self._given = raw
                return message
        raise StopAsyncIteration

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Ends the stream at once, from any task or thread; the loop over it ends."""
        self._closed = True
        self._waiter.close()
        self._drop()

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:
            reader.close()

    def _drop(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        if self._lane is not None:
            self._lane.streams.discard(self)

    async def _open(self) -> io.Reader:
        client, following = self._client, self._following
        if self._store is not None and not self._loaded:
            self._kept = await io.settle(self._store.load())
            following.start_at(self._kept)
            self._loaded = True
        self._metadata = await client._metadata(following.rpc)
        self._lane = client._take_lane(self)
        method = self._lane.channel.unary_stream(following.rpc.path, **following.rpc.types)
        call = method(following.request(), metadata=self._metadata)
        self._reader = io.Reader(call, following.silence)
        return self._reader

    async def _keep(self) -> None:
        if self._store is not None and self._loaded and (position := self.position) != self._kept:
            await io.settle(self._store.save(position))
            self._kept = position

    async def _again(self, error: ShardstreamError) -> None:
        if self._following.is_met:
            self.cancel()  # The end was lost on its way.
        if self._closed or self._client._closed:
            return
        if self._reader is not None:
            self._following.anchor(await self._reader.headers())
        self._drop()
        await self._client._retire(self._lane, error)
        if not self._renewed and self._client._renews(error, self._metadata):
            self._renewed = True
            return
        await self._waiter.wait(self._client._pause(error, self._following.again(error)))


class Session:
    """A cursor on one shard that the server keeps under a lease, renewed by every call."""

    def __init__(self, client: Client, state: shard_service_pb2.ShardSession) -> None:
        self._client = client
        self.state = state
        """Where the session stood at the last call."""

    @property
    def lease_id(self) -> str:
        """Names the session."""
        return self.state.lease.lease_id

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def read(self, *, wait: float = 0, on_unreadable: Policy = "fail", **options: Any) -> Batch:
        """The next records. If the answer is lost on its way the same records come again, none is skipped."""
        fields = {"lease_id": self.lease_id, "request_id": uuid.uuid4().hex}
        return await self._client._read(wait, on_unreadable, **fields, **options)

    async def jump(self, start: Start) -> None:
        """Moves to a position."""
        answer = await self._client._unary("JumpTo", lease_id=self.lease_id, **start_fields(start))
        self.state = answer.session

    async def seek(self, time: datetime.datetime, **options: Any) -> Batch:
        """The first records made at or after a time; the session stands after them."""
        request = shard_service_pb2.SeekToRequest(lease_id=self.lease_id, **options)
        request.time.FromDatetime(time.astimezone(datetime.timezone.utc))
        answer = await self._client._unary("SeekTo", request, timeout=300)
        self.state = answer.session
        ended = answer.outcome == shard_service_pb2.SEEK_OUTCOME_SHARD_ENDED
        at_tip = answer.outcome == shard_service_pb2.SEEK_OUTCOME_AT_TIP
        return Batch(self._client._records(answer), answer.token, ended, at_tip)

    def stream(
        self,
        *,
        on_gap: Policy = "fail",
        on_unreadable: Policy = "fail",
        heartbeat_interval: float = 10.0,
        heartbeats: bool = False,
        **options: Any,
    ) -> Subscription:
        """The records from where the session stands, as they arrive."""
        options |= {"on_gap": on_gap, "on_unreadable": on_unreadable}
        options |= {"heartbeat_interval": heartbeat_interval, "heartbeats": heartbeats}
        return Subscription(self._client, "StreamRecords", {"lease_id": self.lease_id}, "", options, None)

    async def refresh(self) -> shard_service_pb2.ShardSession:
        """Where the session stands now."""
        answer = await self._client._unary("GetShardSession", lease_id=self.lease_id)
        self.state = answer.session
        return self.state

    async def renew(self) -> None:
        """Renews the lease and does nothing else."""
        await self._client._unary("RenewLease", lease_id=self.lease_id)

    async def close(self) -> None:
        """Ends the session."""
        await self._client._unary("CloseShard", lease_id=self.lease_id)
