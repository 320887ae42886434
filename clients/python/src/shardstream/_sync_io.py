"""What the blocking client does with gRPC. `_aio_io.py` has the same names for the other client."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

import grpc

from ._core import Tls, channel_options, silence_error

Channel = grpc.Channel
FAILURES = (grpc.RpcError,)
"""How a call ends."""


def open_channel(target: str, tls: Tls | None, options: Any) -> Channel:
    """A channel of its own to the server."""
    if tls is None:
        return grpc.insecure_channel(target, options=channel_options(options))
    return grpc.secure_channel(target, tls.credentials(), options=channel_options(options))


def settle(value: Any) -> Any:
    """The value."""
    return value


class Waiter:
    """Waits that closing ends."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def close(self) -> None:
        """Ends the wait, and all later ones."""
        self._closed.set()

    def wait(self, seconds: float) -> None:
        """Waits so long, or until it is closed."""
        self._closed.wait(seconds)


class Watch:
    """Cancels calls whose readers have waited for too long. One thread for the program, while there are readers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._running = False
        self._joined = threading.Event()

    def add(self, reader: Reader) -> None:
        """Watches this one too."""
        with self._lock:
            self._readers.add(reader)
            self._joined.set()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="shardstream watch", daemon=True).start()

    def remove(self, reader: Reader) -> None:
        """Watches this one no more."""
        with self._lock:
            self._readers.discard(reader)

    def _run(self) -> None:
        while True:
            with self._lock:
                readers = list(self._readers)
                if not readers:
                    self._running = False
                    return
            pause = min([1.0, *(reader.silence / 4 for reader in readers)])
            now = time.monotonic()
            for reader in readers:
                if now > reader.deadline:
                    reader.was_silent = reader.call.cancel()
            del readers
            self._joined.wait(pause)
            self._joined.clear()


_WATCH = Watch()


class Reader:
    """Reads a stream and takes silence for a broken connection."""

    def __init__(self, call: Any, silence: float) -> None:
        self.call, self.silence = call, silence
        self.deadline, self.was_silent = float("inf"), False
        _WATCH.add(self)

    def close(self) -> None:
        """Ends the call, and the wait for its next message."""
        _WATCH.remove(self)
        self.call.cancel()

    def read(self) -> Any:
        """The next message; None at the end."""
        self.deadline = time.monotonic() + self.silence
        try:
            raw = next(self.call, None)
        except grpc.RpcError:
            _WATCH.remove(self)
            if self.was_silent:
                raise silence_error(self.silence) from None
            raise
        self.deadline = float("inf")
        return raw

    def headers(self) -> Any:
        """What came before the first message, once the call is over."""
        try:
            return self.call.initial_metadata()
        except grpc.RpcError:
            return ()
