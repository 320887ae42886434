"""Breaks the client in one place at a time; clients/conformance/mutants.py says how.

python clients/go/mutants.py [WORD]     those whose names have the word in them
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "conformance"))
from mutants import main  # noqa: E402

TAKEN = """		if message := f.take(records, raw); message != nil && !yield(message, nil) {
			return errLeft
		}
"""
EARLY = """		message := f.take(records, raw)
		f.progress.cover(raw)
		_ = f.save(ctx)
		if message != nil && !yield(message, nil) {
			return errLeft
		}
"""
DROPPED = """		message := f.take(records, raw)
		if message == nil {
			timer.Reset(silence)
			continue
		}
		if !yield(message, nil) {
			return errLeft
		}
"""
ANEW = """if read, ok := request.(*pb.GetRecordsRequest); ok {
			read.RequestId = time.Now().String()
		}
		split := &answer{"""
FLOAT = """{
			made, _ := Number(last.text).Float64()
			return made
		}"""
COVERED = "p.token, p.shards = raw.GetToken(), p.shards[:0]\n\t\tclear(p.shardTokens)"

# What it is, the scenario that must catch it, the file, the text, and what takes its place.
MUTANTS = [
    (
        "resume from the older token",
        "many-breaks",
        "progress.go",
        "p.shards = raw.GetToken(),",
        "p.shards = cmp.Or(p.token, raw.GetToken()),",
    ),
    ("token stored before the batch", "stored-after-the-batch", "subscribe.go", TAKEN, EARLY),
    ("heartbeat ignored", "heartbeat-stays-away", "subscribe.go", "silence := 3 * max(", "silence := 1_000_000 * max("),
    (
        "retry on ABORTED",
        "superseded",
        "errors.go",
        "return e.Code == codes.Unavailable",
        "return e.Code == codes.Unavailable || e.Code == codes.Aborted",
    ),
    (
        "shard tokens left behind",
        "shard-tokens-go-along",
        "subscribe.go",
        "request.ShardTokens = f.progress.tokens()",
        "",
    ),
    (
        "shard tokens kept too long",
        "stream-token-covers-shard-tokens",
        "progress.go",
        COVERED,
        "p.token = raw.GetToken()",
    ),
    (
        "repeats given",
        "repeats-of-an-older-server",
        "progress.go",
        "p.repeats[shard] = &last{at.number, slices.Clone(at.ids)}",
        "_ = shard",
    ),
    (
        "equal numbers taken for repeats",
        "equal-numbers",
        "progress.go",
        "order == 0 && slices.Contains(at.ids, record.ID())",
        "order == 0",
    ),
    (
        "the server's delay ignored",
        "drain-by-status-alone",
        "progress.go",
        "return max(pause, failed.RetryDelay), true",
        "return pause, true",
    ),
    ("pauses that do not grow", "pauses-grow", "progress.go", "min(2*b.next,", "min(b.next,"),
    ("no end of patience", "patience-ends", "progress.go", "> b.patience {", "> 1000*time.Hour {"),
    ("waiting at the greatest age", "max-age", "subscribe.go", "END_REASON_MAX_AGE", "END_REASON_LIMIT"),
    ("a loss that is stored", "gap-is-not-stored", "progress.go", "if p.lossy {", "if false {"),
    ("credentials never fetched anew", "expired-credentials", "client.go", 'b.token = ""\n', "b.token = token\n"),
    ("credentials fetched for ever", "bad-credentials", "subscribe.go", "f.renewed = f.renewed || f.renews", ""),
    ("the dead connection used again", "silence", "client.go", "if !failed.silent {", "if failed != nil {"),
    (
        "streams of a retired connection left open",
        "closing-the-client",
        "client.go",
        "ch.retired = true",
        "ch.retired, c.channels = true, slices.DeleteFunc(c.channels, func(one *channel) bool { return one == ch })",
    ),
    (
        "a watch that does not resume",
        "watch-resumes",
        "watch.go",
        "pause, ok := w.backoff.pause(failed)",
        "pause, ok := time.Second, false",
    ),
    ("shards that went away untold", "watch-resumes", "watch.go", "w.before[id] = true", "_ = id"),
    ("credentials of a watch never fetched anew", "credentials-of-a-watch", "watch.go", "if w.renews {", "if false {"),
    (
        "all streams over one connection",
        "thousand-streams",
        "client.go",
        "ch.streams < c.most",
        "ch.streams < 1000*c.most",
    ),
    ("the limit begun anew", "until-across-a-resume", "subscribe.go", "until.RecordCount -= f.count", ""),
    (
        "a limit that was met forgotten",
        "until-met",
        "subscribe.go",
        "limit > 0 && f.count >= limit",
        "limit > 0 && f.count > limit",
    ),
    ("LATEST asked for again", "latest-broken-before-its-token", "subscribe.go", "f.anchor(stream)", ""),
    ("another request id for the repeat", "session-read-repeated", "calls.go", "split := &answer{", ANEW),
    ("numbers as floats", "numbers-of-38-digits", "wire.go", "return Number(last.text)", FLOAT),
    (
        "sets compared in their order",
        "changed",
        "values.go",
        "other.(StringSet)\n\t\treturn ok && slices.Equal(sorted(one), sorted(other))",
        "other.(StringSet)\n\t\treturn ok && slices.Equal(one, other)",
    ),
    ("unknown events dropped with their tokens", "unknown-event", "subscribe.go", TAKEN, DROPPED),
    (
        "slowness taken for silence",
        "slow-consumer",
        "subscribe.go",
        "timer.Stop()\n\t\tif errors.Is(err, io.EOF)",
        "if errors.Is(err, io.EOF)",
    ),
    ("traceparent not sent", "traceparent", "client.go", '"traceparent", parent)', '"tracestate", parent)'),
    (
        "a pause that nothing ends",
        "cancel-during-a-pause",
        "subscribe.go",
        "wait(ctx, pause)",
        "wait(context.Background(), pause)",
    ),
    (
        "TLS that trusts everybody",
        "unknown-server",
        "client.go",
        "MinVersion: tls.VersionTLS12}",
        "MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}",
    ),
]


def runners(folder, _file):
    """The changed copy's runner."""
    subprocess.run(["go", "build", "-o", folder / "runner", "./internal/conformance"], cwd=folder, check=True)
    return [str(folder / "runner")]


if __name__ == "__main__":
    main(HERE, MUTANTS, runners)
