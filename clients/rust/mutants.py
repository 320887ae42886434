"""Shows that the suite can fail: breaks a copy of the client in one place at a time, and wants each to be caught.

python clients/rust/mutants.py [WORD]     those whose names have the word in them
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
SUITE = HERE.parent / "conformance" / "suite.py"

# What it is, the scenario that must catch it, the file, the text, and what takes its place.
MUTANTS = [
    (
        "resume from the older token",
        "many-breaks",
        "progress.rs",
        "self.token = covered.token;",
        "if self.token.is_empty() { self.token = covered.token; }",
    ),
    (
        "token stored before the batch",
        "stored-after-the-batch",
        "subscription.rs",
        "self.given = Some(covered);",
        "self.following.cover(covered); self.keep().await?;",
    ),
    ("heartbeat ignored", "heartbeat-stays-away", "following.rs", "3 * self.options", "9999 * self.options"),
    (
        "retry on ABORTED",
        "superseded",
        "error.rs",
        "Code::Unavailable => true",
        "Code::Unavailable | Code::Aborted => true",
    ),
    (
        "shard tokens left behind",
        "shard-tokens-go-along",
        "following.rs",
        "fields.shard_tokens = self.progress.shard_tokens();",
        "",
    ),
    (
        "shard tokens kept too long",
        "stream-token-covers-shard-tokens",
        "progress.rs",
        "self.shard_tokens.clear();",
        "",
    ),
    ("repeats given", "repeats-of-an-older-server", "following.rs", "self.progress.resume();", ""),
    (
        "equal numbers taken for repeats",
        "equal-numbers",
        "progress.rs",
        "(number == *last && ids.contains(&id))",
        "number == *last",
    ),
    ("the server's delay ignored", "drain-by-status-alone", "backoff.rs", "pause.max(asked)", "pause"),
    ("no end of patience", "patience-ends", "backoff.rs", "> self.timing.patience", "> Duration::MAX"),
    ("waiting at the greatest age", "max-age", "following.rs", "EndReason::MaxAge", "EndReason::Limit"),
    (
        "a loss that is stored",
        "gap-is-not-stored",
        "following.rs",
        "if self.losses.is_empty() {",
        "if true {",
    ),
    ("credentials fetched for ever", "bad-credentials", "subscription.rs", "self.renewed = true;", ""),
    (
        "the dead connection used again",
        "silence",
        "connect.rs",
        "if error.reason.is_empty() {",
        "if false {",
    ),
    ("all streams over one connection", "thousand-streams", "connect.rs", "self.take(self.streams)", "self.any()"),
    (
        "LATEST asked for again",
        "latest-broken-before-its-token",
        "subscription.rs",
        "self.following.anchor(at);",
        "let _ = at;",
    ),
]


def copy(folder):
    """The client in a workspace of its own, which builds beside the real one: its dependencies are there."""
    shutil.copytree(HERE, folder / "clients" / "rust")
    shutil.copy(ROOT / "Cargo.lock", folder)
    manifest = (ROOT / "Cargo.toml").read_text()
    lints = re.search(r"^\[workspace\.lints\.rust\].*?(?=^\[profile)", manifest, re.DOTALL | re.MULTILINE)[0]
    profile = re.search(r"^\[profile\.dev\].*?(?=^\[profile\.release)", manifest, re.DOTALL | re.MULTILINE)[0]
    members = '[workspace]\nmembers = ["clients/rust"]\nresolver = "3"\n\n'
    (folder / "Cargo.toml").write_text(members + lints + profile)
    crate = folder / "clients" / "rust" / "Cargo.toml"
    crate.write_text(crate.read_text().replace('name = "conformance"', 'name = "mutant"'))


def caught(folder, scenario):
    """The suite's first complaint about the client in `folder`; empty if it has none."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = ["cargo", "build", "--quiet", "--offline", "-p", "shardstream-client", "--example", "mutant"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    # Its parts that nothing uses any more are no reason to complain.
    subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
    runner = f"Rust={target / 'debug' / 'examples' / 'mutant'}"
    run = subprocess.run(
        [sys.executable, SUITE, "--only", scenario, "--first", "--within", "8", runner],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return run.stdout.splitlines()[0] if run.returncode else ""


def main():
    """Tries all of them."""
    word, survivors, chosen = " ".join(sys.argv[1:]), [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        copy(folder)
        for name, scenario, file, text, other in MUTANTS:
            if word not in name:
                continue
            chosen += 1
            changed = folder / "clients" / "rust" / "src" / file
            before = changed.read_text()
            assert before.count(text) == 1, f"{file} has {before.count(text)} times: {text}"
            changed.write_text(before.replace(text, other))
            complaint = caught(folder, scenario)
            changed.write_text(before)
            print(f"{name}: {complaint[:160] or 'NOT CAUGHT'}", flush=True)
            if not complaint:
                survivors.append(name)
        assert not caught(folder, "many-breaks"), "the client is broken without a mutant"
    print(f"{chosen - len(survivors)} of {chosen} mutants caught")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
