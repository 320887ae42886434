"""The other end of a scenario: a gRPC server that follows a script, and a proxy before it that breaks connections."""

import asyncio
import functools
import itertools
import json
import pathlib
import sys
import time

import grpc
import grpc.aio
import trustme
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "python" / "src"))
from shardstream.v1 import record_pb2, server_service_pb2, shard_service_pb2, stream_service_pb2

MODULES = {
    f"{service.full_name}/{method.name}": (
        getattr(module, method.input_type.name),
        getattr(module, method.output_type.name),
    )
    for module in (shard_service_pb2, stream_service_pb2, server_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
SETTLE = 0.05
"""Seconds that what was sent is given to arrive before its connection breaks: a reset loses what is on its way."""


def item(shard, wish):
    """A record by its number, or by what differs from the plain one."""
    wish = dict(wish) if isinstance(wish, dict) else {"number": wish}
    number = str(wish.pop("number"))
    large, deep = wish.pop("large", 0), wish.pop("deep", 0)
    plain = {
        "key": {"id": {"s": f"item {number}"}},
        "newImage": {"id": {"s": f"item {number}"}, "n": {"n": number}},
        "meta": {
            "createdAt": "2026-11-27T08:00:00Z",
            "change": {"id": f"{shard}/{number}", "type": "CHANGE_TYPE_INSERT", "version": "1.1"},
            "sequenceNumber": number,
            "streamViewType": "STREAM_VIEW_TYPE_NEW_AND_OLD_IMAGES",
        },
    }
    for name, value in wish.items():
        plain[name] = plain[name] | value if name == "meta" else value
    record = json_format.ParseDict(plain, record_pb2.ChangeRecord(), ignore_unknown_fields=False)
    if large:
        record.new_image["large"].s = "x" * large
    if deep:
        record.new_image["deep"].CopyFrom(nested(deep))
    return record


def nested(levels):
    """A value with so many levels of maps and lists by turns."""
    value = record_pb2.AttributeValue(s="the bottom")
    for level in range(levels):
        outer = record_pb2.AttributeValue()
        if level % 2:
            outer.m.entries["in"].CopyFrom(value)
        else:
            outer.l.values.append(value)
        value = outer
    return value


def message(kind, step):
    """The bytes of a message as the script writes it."""
    step = dict(step)
    extra = b"".join(unknown_field(number) for number in step.pop("unknown_fields", ()))
    later_type = step.pop("unknown_value", None)
    made = kind()
    shard = step.pop("shard", "") if isinstance(step.get("shard"), str) else ""
    records = [item(shard or "a", wish) for wish in step.pop("records", ())]
    if shard:
        step["shardId"] = shard
    json_format.ParseDict(step, made)
    if records:
        made.records.extend(records)
    if later_type:
        # A value of a type that no release has: field 99 of AttributeValue.
        later = made.records[0].new_image[later_type]
        later.Clear()
        later.MergeFromString(unknown_field(99))
    return made.SerializeToString() + extra


def unknown_field(number):
    """A field that this release does not know."""
    tag, text = number << 3 | 2, b"from a later release"
    head = bytearray()
    while tag > 0x7F:
        head.append(tag & 0x7F | 0x80)
        tag >>= 7
    return bytes([*head, tag, len(text)]) + text


def details(status):
    """The status as it travels in the trailers."""
    made = status_pb2.Status(
        code=grpc.StatusCode[status["code"]].value[0], message=status.get("message", "said the script")
    )
    parts = []
    if "reason" in status:
        metadata = {name: str(value) for name, value in status.get("metadata", {}).items()}
        parts.append(error_details_pb2.ErrorInfo(reason=status["reason"], domain="shardstream", metadata=metadata))
    if "retry" in status:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(status["retry"] * 1e9))
        parts.append(retry)
    for part in parts:
        packed = any_pb2.Any()
        packed.Pack(part)
        made.details.append(packed)
    return (("grpc-status-details-bin", made.SerializeToString()),) if parts else ()


class Proxy:
    """Passes bytes on, until it is told to break, to swallow or to refuse."""

    def __init__(self):
        self.backend, self.port = None, 0
        self._server, self._pipes = None, []

    async def listen(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader, writer):
        if self.backend is None:
            writer.transport.abort()
            return
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self.backend)
        except OSError:  # The server went away while the client came.
            writer.transport.abort()
            return
        pipe = {"writers": (writer, other_writer), "swallows": False}
        self._pipes.append(pipe)
        await asyncio.gather(self._pump(reader, other_writer, pipe), self._pump(other_reader, writer, pipe))

    async def _pump(self, reader, writer, pipe):
        try:
            while data := await reader.read(65536):
                if not pipe["swallows"]:
                    writer.write(data)
                    await writer.drain()
        except (ConnectionError, OSError):
            pass
        if not pipe["swallows"]:
            writer.close()

    def cut(self):
        """Resets every connection."""
        for pipe in self._pipes:
            for writer in pipe["writers"]:
                writer.transport.abort()
        self._pipes = []

    def swallow(self):
        """Connections that are open give nothing any more and do not end."""
        for pipe in self._pipes:
            pipe["swallows"] = True

    async def refuse(self, seconds):
        """Is not there for a while."""
        # The port is kept, so that nobody else can get it.
        backend, self.backend = self.backend, None
        self.cut()
        await asyncio.sleep(seconds)
        self.backend = backend

    async def close(self):
        self._server.close()
        self.cut()


class Certificates:
    """PEM files of two CAs, of a server that the first vouches for, and of a client."""

    def __init__(self, folder):
        ours, other = trustme.CA(), trustme.CA()
        self._ours, self._server = ours, ours.issue_cert("localhost", "127.0.0.1")
        self.files = {name: str(pathlib.Path(folder) / f"{name}.pem") for name in ("ca", "other", "certificate", "key")}
        client = ours.issue_cert("client@example.org")
        ours.cert_pem.write_to_path(self.files["ca"])
        other.cert_pem.write_to_path(self.files["other"])
        client.private_key_pem.write_to_path(self.files["key"])
        for part in client.cert_chain_pems:
            part.write_to_path(self.files["certificate"], append=True)

    def of_server(self, wants_client):
        """The server's side; with `wants_client` clients show a certificate."""
        chain = b"".join(part.bytes() for part in self._server.cert_chain_pems)
        pair = [(self._server.private_key_pem.bytes(), chain)]
        return grpc.ssl_server_credentials(pair, self._ours.cert_pem.bytes(), wants_client)


class Call:
    """One call as the server saw it."""

    def __init__(self, method, request, metadata, begun):
        self.method, self.request, self.metadata, self.begun = method, request, metadata, begun
        self.ended = None
        self.cancelled = False
        self.peer = ""


class Stage(grpc.GenericRpcHandler):
    """Plays the server's part of a scenario."""

    def __init__(self, script, tls=None):
        self._tls = tls
        self._script = list(itertools.chain.from_iterable([part] * part.get("times", 1) for part in script))
        self.calls, self.faults = [], []
        self.proxy, self._servers, self._tasks = Proxy(), [], []

    async def __aenter__(self):
        await self._serve()
        await self.proxy.listen()
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await self.proxy.close()
        for server in self._servers:
            await server.stop(0)

    @property
    def target(self):
        return f"127.0.0.1:{self.proxy.port}"

    async def _serve(self):
        options = [("grpc.max_concurrent_streams", 100), ("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)]
        server = grpc.aio.server(handlers=(self,), options=options)
        if self._tls is None:
            self.proxy.backend = server.add_insecure_port("127.0.0.1:0")
        else:
            self.proxy.backend = server.add_secure_port("127.0.0.1:0", self._tls)
        await server.start()
        self._servers.append(server)

    def service(self, details):
        return grpc.unary_stream_rpc_method_handler(functools.partial(self._answer, details))

    async def _answer(self, given, request, context):
        name = given.method.removeprefix("/")
        kinds = MODULES[name]
        asked = json_format.MessageToDict(kinds[0].FromString(request))
        metadata = {key: value for key, value in given.invocation_metadata if isinstance(value, str)}
        call = Call(name.rpartition("/")[2], asked, metadata, time.monotonic())
        call.peer = context.peer()
        self.calls.append(call)
        if len(self.calls) > len(self._script):
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the scenario has no further call")
        part = self._script[len(self.calls) - 1]
        try:
            if "headers" in part:
                await context.send_initial_metadata(tuple(part["headers"].items()))
            for step in part.get("play", ()):
                async for data in self._play(kinds[1], step, context, call):
                    yield data
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        finally:
            call.ended = call.ended or time.monotonic()

    async def _play(self, kind, step, context, call):
        match step:
            case "hang":
                await asyncio.Future()
            case "cut" | "swallow":
                await asyncio.sleep(SETTLE)
                call.ended = time.monotonic()
                getattr(self.proxy, step)()
                await asyncio.Future()
            case {"kill": seconds}:
                await asyncio.sleep(SETTLE)
                call.ended = time.monotonic()
                self._tasks.append(asyncio.create_task(self.proxy.refuse(seconds)))
                await asyncio.Future()
            case "goaway":
                old = self._servers[-1]
                await self._serve()
                self._tasks.append(asyncio.create_task(old.stop(5)))
            case {"pause": seconds}:
                await asyncio.sleep(seconds)
            case {"status": status}:
                call.ended = time.monotonic()
                text = status.get("message", "said the script")
                await context.abort(grpc.StatusCode[status["code"]], text, details(status))
            case {"repeat": times, "steps": inner}:
                for number in range(1, times + 1):
                    for filled in json.loads(json.dumps(inner).replace("%d", str(number))):
                        async for data in self._play(kind, filled, context, call):
                            yield data
            case _:
                yield message(kind, step)
