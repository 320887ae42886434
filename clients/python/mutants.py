"""Shows that the suite can fail: breaks a copy of the client in one place at a time, and wants each to be caught.

python clients/python/mutants.py [WORD]     those whose names have the word in them
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
SUITE = HERE.parent / "conformance" / "suite.py"

# What it is, the scenario that must catch it, the file, the text, and what takes its place.
MUTANTS = [
    (
        "resume from the older token",
        "many-breaks",
        "_core.py",
        "self.token = raw.token",
        "self.token = self.token or raw.token",
    ),
    (
        "token stored before the batch",
        "stored-after-the-batch",
        "aio.py",
        "self._given = raw\n",
        "self._following.cover(raw)\n                await self._keep()\n",
    ),
    ("heartbeat ignored", "heartbeat-stays-away", "_core.py", "return 3 * max(", "return 1e6 * max("),
    (
        "retry on ABORTED",
        "superseded",
        "errors.py",
        "return error.code is grpc.StatusCode.UNAVAILABLE",
        "return error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)",
    ),
    (
        "shard tokens left behind",
        "shard-tokens-go-along",
        "_core.py",
        'fields["shard_tokens"] = self.progress.tokens',
        "pass",
    ),
    ("shard tokens kept too long", "stream-token-covers-shard-tokens", "_core.py", "self.shard_tokens.clear()", "pass"),
    ("repeats given", "repeats-of-an-older-server", "_core.py", "self._repeats |= self._given", "pass"),
    ("equal numbers taken for repeats", "equal-numbers", "_core.py", "and meta.change.id in ids", ""),
    (
        "the server's delay ignored",
        "drain-by-status-alone",
        "_core.py",
        "return max(pause, error.retry_delay or 0.0)",
        "return pause",
    ),
    ("pauses that do not grow", "pauses-grow", "_core.py", "self._next * 2", "self._next"),
    ("no end of patience", "patience-ends", "_core.py", "> self._patience", "> 1e6"),
    ("waiting at the greatest age", "max-age", "_core.py", "END_REASON_MAX_AGE", "END_REASON_LIMIT"),
    (
        "a loss that is stored",
        "gap-is-not-stored",
        "_core.py",
        "if not self._losses:\n            self.progress",
        "if True:\n            self.progress",
    ),
    ("credentials never fetched anew", "expired-credentials", "aio.py", "self._bearer.token = None", "pass"),
    ("credentials fetched for ever", "bad-credentials", "aio.py", "self._renewed = True", "pass"),
    (
        "the dead connection used again",
        "silence",
        "aio.py",
        "for pair in self._channels if not error.reason else ():",
        "for pair in ():",
    ),
    ("all streams over one connection", "thousand-streams", "aio.py", "len(pair[1]) < self._most", "True"),
    ("the limit begun anew", "until-across-a-resume", "_core.py", "request.until.record_count -= self._count", "pass"),
    (
        "LATEST asked for again",
        "latest-broken-before-its-token",
        "aio.py",
        "self._following.anchor(await self._reader.headers())",
        "pass",
    ),
    (
        "another request id for the repeat",
        "session-read-repeated",
        "aio.py",
        "return await call(request,",
        "return await call(_anew(request),",
    ),
    (
        "numbers as floats",
        "numbers-of-38-digits",
        "values.py",
        "return numbers(raw.n)",
        "return decimal.Decimal(float(raw.n))",
    ),
    ("True taken for 1", "changed", "values.py", "type(one) is type(other) and", ""),
    (
        "unknown events dropped with their tokens",
        "unknown-event",
        "_core.py",
        "self.cover(raw)\n            return None",
        "return None",
    ),
    (
        "slowness taken for silence",
        "slow-consumer",
        "_sync_io.py",
        'self.deadline = float("inf")\n        return raw',
        "return raw",
    ),
    ("traceparent not sent", "traceparent", "aio.py", '("traceparent", traceparent)', '("traceparent", None)'),
]
ANEW = """

def _anew(request: Any) -> Any:
    if hasattr(request, "request_id"):
        request.request_id = uuid.uuid4().hex
    return request
"""


def caught(folder, scenario, file, text, other):
    """The suite's first complaint about the client with this change; empty if it has none."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.egg-info", "build", "dist"))
    changed = folder / "src" / "shardstream" / file
    before = changed.read_text()
    assert before.count(text) == 1, f"{file} has {before.count(text)} times: {text}"
    changed.write_text(before.replace(text, other) + (ANEW if "_anew" in other else ""))
    subprocess.run([sys.executable, folder / "unasync.py"], check=True)
    runner = f"{sys.executable} {folder / 'conformance.py'}"
    clients = [f"Python={runner}"]
    if file != "_sync_io.py":
        clients.append(f"Python asyncio={runner} --aio")
    complaints = []
    for client in clients:
        run = subprocess.run(
            [sys.executable, SUITE, "--only", scenario, "--first", "--within", "8", client],
            env={"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        if run.returncode == 0:
            return ""
        complaints.append(run.stdout.splitlines()[0])
    return complaints[0]


def main():
    """Tries all of them."""
    word, survivors, chosen = " ".join(sys.argv[1:]), [], 0
    with tempfile.TemporaryDirectory() as folder:
        if not word:
            complaint = caught(pathlib.Path(folder) / "client", "", "_core.py", "import time\n", "import time\n")
            assert not complaint, f"without a mutant: {complaint}"
        for name, scenario, file, text, other in MUTANTS:
            if word not in name:
                continue
            chosen += 1
            complaint = caught(pathlib.Path(folder) / "client", scenario, file, text, other)
            print(f"{name}: {complaint[:160] or 'NOT CAUGHT'}", flush=True)
            if not complaint:
                survivors.append(name)
    print(f"{chosen - len(survivors)} of {chosen} mutants caught")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
