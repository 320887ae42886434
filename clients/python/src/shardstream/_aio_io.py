"""What the asyncio client does with gRPC. `_sync_io.py` has the same names for the other client."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import Any

import grpc
import grpc.aio

from ._core import Tls, channel_options, silence_error

Channel = grpc.aio.Channel
FAILURES = grpc.RpcError, asyncio.CancelledError
"""How a call ends; the second, too, when its channel is closed."""


def open_channel(target: str, tls: Tls | None, options: Any) -> Channel:
    """A channel of its own to the server."""
    if tls is None:
        return grpc.aio.insecure_channel(target, options=channel_options(options))
    return grpc.aio.secure_channel(target, tls.credentials(), options=channel_options(options))


async def settle(value: Any) -> Any:
    """The value, awaited if it is a coroutine."""
    return await value if inspect.isawaitable(value) else value


class Waiter:
    """Waits that closing ends."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Ends the wait, and all later ones."""
        self._closed.set()

    async def wait(self, seconds: float) -> None:
        """Waits so long, or until it is closed."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)


class Reader:
    """Reads a stream and takes silence for a broken connection."""

    def __init__(self, call: Any, silence: float) -> None:
        self.call, self._silence, self._closed = call, silence, False

    def close(self) -> None:
        """Ends the call, and the wait for its next message."""
        self._closed = True
        self.call.cancel()

    async def read(self) -> Any:
        """The next message; None at the end."""
        was_silent = False

        def end() -> None:
            nonlocal was_silent
            was_silent = self.call.cancel()

        timer = asyncio.get_running_loop().call_later(self._silence, end)
        try:
            raw = await self.call.read()
            if raw is not grpc.aio.EOF:
                return raw
            if await self.call.code() is grpc.StatusCode.OK:
                return None
            raise await self._failure()
        except asyncio.CancelledError:
            if self._closed:
                return None
            if was_silent:
                raise silence_error(self._silence) from None
            self.call.cancel()
            raise
        finally:
            timer.cancel()

    async def _failure(self) -> grpc.aio.AioRpcError:
        call = self.call
        heads = await call.initial_metadata(), await call.trailing_metadata()
        return grpc.aio.AioRpcError(await call.code(), *heads, details=await call.details())

    async def headers(self) -> Any:
        """What came before the first message, once the call is over."""
        try:
            return await self.call.initial_metadata()
        except (grpc.RpcError, asyncio.CancelledError):
            return ()
