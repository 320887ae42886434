"""Programs in process groups of their own, which never outlive the suite.

Emulators fork workers, so it is always the whole group that is killed: at the end of a fixture, at the end of the
interpreter, when the suite is told to end, and by the kernel (`setpriv`) when the suite itself is killed.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import threading

from .waiting import until

_running = []


def free_port():
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port):
    """Whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """One program and its children, with what they print."""

    def __init__(self, name, command, environment, folder=None):
        self.name = name
        self.lines = []
        command = [str(part) for part in command]
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", "--", *command]
        self._child = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        _running.append(self)
        self._pump = threading.Thread(target=self._read, name=f"what {name} prints", daemon=True)
        self._pump.start()

    def _read(self):
        for line in self._child.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self):
        return self._child.pid

    @property
    def exit_code(self):
        """The exit code, or None while it runs."""
        return self._child.poll()

    def wait_for(self, condition, what, within=60.0):
        """Waits for `condition`, and fails at once, with what was printed, if the program ends before."""

        def met():
            found = condition()
            if not found and self.exit_code is not None:
                self._pump.join(5)
                found = condition()
                if not found:
                    raise AssertionError(f"{self.name} ended with {self.exit_code} before {what}:\n{self.printed()}")
            return found

        try:
            return until(met, f"{self.name}: {what}", within)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.printed()}") from None

    def wait(self, within=30.0):
        """The exit code, once it has ended by itself."""
        try:
            return self._child.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {within:g} s:\n{self.printed()}") from None

    def signal(self, number):
        """Sends a signal to the program alone."""
        self._child.send_signal(number)

    def kill(self):
        """Kills the whole group and waits until it is gone. Safe to repeat."""
        if self not in _running:
            return
        _running.remove(self)
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait(10)
        self._pump.join(10)
        self._child.stdout.close()

    def printed(self, last=60):
        """The last lines that it printed."""
        return "\n".join(f"  {self.name}| {line}" for line in self.lines[-last:])


def kill_all():
    """Kills everything that still runs."""
    for process in list(_running):
        process.kill()


def _told_to_end(number, _frame):
    for process in list(_running):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os._exit(128 + number)


atexit.register(kill_all)
signal.signal(signal.SIGTERM, _told_to_end)
