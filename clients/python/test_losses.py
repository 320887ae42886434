"""examples/python/losses.py against a scripted server, for `shardstream dev` loses nothing."""

import asyncio
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "clients" / "conformance"))
from stage import Stage  # noqa: E402

RECORDS = [{"shard": "a", "records": [1], "token": "t1"}]
GAP = {
    "gap": {"shardId": "a", "afterSequenceNumber": "1", "cause": "GAP_CAUSE_TRIMMED", "certain": True},
    "token": "t2",
}
UNREADABLE = {"unreadable": {"shardId": "a", "sequenceNumber": "8", "cause": "broken"}, "shardToken": "a8"}
AFTER = [{"shard": "a", "records": [9], "token": "t3"}]
TRIMMED = [{"end": {"reason": "END_REASON_GAP"}, "token": "t2"}, {"status": {"code": "OUT_OF_RANGE"}}]


async def printed(function, script):
    """What the example prints."""
    code = f"import sys, losses; losses.{function}('orders', losses.FileTokenStore(sys.argv[1]), sys.argv[2])"
    async with Stage(script) as stage:
        with tempfile.TemporaryDirectory() as folder:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                f"{folder}/token",
                stage.target,
                cwd=ROOT / "examples" / "python",
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await asyncio.wait_for(process.communicate(), 30)
        asked = [call.request.get("token") for call in stage.calls]
    return output.decode().splitlines(), asked


async def main():
    """Both ways of the example."""
    lines, _ = await printed("tell", [{"call": "Subscribe", "play": [*RECORDS, GAP, UNREADABLE, *AFTER]}])
    wanted = ["a: 1", "a: lost records after 1", "a: record 8 cannot be read: broken", "a: 9"]
    assert lines == wanted, lines
    script = [{"call": "Subscribe", "play": [*RECORDS, GAP, *TRIMMED]}, {"call": "Subscribe", "play": AFTER}]
    lines, asked = await printed("stop", script)
    assert [line.split(" ")[0] for line in lines] == ["a:", "accepted:", "a:"] and asked == [None, "t2"], (lines, asked)
    print("losses: told in their place, and accepted")


if __name__ == "__main__":
    asyncio.run(main())
