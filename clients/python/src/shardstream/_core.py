"""What both clients share: options, requests, how far a stream has come, when to come again. Nothing here waits."""

from __future__ import annotations

import datetime
import decimal
import logging
import os
import pathlib
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import grpc

from . import records
from .errors import ShardstreamError, Unavailable, may_pass
from .v1 import events_pb2, position_pb2, server_service_pb2, shard_service_pb2, stream_service_pb2
from .values import Numbers

LOG = logging.getLogger("shardstream")

Position = position_pb2.Position
Start = str | datetime.datetime | Position
"""Where to start: a position that was kept, a time, or one of the positions below."""

TRIM_HORIZON = Position(iterator_type=position_pb2.ITERATOR_TYPE_TRIM_HORIZON)
"""The oldest record that is kept; the text "TRIM_HORIZON" means the same."""
LATEST = Position(iterator_type=position_pb2.ITERATOR_TYPE_LATEST)
"""What is written from now on; the text "LATEST" means the same."""

_NAMED: dict[str, Start] = {"TRIM_HORIZON": TRIM_HORIZON, "LATEST": LATEST}


def at_sequence_number(number: str) -> Position:
    """The first record of a shard that is numbered `number` or more."""
    return Position(iterator_type=position_pb2.ITERATOR_TYPE_AT_SEQUENCE_NUMBER, sequence_number=number)


def after_sequence_number(number: str) -> Position:
    """The first record of a shard that is numbered more than `number`."""
    return Position(iterator_type=position_pb2.ITERATOR_TYPE_AFTER_SEQUENCE_NUMBER, sequence_number=number)


@dataclass(frozen=True)
class Timing:
    """How long the client waits, in seconds."""

    first_pause: float = 0.2
    longest_pause: float = 10.0
    """Pauses between attempts double from the first to the longest; half of each is drawn by lot."""
    patience: float = 600.0
    """Give up when attempts have failed for so long, with no sign in between that the server is well."""
    lasting: float = 10.0
    """After a stream has lived so long the next pause is the first again."""
    least_heartbeat: float = 1.0
    """The shortest heartbeat interval that the server grants; three of them without a message count as silence."""


class Hooks:
    """What metrics and tracing want to know. Override what is needed; every method must be quick."""

    def traceparent(self, method: str) -> str | None:
        """The W3C `traceparent` to send with a call; None sends none."""

    def message(self, message: records.Message) -> None:
        """A message is about to be given to the program."""

    def resume(self, error: ShardstreamError, pause: float) -> None:
        """A call failed and is made again after `pause` seconds."""


@dataclass(frozen=True)
class Config:
    """What all calls of a client have in common."""

    numbers: Numbers = decimal.Decimal
    timing: Timing = field(default_factory=Timing)
    hooks: Hooks = field(default_factory=Hooks)


@dataclass(frozen=True)
class Tls:
    """TLS with PEM files, read for each channel: the CA if it is not the system's; for mTLS the client's pair."""

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC makes of the files."""
        files = [pathlib.Path(file).read_bytes() if file else None for file in (self.ca, self.key, self.certificate)]
        return grpc.ssl_channel_credentials(*files)


class Rpc:
    """One method of the server."""

    def __init__(self, name: str, request: Any, answer: Any) -> None:
        self.path = f"/shardstream.v1.{name}"
        self.request = request
        self.types = {"request_serializer": request.SerializeToString, "response_deserializer": answer.FromString}
        self.gives_rows = name.endswith("/WalkTree")
        """Whether its answer is a list of messages, which is taken whole or not at all."""


def _rpcs(service: str, module: Any, names: str) -> dict[str, Rpc]:
    pairs = {name: (getattr(module, f"{name}Request"), getattr(module, f"{name}Response")) for name in names.split()}
    return {name: Rpc(f"{service}/{name}", *pair) for name, pair in pairs.items()}


_SHARD = "OpenShard RenewLease CloseShard JumpTo SeekTo GetRecords ListChildren WalkTree StreamRecords GetShardSession"
RPCS = (
    _rpcs("StreamService", stream_service_pb2, "ListStreams DescribeStream ListShards Subscribe WatchShards")
    | _rpcs("ShardService", shard_service_pb2, _SHARD)
    | _rpcs("ServerService", server_service_pb2, "GetServerInfo")
)


def start_fields(start: Start) -> dict[str, Any]:
    """The arm of a request's `start` without the tokens of single shards."""
    if isinstance(start, str):
        start = _NAMED.get(start, start)
    if isinstance(start, str):
        return {"token": start.split()[0]} if start else {}
    if isinstance(start, datetime.datetime):
        position = Position(iterator_type=position_pb2.ITERATOR_TYPE_AT_TIMESTAMP)
        position.time.FromDatetime(start.astimezone(datetime.timezone.utc))
        return {"position": position}
    return {"position": start}


def policy(said: str, goes_on: str) -> Any:
    """The value of a policy in a request; `goes_on` is the contract's word for "continue"."""
    kinds = {"CONTINUE": events_pb2.GapPolicy, "SKIP": events_pb2.UnreadablePolicy}
    prefix = {"CONTINUE": "GAP_POLICY_", "SKIP": "UNREADABLE_POLICY_"}[goes_on]
    if said not in ("fail", "continue"):
        raise ValueError(f"a policy is 'fail' or 'continue', not {said!r}")
    return kinds[goes_on].Value(prefix + ("FAIL" if said == "fail" else goes_on))


class Progress:
    """How far a stream has come, and which records must not be given a second time."""

    MOST_SHARD_TOKENS = 10_000

    def __init__(self, position: str = "") -> None:
        self.token, *tokens = position.split() or [""]
        self.shard_tokens = {token: token for token in tokens}
        """The newest token of each shard that came after `token`."""
        self._given: dict[str, tuple[int, set[str]]] = {}
        """The last sequence number given of each shard since `token`, and the ids of the changes that bear it."""
        self._repeats: dict[str, tuple[int, set[str]]] = {}
        """The same as of the last resume: until a shard has passed it, its records may be repeats."""

    @property
    def position(self) -> str:
        """The text that goes on after everything that is covered. Empty before the first token."""
        return " ".join([self.token, *self.tokens]) if self.token else ""

    @property
    def tokens(self) -> list[str]:
        """The tokens of shards to send beside the stream's."""
        return list(self.shard_tokens.values())[: self.MOST_SHARD_TOKENS] if self.token else []

    def cover(self, raw: Any) -> None:
        """The program is done with this message: its tokens count from now on."""
        if raw.token:
            self.token = raw.token
            self.shard_tokens.clear()
            self._given.clear()
        elif raw.shard_token:
            event = raw.WhichOneof("event")
            shard_id = getattr(raw, event).shard_id if event in ("gap", "unreadable") else raw.shard_id
            self.shard_tokens[shard_id] = raw.shard_token

    def give(self, raw: Any) -> list[Any]:
        """The records of a message that were not given before; they count as given from now on."""
        fresh = [record for record in raw.records if not self._is_repeat(raw.shard_id, record.meta)]
        for record in fresh:
            number = record.meta.sequence_number
            if number:
                last, ids = self._given.get(raw.shard_id, (-1, set()))
                ids = ids if int(number) == last else set()
                self._given[raw.shard_id] = (int(number), ids | {record.meta.change.id})
        return fresh

    def resume(self) -> None:
        """A new stream begins. The server repeats nothing when it honours all tokens; this is for when it cannot."""
        self._repeats |= self._given

    def _is_repeat(self, shard_id: str, meta: Any) -> bool:
        if shard_id not in self._repeats or not meta.sequence_number:
            return False
        last, ids = self._repeats[shard_id]
        if int(meta.sequence_number) > last:
            del self._repeats[shard_id]
        # Streams that are not AWS's may give several records one number.
        return int(meta.sequence_number) < last or (int(meta.sequence_number) == last and meta.change.id in ids)


class Backoff:
    """When to come again."""

    def __init__(self, timing: Timing, patience: float = float("inf")) -> None:
        self._timing, self._patience = timing, min(patience, timing.patience)
        self._next = timing.first_pause
        self._opened = time.monotonic()
        self._failing_since: float | None = None

    def opening(self) -> None:
        """A stream is being opened."""
        self._opened = time.monotonic()

    def heard(self, served: bool) -> None:
        """A message came; `served`: it shows that the server is well."""
        if served:
            self._failing_since = None
        if served or time.monotonic() - self._opened > self._timing.lasting:
            self._next = self._timing.first_pause

    def pause(self, error: ShardstreamError) -> float:
        """How long to wait before the next attempt. Raises what must not be repeated, or was for too long."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if not may_pass(error) or now - self._failing_since + (error.retry_delay or 0.0) > self._patience:
            raise error
        pause: float = self._next * (0.5 + random.random() / 2)
        self._next = min(self._next * 2, self._timing.longest_pause)
        return max(pause, error.retry_delay or 0.0)


class Following:
    """One stream of records across all its connections: makes requests, takes messages, decides what happens next."""

    def __init__(self, config: Config, rpc: str, source: dict[str, Any], start: Start, options: dict[str, Any]) -> None:
        self._config, self._rpc, self._source, self._options = config, RPCS[rpc], source, options
        self._start: Start = ""
        self._on_gap, self._on_unreadable = options.pop("on_gap"), options.pop("on_unreadable")
        self._heartbeats: bool = options.pop("heartbeats")
        self._interval: float = options.pop("heartbeat_interval")
        self.progress = Progress()
        self.start_at(start)
        self._backoff = Backoff(config.timing)
        self._count = 0
        self._losses: list[Any] = []
        self._end: events_pb2.End | None = None
        self._newest = ""
        self._served = False

    def start_at(self, start: Start) -> None:
        """Starts there; an empty text changes nothing."""
        if isinstance(start, str):
            start = _NAMED.get(start, start)
        if isinstance(start, str):
            self.progress = Progress(start) if start else self.progress
        else:
            self._start = start

    @property
    def rpc(self) -> Rpc:
        """The method to call."""
        return self._rpc

    @property
    def is_met(self) -> bool:
        """Whether the limit that the program set is met. Asking for none that are left would be asking for all."""
        most: int = self._rpc.request(**self._options).until.record_count
        return 0 < most <= self._count

    @property
    def silence(self) -> float:
        """After how many seconds without a message the connection counts as dead."""
        return 3 * max(self._interval, self._config.timing.least_heartbeat)

    def request(self) -> Any:
        """The request that goes on from here."""
        self.progress.resume()
        self._backoff.opening()
        self._losses, self._end, self._newest, self._served = [], None, "", False
        request = self._rpc.request(
            gap_policy=policy(self._on_gap, "CONTINUE"),
            unreadable_policy=policy(self._on_unreadable, "SKIP"),
            **self._options,
        )
        request.heartbeat_interval.FromNanoseconds(int(self._interval * 1e9))
        if request.until.record_count:
            request.until.record_count -= self._count
        fields = self._source | start_fields(self.progress.token or self._start)
        if self._rpc is RPCS["StreamRecords"] and "lease_id" not in fields:
            fields = {"start": position_pb2.ShardStart(**fields)}
        elif self._rpc is RPCS["Subscribe"]:
            fields["shard_tokens"] = self.progress.tokens
        request.MergeFrom(self._rpc.request(**fields))
        return request

    def take(self, raw: Any) -> records.Message | None:
        """The message for the program; None when there is nothing in it for a program. That is covered at once."""
        event = raw.WhichOneof("event")
        self._backoff.heard(bool(raw.records) or (event == "heartbeat" and not raw.heartbeat.upstream_error))
        self._newest = raw.token or self._newest
        if event == "end":
            self._end = raw.end
        else:
            self._served = True
        if (event == "gap" and self._on_gap == "fail") or (event == "unreadable" and self._on_unreadable == "fail"):
            # Not covered, nor is what follows: whoever starts again is told of the loss again, until it is accepted.
            self._losses.append(_event(raw, event))
            return None
        fresh = self.progress.give(raw)
        is_quiet = event in (None, "end") or (event == "heartbeat" and not self._heartbeats)
        if is_quiet and not fresh:
            self.cover(raw)
            return None
        self._count += len(fresh)
        given = [records.Record(record, raw.shard_id, self._config.numbers) for record in fresh]
        message = records.Message(raw.shard_id, given, _event(raw, event), raw.token)
        self._config.hooks.message(message)
        return message

    def cover(self, raw: Any) -> None:
        """The program is done with this message."""
        if not self._losses:
            self.progress.cover(raw)

    def again(self, error: ShardstreamError) -> float:
        """How long to wait before going on; raises what must not be repeated, with the token that goes on."""
        error.losses = self._losses
        # The token of the last message stands behind the loss; what is covered stands before it.
        error.token = error.token or (self._newest if self._losses else self.progress.position)
        pause = self._backoff.pause(error)
        if self._served and self._end is not None and self._end.reason == events_pb2.END_REASON_MAX_AGE:
            return error.retry_delay or 0.0
        return pause

    @property
    def end(self) -> events_pb2.End | None:
        """The last message of the stream, once it came."""
        return self._end

    def anchor(self, headers: Iterable[tuple[str, Any]] | None) -> None:
        """LATEST was found when the stream was opened. If it breaks before its first token the next one starts then."""
        if self.progress.token or not isinstance(self._start, Position) or self._start != LATEST:
            return
        for name, value in headers or ():
            if name == "date":
                self._start = parsedate_to_datetime(value) - datetime.timedelta(seconds=3)


class Watched:
    """The shards that a watch has told of, across all its connections."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._before: set[str] = set()
        """Of a new connection: what was known before it and was not told again yet."""

    def begin(self) -> None:
        """A connection is opened: it tells of all shards again, and not of those that went away meanwhile."""
        self._before |= self._known
        self._known = set()

    def take(self, row: stream_service_pb2.WatchShardsResponse) -> None:
        """A message; the last of the first round has what went away among the removed."""
        ids = {shard.shard.shard_id for shard in row.shards}
        self._known = (self._known | ids) - set(row.removed_shard_ids)
        self._before -= ids
        if row.complete:
            row.removed_shard_ids.extend(sorted(self._before - set(row.removed_shard_ids)))
            self._before = set()


def silence_error(seconds: float) -> ShardstreamError:
    """The error of a connection that gave nothing for so long."""
    return Unavailable(f"nothing came for {seconds:g} s, not even a heartbeat", grpc.StatusCode.UNAVAILABLE)


class Bearer:
    """A bearer token: a text, or a function that fetches one. It is kept until the server refuses it."""

    def __init__(self, source: str | Callable[[], Any] | None, target: str, tls: Tls | None) -> None:
        here = re.match(r"((ipv[46]|dns):/*)?(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$|unix:", target)
        if source is not None and tls is None and not here:
            raise ValueError("credentials travel by TLS, or to this machine only: give `tls`")
        self.source = source
        self.token: str | None = None

    @property
    def is_renewable(self) -> bool:
        """Whether a refused token can be replaced."""
        return callable(self.source)


def channel_options(extra: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The options of a channel: each has connections of its own, and calls are repeated by this client alone."""
    ours: dict[str, Any] = {
        "grpc.use_local_subchannel_pool": 1,
        "grpc.enable_retries": 0,
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.max_receive_message_length": 32 << 20,
        "grpc.initial_reconnect_backoff_ms": 200,
        "grpc.min_reconnect_backoff_ms": 1_000,
        "grpc.max_reconnect_backoff_ms": 5_000,
        "grpc.lb_policy_name": "round_robin",
        "grpc.primary_user_agent": "shardstream-python/0.1.0",
    }
    return list((ours | dict(extra)).items())


def _event(raw: Any, event: str | None) -> Any:
    if event == "gap":
        return records.gap_of(raw.gap)
    if event == "unreadable":
        return records.unreadable_of(raw.unreadable)
    return getattr(raw, event) if event and event != "end" else None
