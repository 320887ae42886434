//! Every measurement: its name, its labels with their words, what it says, and what counts it.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Unit;

use super::labels::{
    CallLabels, CertificateLabel, GapLabels, KindLabel, LimitLabel, NoLabels, OperationLabel,
    ReasonLabel, ResultLabel, RpcLabel, RpcLabels,
};
use super::page::{Register, Spec};
use super::streams::PerStream;

/// OpenTelemetry's buckets for the duration of a call, in seconds.
const RPC_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What is read from the upstream.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) upstream_calls: Family<CallLabels, Counter>,
    pub(super) upstream_throttled: Family<OperationLabel, Counter>,
    pub(super) iterators_renewed: Counter,
    pub(super) shard_readers: Gauge,
    pub(super) lanes: Gauge,
    pub(super) window_bytes: Gauge,
}

/// What clients are given.
#[derive(Debug)]
pub(super) struct Delivering {
    pub(super) streams: PerStream,
    pub(super) gaps: Family<GapLabels, Counter>,
    pub(super) unreadable: Counter,
}

/// Who is served, and what that takes.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) rpcs: Family<RpcLabels, Histogram, fn() -> Histogram>,
    pub(super) connections: Gauge,
    pub(super) sessions: Gauge,
    pub(super) streams: Family<RpcLabel, Gauge>,
    pub(super) held_bytes: Family<KindLabel, Gauge>,
    pub(super) limit_rejections: Family<LimitLabel, Counter>,
    pub(super) cancellation_pauses: Counter,
}

/// TLS, and who may call.
#[derive(Debug)]
pub(super) struct Guarding {
    pub(super) tls_handshakes: Family<ResultLabel, Counter>,
    pub(super) tls_reloads: Family<ResultLabel, Counter>,
    pub(super) tls_expiry: Family<CertificateLabel, Gauge>,
    pub(super) access_reloads: Family<ResultLabel, Counter>,
    pub(super) token_expiry: Family<NoLabels, Gauge>,
    pub(super) calls_denied: Family<ReasonLabel, Counter>,
    pub(super) audit_written: Counter,
    pub(super) audit_dropped: Counter,
    pub(super) audit_write_failures: Counter,
}

/// The process.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) panics: Counter,
    pub(super) log_lines_lost: Counter,
    pub(super) trace_spans: Family<ResultLabel, Counter>,
}

/// What calls to the upstream are known by.
const OPERATION: (&str, &str) = ("operation", "AWS's name of the call, such as `GetRecords`");

/// How reading files again went.
const RELOADED: &[(&str, &str)] = &[("result", "`ok`, `failed` (those before stay in force)")];

impl Reading {
    pub(super) fn new(to: &mut Register) -> Self {
        to.part("What is read");
        let calls = Spec::new("upstream_calls", "calls to AWS, the SDK's own retries not apart")
            .by(&[OPERATION, ("result", "`ok`, or the class of the error, such as `throttled`")]);
        let throttled = Spec::new("upstream_throttled", "how often AWS asked for fewer calls");
        let renewed = "iterators that expired, or were replaced before they did";
        let window = Spec::new("window", "records kept in memory, over all shards");
        Self {
            upstream_calls: to.add(calls, Family::default()),
            upstream_throttled: to.add(throttled.by(&[OPERATION]), Family::default()),
            iterators_renewed: to.add(Spec::new("iterators_renewed", renewed), Counter::default()),
            shard_readers: to
                .add(Spec::new("shard_readers_active", "shards being read"), Gauge::default()),
            lanes: to.add(
                Spec::new("lanes_active", "places being read behind the windows"),
                Gauge::default(),
            ),
            window_bytes: to.add(window.of(Unit::Bytes), Gauge::default()),
        }
    }
}

impl Delivering {
    pub(super) fn new(to: &mut Register) -> Self {
        to.part("What clients are given");
        let records = "records handed to the transport, once for each client; gone an hour after \
                       nobody reads the stream any more, or sooner where many are read no more";
        let bytes = "the encoded bytes of those records";
        let lag = "age of the next record to be read of the stream's slowest shard; zero at the \
                   tip, absent while nobody follows the stream";
        const STREAM: &[(&str, &str)] = &[("stream", "the ARN")];
        let gaps = Spec::new("gaps", "losses told to clients").by(&[
            ("cause", "the proto's words in lower case, such as `trimmed`"),
            ("certain", "`true`, `false` (records may be gone)"),
        ]);
        Self {
            streams: PerStream {
                records: to
                    .add(Spec::new("records_delivered", records).by(STREAM), Family::default()),
                bytes: to.add(
                    Spec::new("delivered", bytes).of(Unit::Bytes).by(STREAM),
                    Family::default(),
                ),
                lag: to.add(Spec::new("lag", lag).of(Unit::Seconds).by(STREAM), Family::default()),
                followed: Arc::default(),
            },
            gaps: to.add(gaps, Family::default()),
            unreadable: to.add(
                Spec::new("unreadable_records", "records that could not be read"),
                Counter::default(),
            ),
        }
    }
}

impl Serving {
    pub(super) fn new(to: &mut Register) -> Self {
        to.part("Who is served");
        let calls = "calls from their arrival to their end (of response streams: to the last \
                     message)";
        let calls = Spec::new("rpc_duration", calls).of(Unit::Seconds).by(&[
            ("method", "such as `shardstream.v1.ShardService/GetRecords`; `_OTHER`: not ours"),
            ("code", "gRPC's name of the status, such as `OK` or `NOT_FOUND`"),
        ]);
        let streams = Spec::new("streams_active", "response streams running")
            .by(&[("rpc", "the method, such as `StreamRecords`")]);
        let held = Spec::new("held", "bytes held for clients").of(Unit::Bytes).by(&[(
            "kind",
            "`records` (pages and pieces of pages being sent), `answers` (whatever else is being \
             sent), `requests` (on their way here)",
        )]);
        let rejections = Spec::new("limit_rejections", "calls refused by a limit").by(&[(
            "limit",
            "`sessions`, `streams`, `shards`, `catch_up`, `listings`, `calls`, `held` (no room in \
             `--held-bytes`), `peer` (an address has its share of something, connections too), \
             `quota` (a caller has its own)",
        )]);
        let pauses = "how often a connection was read later because its address cancels more \
                      calls, or makes the server reset more, than it may";
        let histogram: fn() -> Histogram = || Histogram::new(RPC_BUCKETS);
        Self {
            rpcs: to.add(calls, Family::new_with_constructor(histogram)),
            connections: to
                .add(Spec::new("connections_active", "client connections"), Gauge::default()),
            sessions: to.add(Spec::new("sessions_active", "leases held"), Gauge::default()),
            streams: to.add(streams, Family::default()),
            held_bytes: to.add(held, Family::default()),
            limit_rejections: to.add(rejections, Family::default()),
            cancellation_pauses: to
                .add(Spec::new("cancellation_pauses", pauses), Counter::default()),
        }
    }
}

impl Guarding {
    pub(super) fn new(to: &mut Register) -> Self {
        to.part("TLS, and who may call");
        let handshakes = Spec::new("tls_handshakes", "handshakes of TLS that ended").by(&[(
            "result",
            "`ok`, `timeout`, `closed` (by the client), `no_tls` (the client spoke plain text), \
             `no_certificate`, `bad_certificate` (of the client), `refused` (by the client: it \
             does not trust the server's), `no_http2` (it offers other protocols only), \
             `incompatible` (versions, ciphers), `protocol` (what it sent is no TLS), `too_large`",
        )]);
        let tls = "files of TLS read because they changed, or at SIGHUP";
        let access = "files of tokens and rules read because they changed, or at SIGHUP";
        let expiry = "when what is in force expires, in seconds since 1970; absent without TLS";
        let expiry =
            Spec::new("tls_certificate_expiry_timestamp", expiry).of(Unit::Seconds).by(&[(
                "certificate",
                "`server`, `client_ca` (the first of the CAs that vouch for clients)",
            )]);
        let denied = Spec::new("calls_denied", "calls refused for who makes them").by(&[(
            "reason",
            "`credentials_missing`, `credentials_invalid`, `credentials_expired`, \
             `credentials_unverifiable` (no keys to check it by), `not_allowed` (by the policy), \
             `lease_of_another`, `audit` (it cannot be told, with `--audit-strict`)",
        )]);
        let token = "when the next of the tokens in force expires for which its caller has no \
                     later one, in seconds since 1970; absent if none does";
        let token = Spec::new("token_expiry_timestamp", token).of(Unit::Seconds);
        let dropped = "events that are not in the audit log, for its queue was full";
        let failed = "how often a line of the audit log could not be written; it is tried again";
        Self {
            token_expiry: to.add(token, Family::default()),
            calls_denied: to.add(denied, Family::default()),
            audit_written: to.add(
                Spec::new("audit_written", "events written to the audit log"),
                Counter::default(),
            ),
            audit_dropped: to.add(Spec::new("audit_dropped", dropped), Counter::default()),
            audit_write_failures: to
                .add(Spec::new("audit_write_failures", failed), Counter::default()),
            tls_handshakes: to.add(handshakes, Family::default()),
            tls_reloads: to.add(Spec::new("tls_reloads", tls).by(RELOADED), Family::default()),
            tls_expiry: to.add(expiry, Family::default()),
            access_reloads: to
                .add(Spec::new("access_reloads", access).by(RELOADED), Family::default()),
        }
    }
}

impl Own {
    pub(super) fn new(to: &mut Register) -> Self {
        to.part("The process");
        let build = Spec::new("build", "what is running").by(&[("version", "its version")]);
        to.put(build, Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let panics = "calls of clients, calls to the upstream and tasks that ended in a panic; \
                      each is a bug";
        let lost = "lines of the log that could not be written";
        let spans = Spec::new("trace_spans", "spans of calls that are sampled").by(&[(
            "result",
            "`sent`, `dropped` (the queue was full: the collector is slow or away), `failed` (it \
             refused them, or was away at the end)",
        )]);
        Self {
            panics: to.add(Spec::new("panics", panics), Counter::default()),
            log_lines_lost: to.add(Spec::new("log_lines_lost", lost), Counter::default()),
            trace_spans: to.add(spans, Family::default()),
        }
    }
}
