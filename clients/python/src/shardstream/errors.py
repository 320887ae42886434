"""What calls raise: one class for each thing that a program may want to do about it.

The `reason` is the server's (docs/errors.md explains each); a reason that this release does not know gets the class of
its status code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from .v1.events_pb2 import End


class ShardstreamError(Exception):
    """A call failed. `token`, where there is one, is where to go on."""

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN, reason: str = "") -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        self.reason = reason
        self.metadata: dict[str, str] = {}
        self.retry_delay: float | None = None
        self.token = ""
        self.losses: Sequence[Any] = ()
        """The `Gap`s or `Unreadable`s that were the cause."""


class InvalidRequest(ShardstreamError):
    """The request is wrong and stays wrong."""


class InvalidToken(InvalidRequest):
    """The token is damaged, or belongs to another stream or shard, or to a newer server."""


class NotFound(ShardstreamError):
    """There is no such stream or shard."""


class LeaseNotFound(NotFound):
    """The session is gone: open the shard again from the newest token."""


class RecordsTrimmed(ShardstreamError):
    """Records are gone. Starting from `token` accepts the loss."""


class RecordUnreadable(ShardstreamError):
    """A record cannot be read. Starting from `token` passes it."""


class NotPositioned(ShardstreamError):
    """The session has no position yet: `jump` or `seek` first."""


class AccessDenied(ShardstreamError):
    """AWS does not let the server read this, or the server does not let this client."""


class Unauthenticated(ShardstreamError):
    """The credentials were refused, and so were those that were fetched anew."""


class Superseded(ShardstreamError):
    """A newer call on the same session took this one's place, or the session was closed. Do not repeat the call."""


class LimitReached(ShardstreamError):
    """A limit of the server is reached; `metadata["limit"]` names it."""


class Unavailable(ShardstreamError):
    """The server, or DynamoDB behind it, could not be reached for as long as the client's patience lasts."""


class DeadlineExceeded(ShardstreamError):
    """The call took longer than its timeout."""


_REASONS = {"LEASE_NOT_FOUND": LeaseNotFound, "NOT_POSITIONED": NotPositioned, "TOKEN_MALFORMED": InvalidToken}
_REASONS |= {f"TOKEN_{why}": InvalidToken for why in ("WRONG_KIND", "MISMATCH", "VERSION")}
_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.OUT_OF_RANGE: RecordsTrimmed,
    grpc.StatusCode.DATA_LOSS: RecordUnreadable,
    grpc.StatusCode.FAILED_PRECONDITION: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.ABORTED: Superseded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitReached,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def error_of(failed: Any, end: End | None = None) -> ShardstreamError:
    """The error of a failed gRPC call; `end` is the last message of its stream."""
    info, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    status = status_pb2.Status()
    for name, value in failed.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            status.ParseFromString(value)
    for detail in status.details:
        # Other details are for people: their text is in the message already.
        if not detail.Unpack(info):
            detail.Unpack(delay)
    code = failed.code()
    kind = _REASONS.get(info.reason) or _CODES.get(code, ShardstreamError)
    error = kind(failed.details() or "", code, info.reason)
    error.metadata = dict(info.metadata)
    error.token = error.metadata.get("token", "")
    if delay.HasField("retry_delay"):
        error.retry_delay = delay.retry_delay.ToTimedelta().total_seconds()
    if end is not None and end.HasField("retry_delay"):
        error.retry_delay = end.retry_delay.ToTimedelta().total_seconds()
    return error


def may_pass(error: ShardstreamError) -> bool:
    """Whether the same call may succeed later. Never true of ABORTED: two programs that repeat push each other out."""
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # Without a delay it is not a limit of the server but a message that this client does not take.
        return error.retry_delay is not None
    if error.code is grpc.StatusCode.CANCELLED:
        return not error.reason  # The connection, or a server that found this client too slow.
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return error.reason == "REQUEST_TIMEOUT"
    return error.code is grpc.StatusCode.UNAVAILABLE
