"""A gRPC client that knows the .proto files and nothing else, and the promises that every answer of the server must keep."""

import contextlib
import threading
from concurrent import futures

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from . import contract as c

DEADLINE = 30
"""Seconds that a call may take unless the test says otherwise."""


class _Remember(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Notes which RPCs were called, and gives every call a deadline."""

    def __init__(self, called):
        self._called = called

    def intercept_unary_unary(self, continuation, details, request):
        self._called.add(details.method)
        return continuation(_with_deadline(details), request)

    intercept_unary_stream = intercept_unary_unary


class _Details(grpc.ClientCallDetails):
    def __init__(self, details, timeout):
        for name in ("method", "metadata", "credentials", "wait_for_ready", "compression"):
            setattr(self, name, getattr(details, name, None))
        self.timeout = timeout


def _with_deadline(details):
    return details if details.timeout is not None else _Details(details, DEADLINE)


class Client:
    """Stubs on one channel, with gRPC's own defaults: answers of at most 4 MiB."""

    called = set()
    """The RPCs that any client called, as `/package.Service/Method`."""

    def __init__(self, address):
        # A channel of its own: otherwise gRPC shares a connection among the channels to one address.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        self.address = address
        self.plain = grpc.insecure_channel(address, options=options)
        channel = grpc.intercept_channel(self.plain, _Remember(self.called))
        self.shard = c.ShardServiceStub(channel)
        self.stream = c.StreamServiceStub(channel)
        self.server = c.ServerServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    def close(self):
        """Closes the channel."""
        self.plain.close()

    def open(self, table, place=None, **fields):
        """OpenShard on a table's shard; `place` is a Position, a token, or None. Returns the session."""
        request = c.OpenShardRequest(shard=shard_of(table), **_place(place), **fields)
        return self.shard.OpenShard(request).session

    def get(self, table=None, place=None, **fields):
        """GetRecords without a lease."""
        return checked(self.shard.GetRecords(c.GetRecordsRequest(start=start(table, place), **fields)))

    def read(self, lease_id, **fields):
        """GetRecords on a lease."""
        return checked(self.shard.GetRecords(c.GetRecordsRequest(lease_id=lease_id, **fields)))

    def push(self, table=None, place=None, *, lease_id=None, timeout=None, **fields):
        """StreamRecords, from a place or on a lease."""
        source = {"lease_id": lease_id} if lease_id else {"start": start(table, place)}
        return Push(self.shard.StreamRecords(c.StreamRecordsRequest(**source, **fields), timeout=timeout))

    def subscribe(self, stream="", place=None, *, timeout=None, **fields):
        """Subscribe to a stream, named by its ARN or its table, from a Position, or a token, or where a `Subscription` stands."""
        if isinstance(place, Subscription):
            place, fields["shard_tokens"] = place.token, place.shard_tokens
        request = c.SubscribeRequest(stream=stream, **_place(place), **fields)
        return Subscription(self.stream.Subscribe(request, timeout=timeout))

    def serving(self, service=""):
        """Whether the server says that it serves."""
        answer = self.health.Check(health_pb2.HealthCheckRequest(service=service))
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    def read_to_tip(self, table, place=None, **fields):
        """Every record up to the tip or the end, by GetRecords without a lease, as a simple client's loop would."""
        answer = self.get(table, place or horizon(), **fields)
        records = list(answer.records)
        while answer.records or not (answer.at_tip or answer.exhausted):
            answer = self.get(place=answer.token, **fields)
            records += answer.records
        return records, answer.token


class Responses:
    """A response stream: an iterator over its messages that holds each of them to the contract."""

    def __init__(self, call):
        self._call = call
        self.messages = []
        self.end = None

    def __iter__(self):
        return self

    def __next__(self):
        message = next(self._call)
        assert self.end is None, "`end` is the last message"
        event = message.WhichOneof("event")
        assert bool(message.records) != (event is not None), "records or one event, never both, never neither"
        if message.records:
            assert message.shard_id
        self._check(message, event)
        if event == "end":
            self.end = message.end
        self.messages.append(message)
        return message

    def _check(self, message, event):
        raise NotImplementedError

    @property
    def records(self):
        """The records of every message so far."""
        return [record for message in self.messages for record in message.records]

    def events(self, kind):
        """The events of one kind, so far."""
        return [getattr(message, kind) for message in self.messages if message.WhichOneof("event") == kind]

    def drain(self):
        """Reads to the end. A stream that had begun has an `end`, and the status that belongs to its reason."""
        error = self._rest()
        if self.end is None and error is not None:
            raise error
        code = error.code() if error else grpc.StatusCode.OK
        assert self.end is not None, f"ended {code} without `end`"
        assert code == STATUS_OF[self.end.reason], f"{c.EndReason.Name(self.end.reason)} came with {code}"

    def until_broken(self):
        """Reads until the server is gone: there is no `end` then."""
        error = self._rest()
        assert self.end is None and error is not None and error.code() == grpc.StatusCode.UNAVAILABLE, error

    def take(self, count):
        """Reads until at least so many records have come."""
        while len(self.records) < count:
            next(self)
        return self.records

    def next_event(self, kind):
        """Reads up to an event of one kind, and returns it."""
        for message in self:
            if message.WhichOneof("event") == kind:
                return getattr(message, kind)
        raise AssertionError(f"the stream ended before a {kind}")

    def cancel(self):
        """Cancels the call."""
        self._call.cancel()

    def _rest(self):
        try:
            for _ in self:
                pass
        except grpc.RpcError as error:
            return error
        return None


class Push(Responses):
    """A StreamRecords call."""

    def _check(self, message, event):
        assert message.token, "every message has a token"

    @property
    def token(self):
        """The token of the last message: what a client keeps."""
        return self.messages[-1].token


class Subscription(Responses):
    """A Subscribe call. A client keeps `token`, which covers the first `covered` records; it may keep `shard_tokens` beside it."""

    def __init__(self, call):
        super().__init__(call)
        self.token = ""
        self.covered = 0
        self._newer = {}
        self._reading = set()
        self._past = set()

    def _check(self, message, event):
        if event in ("heartbeat", "gap", "stream_end", "end"):
            assert message.token, f"{event} always has the token"
        if message.records or event == "unreadable":
            assert message.shard_token, "records always have their shard's token"
        if message.records:
            assert message.shard_id in self._reading, "records come between the opening of their shard and its end"
            numbers = {(message.shard_id, record.meta.sequence_number) for record in message.records}
            assert len(numbers) == len(message.records) and not numbers & self._past, "nothing comes twice"
            self._past |= numbers
        if event == "shard_open":
            assert message.shard_open.shard.shard_id not in self._reading, "a shard is opened once"
            self._reading.add(message.shard_open.shard.shard_id)
        if event == "shard_end":
            self._reading.remove(message.shard_end.shard_id)
        if event == "stream_end":
            assert not self._reading, "a stream ends after all of its shards"
            # Some emulators name the shard of every stream alike.
            self._past.clear()
        if message.shard_token:
            self._newer[message.shard_id or message.gap.shard_id or message.unreadable.shard_id] = message.shard_token
        if message.token:
            self.token, self.covered = message.token, len(self.records) + len(message.records)
            self._newer.clear()

    def begin(self):
        """Waits until the server has begun to answer: with LATEST, nothing that is written from then on is missed."""
        self._call.initial_metadata()
        return self

    @property
    def shard_tokens(self):
        """The newest token of each shard that sent one since the stream's `token`."""
        return list(self._newer.values())


STATUS_OF = {
    c.END_REASON_SHARD_END: grpc.StatusCode.OK,
    c.END_REASON_STREAM_END: grpc.StatusCode.OK,
    c.END_REASON_LIMIT: grpc.StatusCode.OK,
    c.END_REASON_DRAINING: grpc.StatusCode.UNAVAILABLE,
    c.END_REASON_MAX_AGE: grpc.StatusCode.UNAVAILABLE,
    c.END_REASON_UPSTREAM: grpc.StatusCode.UNAVAILABLE,
    c.END_REASON_SUPERSEDED: grpc.StatusCode.ABORTED,
    c.END_REASON_LEASE_CLOSED: grpc.StatusCode.ABORTED,
    c.END_REASON_GAP: grpc.StatusCode.OUT_OF_RANGE,
    c.END_REASON_UNREADABLE: grpc.StatusCode.DATA_LOSS,
}
"""Which status follows which reason."""


def checked(answer):
    """A GetRecords answer, held to the contract."""
    assert answer.token, "every answer has a token"
    assert not (answer.records and answer.exhausted), "records or exhausted, never both"
    return answer


def shard_of(table):
    """The name of a table's one shard."""
    return c.ShardName(stream=table.stream_arn, shard_id=table.shard_id)


def start(table=None, place=None):
    """Where to read without a lease; the table may be left out beside a token."""
    return c.ShardStart(shard=shard_of(table) if table else None, **_place(place))


def _place(place):
    if place is None:
        return {}
    return {"token": place} if isinstance(place, str) else {"position": place}


def horizon():
    """The oldest record."""
    return c.Position(iterator_type=c.ITERATOR_TYPE_TRIM_HORIZON)


def latest():
    """The end."""
    return c.Position(iterator_type=c.ITERATOR_TYPE_LATEST)


def at(sequence_number):
    """The first record numbered so or more."""
    return c.Position(iterator_type=c.ITERATOR_TYPE_AT_SEQUENCE_NUMBER, sequence_number=sequence_number)


def after(sequence_number):
    """The first record numbered more."""
    return c.Position(iterator_type=c.ITERATOR_TYPE_AFTER_SEQUENCE_NUMBER, sequence_number=sequence_number)


def at_time(seconds):
    """The first record created at or after a time."""
    return c.Position(iterator_type=c.ITERATOR_TYPE_AT_TIMESTAMP, time=moment(seconds))


def moment(seconds):
    """A Timestamp of seconds since 1970."""
    return Timestamp(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))


def span(seconds):
    """A Duration of seconds."""
    return Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))


@contextlib.contextmanager
def refused(code, reason):
    """The block's call fails with this status, and its ErrorInfo has this reason. Yields a dict that gets its metadata."""
    metadata = {}
    try:
        yield metadata
    except grpc.RpcError as error:
        info = error_info(error)
        assert (error.code(), info and info.reason) == (code, reason), f"{error.code()} {info} {error.details()}"
        assert info.domain == "shardstream"
        metadata.update(info.metadata)
    else:
        raise AssertionError(f"not refused with {code} {reason}")


def error_info(error):
    """The google.rpc.ErrorInfo of a failed call, or None."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info
    return None


class InBackground:
    """A function that runs beside the test; `result()` waits for it and raises what it raised."""

    def __init__(self, function, *arguments, **named):
        self._outcome = futures.Future()

        def run():
            try:
                self._outcome.set_result(function(*arguments, **named))
            except BaseException as error:
                self._outcome.set_exception(error)

        # Not an executor: its threads would be waited for at the end, whatever they wait for.
        threading.Thread(target=run, daemon=True).start()

    @property
    def is_done(self):
        """Whether there is a result."""
        return self._outcome.done()

    def result(self, within=60):
        """What the function returned. Safe to repeat."""
        return self._outcome.result(within)
