"""Breaks the client in one place at a time; clients/conformance/mutants.py says how.

python clients/rust/mutants.py [WORD]     those whose names have the word in them
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "conformance"))
from mutants import main  # noqa: E402

MUTANTS = [
    (
        "a watch that does not resume",
        "watch-resumes",
        "src/watch.rs",
        "let (pause, error) = self.backoff.pause(error, now)?;",
        "let (pause, error) = Err::<(std::time::Duration, Error), _>(error)?;",
    ),
    (
        "shards that went away untold",
        "watch-resumes",
        "src/watch.rs",
        "self.before.append(&mut self.known);",
        "self.known.clear();",
    ),
    (
        "credentials of a watch never fetched anew",
        "credentials-of-a-watch",
        "src/watch.rs",
        "self.renewed = false;\n                self.backoff",
        "self.renewed = true;\n                self.backoff",
    ),
    (
        "resume from the older token",
        "many-breaks",
        "src/progress.rs",
        "self.token = covered.token;",
        "if self.token.is_empty() { self.token = covered.token; }",
    ),
    (
        "token stored before the batch",
        "stored-after-the-batch",
        "src/subscription.rs",
        "self.given = Some(covered);",
        "self.following.cover(covered); self.keep().await?;",
    ),
    ("heartbeat ignored", "heartbeat-stays-away", "src/following.rs", "3 * self.options", "9999 * self.options"),
    (
        "retry on ABORTED",
        "superseded",
        "src/error.rs",
        "Code::Unavailable => true",
        "Code::Unavailable | Code::Aborted => true",
    ),
    (
        "shard tokens left behind",
        "shard-tokens-go-along",
        "src/following.rs",
        "fields.shard_tokens = self.progress.shard_tokens();",
        "",
    ),
    (
        "shard tokens kept too long",
        "stream-token-covers-shard-tokens",
        "src/progress.rs",
        "self.shard_tokens.clear();",
        "",
    ),
    ("repeats given", "repeats-of-an-older-server", "src/following.rs", "self.progress.resume();", ""),
    (
        "equal numbers taken for repeats",
        "equal-numbers",
        "src/progress.rs",
        "(number == *last && ids.contains(&id))",
        "number == *last",
    ),
    ("the server's delay ignored", "drain-by-status-alone", "src/backoff.rs", "pause.max(asked)", "pause"),
    ("no end of patience", "patience-ends", "src/backoff.rs", ">= self.timing.patience", ">= Duration::MAX"),
    ("waiting at the greatest age", "max-age", "src/following.rs", "EndReason::MaxAge", "EndReason::Limit"),
    (
        "a loss that is stored",
        "gap-is-not-stored",
        "src/following.rs",
        "if self.losses.is_empty() {",
        "if true {",
    ),
    (
        "credentials fetched for ever",
        "bad-credentials",
        "src/subscription.rs",
        "&error, &mut self.renewed)",
        "&error, &mut false)",
    ),
    (
        "the dead connection used again",
        "silence",
        "src/connect.rs",
        "if error.reason.is_empty() {",
        "if false {",
    ),
    ("all streams over one connection", "thousand-streams", "src/connect.rs", "self.take(self.streams)", "self.any()"),
    (
        "LATEST asked for again",
        "latest-broken-before-its-token",
        "src/subscription.rs",
        "self.following.anchor(at);",
        "let _ = at;",
    ),
]


def workspace(folder):
    """Makes that folder a workspace of the client alone, built beside the real one: its dependencies are there."""
    shutil.copy(ROOT / "Cargo.lock", folder)
    manifest = (ROOT / "Cargo.toml").read_text()
    lints = re.search(r"^\[workspace\.lints\.rust\].*?(?=^\[profile)", manifest, re.DOTALL | re.MULTILINE)[0]
    profile = re.search(r"^\[profile\.dev\].*?(?=^\[profile\.release)", manifest, re.DOTALL | re.MULTILINE)[0]
    (folder / "Cargo.toml").write_text('[workspace]\nmembers = ["client"]\nresolver = "3"\n\n' + lints + profile)


def runners(folder, _file):
    """The changed copy's runner."""
    workspace(folder.parent)
    # A copy is as old as what it is of, so that cargo would take the mutant before it for up to date.
    (folder / "src" / "lib.rs").touch()
    crate = folder / "Cargo.toml"
    crate.write_text(crate.read_text().replace('name = "conformance"', 'name = "mutant"'))
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = ["cargo", "build", "--quiet", "--offline", "-p", "shardstream-client", "--example", "mutant"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    # Its parts that nothing uses any more are no reason to complain.
    subprocess.run(command, cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
    return [str(target / "debug" / "examples" / "mutant")]


if __name__ == "__main__":
    main(HERE, MUTANTS, runners, "Rust")
