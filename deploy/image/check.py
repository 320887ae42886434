"""The image's closure in a bare root. Called by `check` beside it, alone in a network and among its processes."""

import contextlib
import faulthandler
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

# distroless's user `nonroot`.
USER = 65532
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# What must happen does so long before this.
NEVER = 60
# The mounts are those of the namespace that `unshare` makes, and go with it.
ENTER = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -o remount,bind,ro "$1"
root=$1
shift
exec setpriv --no-new-privs chroot --userspec={user}:{user} --groups= "$root" "$@"
""".format(user=USER)


def loopback_up() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))


def image() -> tuple[dict[str, str], list[str], list[str]]:
    """The variables, the entry point and the command, as the Dockerfile has them."""
    text = pathlib.Path("Dockerfile").read_text().split("\nFROM ")[-1].replace("\\\n", " ")
    variables = dict(re.findall(r"(\w+)=(\S+)", "".join(re.findall(r"^ENV (.*)$", text, re.MULTILINE))))
    lists = {name: json.loads(value) for name, value in re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE)}
    return variables, lists["ENTRYPOINT"], lists["CMD"]


def closure(program: str, entry: str, root: pathlib.Path) -> None:
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    files = [pathlib.Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(", linked, re.MULTILINE)]
    names = sorted(file.name.split(".so")[0] for file in files)
    # What distroless's `cc` has; a library that it lacks would keep the image from starting.
    assert set(names) <= {"ld-linux-x86-64", "ld-linux-aarch64", "libc", "libm", "libgcc_s"}, names
    for source, target in [(file, file) for file in (*files, CERTIFICATES)] + [(pathlib.Path(program), pathlib.Path(entry))]:
        place = root / target.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    (root / "proc").mkdir()


@contextlib.contextmanager
def running(root: pathlib.Path, variables: dict[str, str], command: list[str]) -> Iterator[tuple[subprocess.Popen, int]]:
    """The program as process 1 in `root`, and its number here."""
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", str(root), *command]
    outer = "/usr/sbin:/usr/bin:/sbin:/bin"
    process = subprocess.Popen(enter, env={"PATH": outer, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        ready = process.stdout.readline()
        assert " ready " in ready, f"it does not start: {ready}{process.stderr.read()}"
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield process, int(children[0])
    finally:
        process.kill()
        process.wait()


def status(path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:9090{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def end(process: subprocess.Popen, inner: int) -> None:
    """Tells it to end, and sees to it that it drains and is content."""
    os.kill(inner, signal.SIGTERM)
    begun = time.monotonic()
    _, log = process.communicate(timeout=NEVER)
    assert process.returncode == 0, f"exit {process.returncode}: {log}"
    assert "draining" in log and "panicked" not in log, log
    print(f"drained in {time.monotonic() - begun:.1f} s")


def serves_records(program: str, root: pathlib.Path, variables: dict[str, str], command: list[str], folder: str) -> None:
    upstream = [program, "dev", "--quiet", "--listen", "127.0.0.1:50052", "--admin-listen", "off", "--write-rate", "50"]
    dev = subprocess.Popen([*upstream, "--data-dir", f"{folder}/data"], stdout=subprocess.PIPE, text=True)
    try:
        assert " ready " in dev.stdout.readline()
        stand_in = ["--allow-plaintext", "--allow-anonymous", "--aws-fake-credentials", "--aws-endpoint-url", "http://127.0.0.1:8000"]
        with running(root, variables, [*command, *stand_in]) as (process, inner):
            facts = pathlib.Path(f"/proc/{inner}/status").read_text()
            assert re.search(rf"^Uid:(\s+{USER}){{4}}$", facts, re.MULTILINE), facts
            assert re.search(r"^CapEff:\s+0+$", facts, re.MULTILINE) and re.search(r"^NoNewPrivs:\s+1$", facts, re.MULTILINE)
            mounts = pathlib.Path(f"/proc/{inner}/mountinfo").read_text().splitlines()
            assert any(re.search(r" / ro\b", mount) for mount in mounts), mounts
            assert status("/livez") == status("/readyz") == status("/metrics") == 200
            client = {"capture_output": True, "text": True, "timeout": NEVER, "check": True}
            asked = [program, "--config", "/dev/null", "tail", "--server", "127.0.0.1:50051", "--from", "trim-horizon"]
            read = subprocess.run([*asked, "-n", "20", "--output", "json"], **client)
            records = [json.loads(line) for line in read.stdout.splitlines()]
            records = [record for record in records if "meta" in record]
            assert len(records) == 20, read.stdout
            # One that goes on reading, so that there is something to drain.
            follower = subprocess.Popen([*asked, "--output", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert follower.stdout.readline()
            end(process, inner)
            follower.kill()
            follower.wait()
    finally:
        dev.terminate()
        dev.wait(NEVER)


def asks_aws(program: str, root: pathlib.Path, variables: dict[str, str], command: list[str]) -> None:
    """AWS cannot be reached here; but the authorities that it is checked with are found, so it is tried."""
    aws = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}
    with running(root, variables | aws, [*command, "--allow-plaintext", "--allow-anonymous"]) as (process, inner):
        asked = subprocess.run([program, "streams", "--server", "127.0.0.1:50051"], capture_output=True, text=True, timeout=NEVER)
        assert asked.returncode == 5, f"not unavailable, but {asked.returncode}: {asked.stderr}"
        end(process, inner)


def main() -> None:
    program = str(pathlib.Path(sys.argv[1]).resolve())
    faulthandler.dump_traceback_later(120, exit=True)
    loopback_up()
    variables, entry, arguments = image()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "root"
        closure(program, entry[0], root)
        # Readable to the image's user, as the layers of an image are.
        pathlib.Path(folder).chmod(0o755)
        command = [*entry, *arguments]
        serves_records(program, root, variables, command, folder)
        asks_aws(program, root, variables, command)
        files = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
    print(f"served, drained and ended with: {' '.join(files)}")


main()
