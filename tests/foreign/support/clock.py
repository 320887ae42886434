"""A clock that can be moved, for programs under libfaketime.

It moves wall clocks only: monotonic ones, and with them every timer, go on as they are. The server and its upstream share
it, because the server judges by the wall clock how old a place is.
"""

import glob
import os
import pathlib

from .upstreams import Missing


class Clock:
    """The time, as the programs started with `environment()` see it."""

    def __init__(self, folder):
        places = ([os.environ["LIBFAKETIME"]] if "LIBFAKETIME" in os.environ else []) + sorted(
            glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        )
        if not places:
            raise Missing("libfaketime is not there: install Debian's package faketime, or set LIBFAKETIME")
        self._library = places[0]
        self._file = pathlib.Path(folder) / "clock"
        self.offset = 0
        self.move(0)

    def move(self, seconds):
        """Moves the clock forward."""
        self.offset += seconds
        draft = self._file.with_suffix(".new")
        draft.write_text(f"+{self.offset}s\n")
        draft.replace(self._file)

    def environment(self):
        """What a program needs in its environment to see this clock."""
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
