"""Breaks the client in one place at a time; clients/conformance/mutants.py says how.

python clients/java/mutants.py CLASSPATH [WORD]     those whose names have the word in them

The classpath has the classes that Maven made of the unchanged client and the proto files, and the libraries.
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "conformance"))
from mutants import main  # noqa: E402

CLASSPATH = sys.argv.pop(1)
SOURCES = "src/main/java/shardstream"

TAKEN = "            ready = connection.take(given, arrived.records());\n"
EARLY = TAKEN + "            progress.cover(given);\n            save();\n"
DROPPED = TAKEN + "            given = ready == null ? null : given;\n"
EVERYBODY = """                builder.trustManager(
                        new javax.net.ssl.X509TrustManager() {
                            public void checkClientTrusted(X509Certificate[] chain, String type) {}

                            public void checkServerTrusted(X509Certificate[] chain, String type) {}

                            public X509Certificate[] getAcceptedIssuers() {
                                return new X509Certificate[0];
                            }
                        });
"""
PATIENT = """            long until = System.nanoTime() + silence.toNanos();
            while (arrived.isEmpty() && status == null && !closed) {
                Runnable task = mailbox.poll(until - System.nanoTime(), TimeUnit.NANOSECONDS);
"""
HASTY = """            long until = Long.getLong("last", System.nanoTime()) + silence.toNanos();
            System.setProperty("last", String.valueOf(System.nanoTime()));
            while (arrived.isEmpty() && status == null && !closed) {
                long left = until - System.nanoTime();
                Runnable task = left < 0 ? null : mailbox.poll(left, TimeUnit.NANOSECONDS);
"""
CALLED = "ClientCalls.blockingUnaryCall(channel, method, options, request)"
ANEW = """{
                            Object again = request;
                            if (again instanceof shardstream.v1.GetRecordsRequest read) {
                                again = read.toBuilder().setRequestId("" + System.nanoTime()).build();
                            }
                            return ClientCalls.blockingUnaryCall(channel, method, options, (Q) again);
                        }"""

# What it is, the scenario that must catch it, the file, the text, and what takes its place.
MUTANTS = [
    (
        "resume from the older token",
        "many-breaks",
        "Progress.java",
        "token = raw.getToken();",
        "token = token.isEmpty() ? raw.getToken() : token;",
    ),
    ("token stored before the batch", "stored-after-the-batch", "Messages.java", TAKEN, EARLY),
    ("heartbeat ignored", "heartbeat-stays-away", "Messages.java", ".multipliedBy(3)", ".multipliedBy(1_000_000)"),
    (
        "retry on ABORTED",
        "superseded",
        "ShardstreamException.java",
        "case UNAVAILABLE -> true;",
        "case UNAVAILABLE, ABORTED -> true;",
    ),
    (
        "shard tokens left behind",
        "shard-tokens-go-along",
        "StreamRequest.java",
        ".addAllShardTokens(progress.tokens())",
        "",
    ),
    (
        "shard tokens kept too long",
        "stream-token-covers-shard-tokens",
        "Progress.java",
        "            shardTokens.clear();\n",
        "",
    ),
    (
        "repeats given",
        "repeats-of-an-older-server",
        "Progress.java",
        "if (repeats.containsKey(shard)) {",
        "if (repeats.isEmpty() && lossy) {",
    ),
    (
        "equal numbers taken for repeats",
        "equal-numbers",
        "Progress.java",
        "order == 0 && last.ids().contains(record.id())",
        "order == 0",
    ),
    (
        "the server's delay ignored",
        "drain-by-status-alone",
        "Backoff.java",
        "pause.compareTo(failed.retryDelay()) > 0 ? pause : failed.retryDelay()",
        "pause",
    ),
    ("pauses that do not grow", "pauses-grow", "Backoff.java", "next.multipliedBy(2)", "next.multipliedBy(1)"),
    ("no end of patience", "patience-ends", "Backoff.java", " || failing.compareTo(patience) > 0", ""),
    ("waiting at the greatest age", "max-age", "Messages.java", "END_REASON_MAX_AGE", "END_REASON_LIMIT"),
    ("a loss that is stored", "gap-is-not-stored", "Progress.java", "        if (lossy) {\n", "        if (false) {\n"),
    (
        "credentials never fetched anew",
        "expired-credentials",
        "Bearer.java",
        '            token = "";\n',
        "            token = refused;\n",
    ),
    (
        "credentials fetched for ever",
        "bad-credentials",
        "Messages.java",
        "            renewed = true;\n",
        "            renewed = false;\n",
    ),
    ("the dead connection used again", "silence", "Channels.java", "failed.isSilence() || broken", "broken"),
    (
        "streams of a retired connection left open",
        "closing-the-client",
        "Channels.java",
        "                    shared.retired = true;\n",
        "                    shared.retired = open.remove(shared);\n",
    ),
    (
        "a watch that does not resume",
        "watch-resumes",
        "Watch.java",
        "if (pause.isEmpty()) {",
        "if (pause.isPresent()) {",
    ),
    ("shards that went away untold", "watch-resumes", "Watch.java", "        before.addAll(known);\n", ""),
    (
        "credentials of a watch never fetched anew",
        "credentials-of-a-watch",
        "Watch.java",
        "&& !renewed",
        "&& renewed",
    ),
    (
        "all streams over one connection",
        "thousand-streams",
        "Channels.java",
        "shared.streams < most",
        "shared.streams < 1000 * most",
    ),
    ("the limit begun anew", "until-across-a-resume", "StreamRequest.java", "limit() - count", "limit()"),
    (
        "a limit that was met forgotten",
        "until-met",
        "Messages.java",
        "count >= request.limit()",
        "count > request.limit()",
    ),
    ("LATEST asked for again", "latest-broken-before-its-token", "Messages.java", "broken.anchor();", ""),
    (
        "another request id for the repeat",
        "session-read-repeated",
        "Calls.java",
        CALLED,
        ANEW,
    ),
    (
        "numbers as floats",
        "numbers-of-38-digits",
        "Client.java",
        "numbers = BigDecimal::new;",
        "numbers = text -> new BigDecimal(text).doubleValue();",
    ),
    (
        "sets compared in their order",
        "changed",
        "StreamRecord.java",
        "Objects.equals(before.get(name), after.get(name))",
        "before.get(name).toString().equals(after.get(name).toString())",
    ),
    ("unknown events dropped with their tokens", "unknown-event", "Messages.java", TAKEN, DROPPED),
    (
        "slowness taken for silence",
        "slow-consumer",
        "Messages.java",
        PATIENT,
        HASTY,
    ),
    ("traceparent not sent", "traceparent", "Calls.java", 'Key.of("traceparent"', 'Key.of("tracestate"'),
    (
        "a pause that nothing ends",
        "cancel-during-a-pause",
        "Messages.java",
        "left > 0 && !closed;",
        "left > 0;",
    ),
    (
        "TLS that trusts everybody",
        "unknown-server",
        "Tls.java",
        "                builder.trustManager(ca.toFile());\n",
        EVERYBODY,
    ),
]


def runners(folder, file):
    """The runner, and what was changed, before the classes of the unchanged client."""
    classes = folder / "classes"
    sources = [folder / "conformance" / "Conformance.java", *([folder / file] if file else [])]
    subprocess.run(["javac", "--release", "17", "-nowarn", "-d", classes, "-cp", CLASSPATH, *sources], check=True)
    return [f"java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp {classes}:{CLASSPATH} Conformance"]


if __name__ == "__main__":
    main(HERE, [(name, scenario, f"{SOURCES}/{file}", *change) for name, scenario, file, *change in MUTANTS], runners)
