"""Breaks the client in one place at a time; clients/conformance/mutants.py says how.

python clients/python/mutants.py [WORD]     those whose names have the word in them
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "conformance"))
from mutants import main  # noqa: E402

SOURCE = "src/shardstream/"
ANSWERED = "                        renewed = False\n                        watched"
REFUSED = "                        renewed = True\n                        watched"

# What it is, the scenario that must catch it, the file, the text, and what takes its place.
MUTANTS = [
    (
        "resume from the older token",
        "many-breaks",
        SOURCE + "_core.py",
        "self.token = raw.token",
        "self.token = self.token or raw.token",
    ),
    (
        "token stored before the batch",
        "stored-after-the-batch",
        SOURCE + "aio.py",
        "self._given = raw\n",
        "self._following.cover(raw)\n                await self._keep()\n",
    ),
    ("heartbeat ignored", "heartbeat-stays-away", SOURCE + "_core.py", "return 3 * max(", "return 1e6 * max("),
    (
        "retry on ABORTED",
        "superseded",
        SOURCE + "errors.py",
        "return error.code is grpc.StatusCode.UNAVAILABLE",
        "return error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)",
    ),
    (
        "shard tokens left behind",
        "shard-tokens-go-along",
        SOURCE + "_core.py",
        'fields["shard_tokens"] = self.progress.tokens',
        "pass",
    ),
    (
        "shard tokens kept too long",
        "stream-token-covers-shard-tokens",
        SOURCE + "_core.py",
        "self.shard_tokens.clear()",
        "pass",
    ),
    ("repeats given", "repeats-of-an-older-server", SOURCE + "_core.py", "self._repeats |= self._given", "pass"),
    ("equal numbers taken for repeats", "equal-numbers", SOURCE + "_core.py", "and meta.change.id in ids", ""),
    (
        "the server's delay ignored",
        "drain-by-status-alone",
        SOURCE + "_core.py",
        "return max(pause, error.retry_delay or 0.0)",
        "return pause",
    ),
    ("pauses that do not grow", "pauses-grow", SOURCE + "_core.py", "self._next * 2", "self._next"),
    ("no end of patience", "patience-ends", SOURCE + "_core.py", "> self._patience", "> 1e6"),
    ("waiting at the greatest age", "max-age", SOURCE + "_core.py", "END_REASON_MAX_AGE", "END_REASON_LIMIT"),
    (
        "a loss that is stored",
        "gap-is-not-stored",
        SOURCE + "_core.py",
        "if not self._losses:\n            self.progress",
        "if True:\n            self.progress",
    ),
    ("credentials never fetched anew", "expired-credentials", SOURCE + "aio.py", "self._bearer.token = None", "pass"),
    ("credentials fetched for ever", "bad-credentials", SOURCE + "aio.py", "self._renewed = True", "pass"),
    (
        "the dead connection used again",
        "silence",
        SOURCE + "aio.py",
        "lane.is_retired = True",
        "return",
    ),
    (
        "streams of a retired connection left open",
        "closing-the-client",
        SOURCE + "aio.py",
        "if not lane.streams and lane in self._lanes:",
        "if lane in self._lanes:\n            self._lanes.remove(lane)\n        if False:",
    ),
    (
        "a watch that does not resume",
        "watch-resumes",
        SOURCE + "aio.py",
        "                    error = error_of(failed)\n                finally",
        "                    raise error_of(failed) from None\n                finally",
    ),
    (
        "shards that went away untold",
        "watch-resumes",
        SOURCE + "_core.py",
        "self._before |= self._known",
        "pass",
    ),
    ("credentials of a watch never fetched anew", "credentials-of-a-watch", SOURCE + "aio.py", ANSWERED, REFUSED),
    (
        "all streams over one connection",
        "thousand-streams",
        SOURCE + "aio.py",
        "len(lane.streams) < self._most",
        "True",
    ),
    (
        "the limit begun anew",
        "until-across-a-resume",
        SOURCE + "_core.py",
        "request.until.record_count -= self._count",
        "pass",
    ),
    (
        "LATEST asked for again",
        "latest-broken-before-its-token",
        SOURCE + "aio.py",
        "self._following.anchor(await self._reader.headers())",
        "pass",
    ),
    (
        "another request id for the repeat",
        "session-read-repeated",
        SOURCE + "aio.py",
        "return await call(request,",
        "return await call(_anew(request),",
    ),
    (
        "numbers as floats",
        "numbers-of-38-digits",
        SOURCE + "values.py",
        "return numbers(raw.n)",
        "return decimal.Decimal(float(raw.n))",
    ),
    ("True taken for 1", "changed", SOURCE + "values.py", "type(one) is type(other) and", ""),
    (
        "unknown events dropped with their tokens",
        "unknown-event",
        SOURCE + "_core.py",
        "self.cover(raw)\n            return None",
        "return None",
    ),
    (
        "slowness taken for silence",
        "slow-consumer",
        SOURCE + "_sync_io.py",
        'self.deadline = float("inf")\n        return raw',
        "return raw",
    ),
    ("traceparent not sent", "traceparent", SOURCE + "aio.py", '("traceparent", traceparent)', '("traceparent", None)'),
]
ANEW = """

def _anew(request: Any) -> Any:
    if hasattr(request, "request_id"):
        request.request_id = uuid.uuid4().hex
    return request
"""


def runners(folder, file):
    """Both clients of the changed copy; what has no counterpart in asyncio is for the blocking one alone."""
    if file:
        changed = folder / file
        if "_anew(" in changed.read_text():
            changed.write_text(changed.read_text() + ANEW)
    subprocess.run([sys.executable, folder / "unasync.py"], check=True)
    runner = f"env PYTHONPATH={folder / 'src'} {sys.executable} {folder / 'conformance.py'}"
    return [runner] if file.endswith("_sync_io.py") else [runner, f"{runner} --aio"]


if __name__ == "__main__":
    main(HERE, MUTANTS, runners)
