"""Shows that the suite can fail: breaks a copy of the client in one place at a time, and wants each to be caught.

python clients/typescript/mutants.py FOLDER [WORD]     FOLDER has the installed package; those whose names have the word
"""

import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile

SUITE = pathlib.Path(__file__).parents[1] / "conformance" / "suite.py"

# What it is, the scenario that must catch it, the file, the text, and what takes its place.
MUTANTS = [
    (
        "resume from the older token",
        "many-breaks",
        "following.js",
        "this.token = raw.token;",
        "this.token ||= raw.token;",
    ),
    (
        "token stored before the batch",
        "stored-after-the-batch",
        "subscription.js",
        "this.#given = raw;",
        "this.#following.cover(raw); await this.#keep();",
    ),
    ("heartbeat ignored", "heartbeat-stays-away", "following.js", "return 3 * Math.max(", "return 1e6 + Math.max("),
    ("retry on ABORTED", "superseded", "errors.js", 'case "UNAVAILABLE":', 'case "ABORTED": case "UNAVAILABLE":'),
    (
        "shard tokens left behind",
        "shard-tokens-go-along",
        "following.js",
        "shardTokens: this.progress.tokens",
        "shardTokens: []",
    ),
    ("shard tokens kept too long", "stream-token-covers-shard-tokens", "following.js", "this.#tokens.clear();", ""),
    (
        "repeats given",
        "repeats-of-an-older-server",
        "following.js",
        "this.#repeats.set(shardId, given);",
        "void given;",
    ),
    (
        "equal numbers taken for repeats",
        "equal-numbers",
        "following.js",
        " && last.ids.has(id)",
        "",
    ),
    (
        "the server's delay ignored",
        "drain-by-status-alone",
        "following.js",
        "return Math.max(pause, delay);",
        "return pause;",
    ),
    ("pauses that do not grow", "pauses-grow", "following.js", "this.#next * 2", "this.#next"),
    ("no end of patience", "patience-ends", "following.js", "> this.patience", "> 1e9"),
    ("waiting at the greatest age", "max-age", "following.js", "EndReason.MAX_AGE", "EndReason.LIMIT"),
    ("a loss that is stored", "gap-is-not-stored", "following.js", "if (!this.#losses.length)", ""),
    (
        "credentials never fetched anew",
        "expired-credentials",
        "bearer.js",
        "if (refused === this.#newest)",
        "if (false)",
    ),
    ("credentials fetched for ever", "bad-credentials", "subscription.js", "this.#renewed = true;", ""),
    ("the dead connection used again", "silence", "client.js", "if (!error.reason)", "if (false)"),
    (
        "streams of a retired connection left open",
        "closing-the-client",
        "client.js",
        "lane.isRetired = true;",
        "this.#lanes = this.#lanes.filter((other) => other !== lane);",
    ),
    (
        "a watch that does not resume",
        "watch-resumes",
        "client.js",
        "error = failed;\n                if (this.#isClosed())",
        "throw failed;\n                if (this.#isClosed())",
    ),
    ("shards that went away untold", "watch-resumes", "following.js", "this.#before.add(id);", ""),
    (
        "credentials of a watch never fetched anew",
        "credentials-of-a-watch",
        "client.js",
        "renewed = false;\n                    yield",
        "renewed = true;\n                    yield",
    ),
    ("all streams over one connection", "thousand-streams", "client.js", "calls.size < this.#most", "true"),
    (
        "the limit begun anew",
        "until-across-a-resume",
        "following.js",
        "until.recordCount - this.#count",
        "until.recordCount",
    ),
    (
        "LATEST asked for again",
        "latest-broken-before-its-token",
        "subscription.js",
        "this.#following.anchor(this.#call?.date);",
        "",
    ),
    (
        "another request id for the repeat",
        "session-read-repeated",
        "client.js",
        "holder.call = place.transport.open(rpc, request,",
        "holder.call = place.transport.open(rpc, rpc.request({ ...request, requestId: String(Math.random()) }),",
    ),
    ("numbers as doubles", "numbers-of-38-digits", "values.js", "if (String(number) === text)", "if (true)"),
    (
        "true taken for 1",
        "changed",
        "values.js",
        "return value.$case + JSON.stringify(String(value.value));",
        "return String(+value.value);",
    ),
    (
        "unknown events dropped with their tokens",
        "unknown-event",
        "following.js",
        "this.cover(raw);\n            return undefined;",
        "return undefined;",
    ),
    (
        "slowness taken for silence",
        "slow-consumer",
        "subscription.js",
        "clearTimeout(timer);",
        "",
    ),
    ("traceparent not sent", "traceparent", "client.js", "(traceparent && { traceparent })", "{}"),
]


def caught(app, folder, scenario, file, text, other):
    """The suite's first complaint about the client with this change; empty if it has none."""
    (folder / "node_modules").mkdir(parents=True)
    shutil.copy(app / "conformance.js", folder)
    shutil.copy(app / "package.json", folder)
    for module in (app / "node_modules").iterdir():
        if module.name == "shardstream":
            shutil.copytree(module, folder / "node_modules" / module.name)
        else:
            (folder / "node_modules" / module.name).symlink_to(module)
    changed = folder / "node_modules" / "shardstream" / "dist" / file
    before = changed.read_text()
    assert before.count(text) == 1, f"{file} has {before.count(text)} times: {text}"
    changed.write_text(before.replace(text, other))
    client = f"TypeScript=node {folder / 'conformance.js'}"
    run = subprocess.run(
        [sys.executable, SUITE, "--only", scenario, "--first", "--within", "8", client],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return "" if run.returncode == 0 else run.stdout.splitlines()[0]


def main(app, word=""):
    """Tries all of them, some at a time: most of it is waiting."""
    chosen = [mutant for mutant in MUTANTS if word in mutant[0]]
    survivors = []
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(3) as pool:
        at_work = [
            (name, pool.submit(caught, pathlib.Path(app).resolve(), pathlib.Path(folder) / str(number), *mutant))
            for number, (name, *mutant) in enumerate(chosen)
        ]
        for name, work in at_work:
            complaint = work.result()
            print(f"{name}: {complaint[:160] or 'NOT CAUGHT'}", flush=True)
            if not complaint:
                survivors.append(name)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
