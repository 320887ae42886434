"""Runs the server under strace, serving records, reloading and draining, and holds every system call that it makes to the
filter of the unit: one that the filter lacks would fail in production alone. Called by `check` beside it.

    syscalls.py PROGRAM
"""

import pathlib
import re
import signal
import subprocess
import sys
import tempfile

UNIT = pathlib.Path(__file__).parent / "shardstream.service"
# What must happen does so long before this.
NEVER = 60


def group(name: str) -> set[str]:
    """The calls of a group, those of its groups as well."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = [line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(group(inner) for inner in names))


def allowed() -> set[str]:
    """As systemd reads the lines of SystemCallFilter=: those after `~` are taken away again. What every process may do, to
    be started at all, is in @default."""
    calls = group("@default")
    lines = re.findall(r"^SystemCallFilter=(~?)(.*)$", UNIT.read_text(), re.MULTILINE)
    assert lines
    for without, names in lines:
        meant = set().union(*(group(name) for name in names.split()))
        calls = calls - meant if without else calls | meant
    return calls


def ready(process: subprocess.Popen) -> str:
    line = process.stdout.readline()
    assert " ready " in line, f"it does not start: {line}"
    return re.search(r"grpc=\S+//(\S+)", line)[1]


def made(program: str, folder: str) -> set[str]:
    """The calls that the server made."""
    trace = pathlib.Path(folder) / "trace"
    port = "8123"
    dev = [program, "dev", "--quiet", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--dynamodb-port", port]
    upstream = subprocess.Popen([*dev, "--write-rate", "50"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        ready(upstream)
        serve = [program, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--aws-fake-credentials"]
        serve += ["--aws-endpoint-url", f"http://127.0.0.1:{port}"]
        command = ["strace", "--follow-forks", "--quiet=all", "--output", trace, *serve]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = ready(server)
            tail = [program, "tail", "--server", address, "--from", "trim-horizon", "-n", "20", "--output", "json"]
            read = subprocess.run(tail, check=True, capture_output=True, text=True, timeout=NEVER)
            assert read.stdout.count('"meta"') >= 20
            (inner,) = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            for name in (signal.SIGHUP, signal.SIGTERM):
                subprocess.run(["kill", f"-{int(name)}", inner], check=True)
            assert server.wait(NEVER) == 0
        finally:
            server.kill()
    finally:
        upstream.terminate()
        upstream.wait(NEVER)
    return set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        calls = made(sys.argv[1], folder)
    assert len(calls) > 30, calls
    refused = calls - allowed()
    if refused:
        raise SystemExit(f"the unit's filter lacks {', '.join(sorted(refused))}")
    print(f"{len(calls)} system calls, all of them allowed by the unit")


main()
