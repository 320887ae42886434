//! What can be measured of a server, named once.
//!
//! A [`Metrics`] is a cheap clone and is passed to whoever measures: nothing here is global, so
//! many servers live in one test process. Labels hold only words from the closed lists beside each
//! name, and stream ARNs; never shards, sessions or anything of an item.

mod live;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::model::{StreamArn, Timestamp};

use live::Lags;
pub use live::{Active, Lag, Lanes};

/// Everything a server measures. A cheap clone: every call and every stream has one.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    of: Arc<Families>,
}

/// The measurements.
#[derive(Debug)]
struct Families {
    /// `shardstream_upstream_calls_total{operation, result}`: calls to AWS, retries of the SDK not
    /// counted apart. operation: AWS's name of the call (`GetRecords`, ...). result: `ok`, or
    /// `ErrorClass::label` (`throttled`, ...).
    upstream_calls: Family<CallLabels, Counter>,
    /// `shardstream_upstream_throttled_total{operation}`: how often AWS asked for fewer calls.
    upstream_throttled: Family<OperationLabel, Counter>,
    /// `shardstream_iterators_renewed_total`: iterators that expired or were replaced before they
    /// did.
    iterators_renewed: Counter,
    /// `shardstream_gaps_total{cause, certain}`: losses told to clients. cause: the proto's words
    /// in lower case (`trimmed`, `shard_expired`). certain: `true` or `false`.
    gaps: Family<GapLabels, Counter>,
    /// `shardstream_unreadable_records_total`: records that could not be read.
    unreadable: Counter,
    /// `shardstream_records_delivered_total{stream}`: records handed to the transport, once for
    /// each client. Gone when nobody has read the stream for [`REMEMBERED`], as are its bytes.
    records_delivered: Family<StreamLabel, Counter>,
    /// `shardstream_delivered_bytes_total{stream}`: the encoded bytes of those records.
    delivered_bytes: Family<StreamLabel, Counter>,
    /// `shardstream_lag_seconds{stream}`: age of the next record to be read of the stream's slowest
    /// shard reader; zero at the tip. Gone when nobody follows the stream.
    lag: Family<StreamLabel, Gauge<f64, std::sync::atomic::AtomicU64>>,
    /// What `lag` is made of when it is asked for: a figure a shard reader.
    lags: Arc<Mutex<Lags>>,
    /// `shardstream_log_lines_lost_total`: lines of the log that could not be written.
    log_lines_lost: Counter,
    /// `shardstream_connections_active`.
    connections: Gauge,
    /// `shardstream_sessions_active`: leases held.
    sessions: Gauge,
    /// `shardstream_streams_active{rpc}`: response streams running. rpc: the method
    /// (`StreamRecords`, ...).
    streams: Family<RpcLabel, Gauge>,
    /// `shardstream_lanes_active`: places being read behind the windows.
    lanes: Gauge,
    /// `shardstream_shard_readers_active`: shards being read.
    shard_readers: Gauge,
    /// `shardstream_window_bytes`: records kept in memory, over all shards.
    window_bytes: Gauge,
    /// `shardstream_held_bytes{kind}`: bytes held for clients. kind: `records` (pages and pieces of
    /// pages being sent), `answers` (whatever else is being sent) or `requests`.
    held_bytes: Family<KindLabel, Gauge>,
    /// `shardstream_limit_rejections_total{limit}`: calls refused by a limit. limit: `sessions`,
    /// `streams`, `shards`, `catch_up`, `listings`, `calls`, `held` (no room in `--held-bytes`) or
    /// `peer` (an address has its share of something, connections too).
    limit_rejections: Family<LimitLabel, Counter>,
    /// `shardstream_cancellation_pauses_total`: how often a connection was read later because its
    /// address cancels more calls, or makes the server reset more, than it may.
    cancellation_pauses: Counter,
    /// `shardstream_tls_handshakes_total{result}`: handshakes of TLS that ended. result: `ok`,
    /// `timeout`, `closed` (by the client), `no_tls` (the client spoke plain text),
    /// `no_certificate`, `bad_certificate` (of the client), `refused` (by the client: it does not
    /// trust the server's), `no_http2` (it offers other protocols only), `incompatible` (versions,
    /// ciphers), `protocol` (what it sent is no TLS), `too_large`.
    tls_handshakes: Family<ResultLabel, Counter>,
    /// `shardstream_tls_reloads_total{result}`: files of TLS read because they changed, or at
    /// SIGHUP. result: `ok`, `failed` (those before stay in force).
    tls_reloads: Family<ResultLabel, Counter>,
    /// `shardstream_access_reloads_total{result}`: files of tokens and rules read because they
    /// changed, or at SIGHUP. result: `ok`, `failed` (those before stay in force).
    access_reloads: Family<ResultLabel, Counter>,
    /// `shardstream_tls_certificate_expiry_timestamp_seconds{certificate}`: when what is in force
    /// expires, in seconds since 1970; absent without TLS. certificate: `server`, `client_ca` (the
    /// first of the CAs that vouch for clients).
    tls_expiry: Family<CertificateLabel, Gauge>,
    /// `shardstream_panics_total`: calls of clients, calls to the upstream and tasks that ended in
    /// a panic; each is a bug.
    panics: Counter,
    /// `shardstream_rpc_duration_seconds{method, code}`: a call from its arrival to its end (for
    /// response streams: to the last message). method: `shardstream.v1.ShardService/GetRecords`, or
    /// `_OTHER`. code: gRPC's name (`OK`, `NOT_FOUND`, ...).
    rpcs: Family<RpcLabels, Histogram, fn() -> Histogram>,
}

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a stream that nobody reads any more is still counted: what scrapes sees the last
/// figures, and tables that come and go leave nothing behind.
pub const REMEMBERED: Duration = Duration::from_secs(3_600);

/// OpenTelemetry's buckets for the duration of a call, in seconds.
const RPC_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GapLabels {
    cause: &'static str,
    certain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabel {
    stream: ArnValue,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabel {
    rpc: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabel {
    certificate: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    method: &'static str,
    code: &'static str,
}

/// An ARN is shared text: a label made of it costs no allocation on the way of the records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ArnValue(StreamArn);

impl EncodeLabelValue for ArnValue {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

impl Metrics {
    /// Metrics of one server, all zero, in a registry of their own.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("shardstream");
        let of = Families {
            upstream_calls: Family::default(),
            upstream_throttled: Family::default(),
            iterators_renewed: Counter::default(),
            gaps: Family::default(),
            unreadable: Counter::default(),
            records_delivered: Family::default(),
            delivered_bytes: Family::default(),
            lag: Family::default(),
            lags: Arc::default(),
            log_lines_lost: Counter::default(),
            connections: Gauge::default(),
            sessions: Gauge::default(),
            streams: Family::default(),
            lanes: Gauge::default(),
            shard_readers: Gauge::default(),
            window_bytes: Gauge::default(),
            held_bytes: Family::default(),
            limit_rejections: Family::default(),
            cancellation_pauses: Counter::default(),
            tls_handshakes: Family::default(),
            tls_reloads: Family::default(),
            access_reloads: Family::default(),
            tls_expiry: Family::default(),
            panics: Counter::default(),
            rpcs: Family::new_with_constructor(|| Histogram::new(RPC_BUCKETS)),
        };
        of.register(&mut registry);
        Self { registry: Arc::new(registry), of: Arc::new(of) }
    }

    /// All of it as OpenMetrics text, of type [`CONTENT_TYPE`].
    pub fn render(&self) -> String {
        self.of.lag.clear();
        let mut lags = self.of.lags.lock();
        self.forget_unread(&mut lags);
        for (stream, readers) in &lags.read {
            if let Some(slowest) = readers.values().flatten().copied().reduce(f64::max) {
                self.of
                    .lag
                    .get_or_create(&StreamLabel { stream: ArnValue(stream.clone()) })
                    .set(slowest);
            }
        }
        drop(lags);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes every text");
        text
    }

    /// Counts one upstream call and how it ended.
    pub fn upstream_call(&self, operation: &'static str, result: &'static str) {
        self.of.upstream_calls.get_or_create(&CallLabels { operation, result }).inc();
    }

    /// Counts one throttled upstream call.
    pub fn throttled(&self, operation: &'static str) {
        self.of.upstream_throttled.get_or_create(&OperationLabel { operation }).inc();
    }

    /// Counts one renewed iterator.
    pub fn iterator_renewed(&self) {
        self.of.iterators_renewed.inc();
    }

    /// Counts one gap told to a client.
    pub fn gap(&self, cause: &'static str, certain: bool) {
        self.of.gaps.get_or_create(&GapLabels { cause, certain }).inc();
    }

    /// Counts one record that could not be read.
    pub fn unreadable(&self) {
        self.of.unreadable.inc();
    }

    /// Counts records handed to one client, and their encoded bytes.
    pub fn delivered(&self, stream: &StreamArn, records: u64, bytes: u64) {
        let label = StreamLabel { stream: ArnValue(stream.clone()) };
        self.of.records_delivered.get_or_create(&label).inc_by(records);
        self.of.delivered_bytes.get_or_create(&label).inc_by(bytes);
    }

    /// Measures how far the reader of one of the stream's shards is behind, while it lives.
    pub fn lag(&self, stream: &StreamArn) -> Lag {
        let mut lags = self.of.lags.lock();
        self.forget_unread(&mut lags);
        lags.unread.remove(stream);
        let readers = lags.read.entry(stream.clone()).or_default();
        // Readers that have gone leave numbers free below the highest; any that is free will do.
        let reader = readers.keys().max().map_or(0, |last| last + 1);
        readers.insert(reader, None);
        Lag { lags: self.of.lags.clone(), stream: stream.clone(), reader }
    }

    fn forget_unread(&self, lags: &mut Lags) {
        let now = Instant::now();
        lags.unread.retain(|stream, since| {
            let remembered = now.saturating_duration_since(*since) < REMEMBERED;
            if !remembered {
                let label = StreamLabel { stream: ArnValue(stream.clone()) };
                self.of.records_delivered.remove(&label);
                self.of.delivered_bytes.remove(&label);
            }
            remembered
        });
    }

    /// Counts lines of the log that could not be written.
    pub fn log_lines_lost(&self, lines: u64) {
        self.of.log_lines_lost.inc_by(lines);
    }

    /// Counts a client connection while it lives.
    pub fn connection(&self) -> Active {
        Active::new(self.of.connections.clone())
    }

    /// Counts a session while it lives.
    pub fn session(&self) -> Active {
        Active::new(self.of.sessions.clone())
    }

    /// Counts a response stream while it lives.
    pub fn stream(&self, rpc: &'static str) -> Active {
        Active::new(self.of.streams.get_or_create_owned(&RpcLabel { rpc }))
    }

    /// Counts the lanes of one shard, none yet, while it lives.
    pub fn lanes(&self) -> Lanes {
        Lanes { gauge: self.of.lanes.clone(), counted: 0 }
    }

    /// Counts a shard's reader while it lives.
    pub fn shard_reader(&self) -> Active {
        Active::new(self.of.shard_readers.clone())
    }

    /// Adds to (or, negative, takes from) the bytes kept in memory.
    pub fn window_bytes(&self, delta: i64) {
        self.of.window_bytes.inc_by(delta);
    }

    /// Adds to (or, negative, takes from) the bytes held for clients.
    pub fn held_bytes(&self, kind: &'static str, delta: i64) {
        self.of.held_bytes.get_or_create(&KindLabel { kind }).inc_by(delta);
    }

    /// Counts one call refused by a limit.
    pub fn limit_rejection(&self, limit: &'static str) {
        self.of.limit_rejections.get_or_create(&LimitLabel { limit }).inc();
    }

    /// Counts one pause in reading a connection whose address cancels too many calls.
    pub fn cancellation_pause(&self) {
        self.of.cancellation_pauses.inc();
    }

    /// Counts one handshake of TLS, and how it ended.
    pub fn tls_handshake(&self, result: &'static str) {
        self.of.tls_handshakes.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one time that the files of TLS were read again.
    pub fn tls_reload(&self, result: &'static str) {
        self.of.tls_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one time that the files of tokens and rules were read again.
    pub fn access_reload(&self, result: &'static str) {
        self.of.access_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Says when a certificate in force expires; `None`: there is none.
    pub fn tls_expiry(&self, certificate: &'static str, expires: Option<Timestamp>) {
        let label = CertificateLabel { certificate };
        match expires {
            Some(expires) => _ = self.of.tls_expiry.get_or_create(&label).set(expires.seconds()),
            None => _ = self.of.tls_expiry.remove(&label),
        }
    }

    /// Counts one panic.
    pub fn panic(&self) {
        self.of.panics.inc();
    }

    /// Counts one call that ended, and how long it took in seconds.
    pub fn rpc(&self, method: &'static str, code: &'static str, seconds: f64) {
        self.of.rpcs.get_or_create(&RpcLabels { method, code }).observe(seconds);
    }
}

impl Families {
    fn register(&self, to: &mut Registry) {
        to.register(
            "build",
            "What is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        self.register_reading(to);
        self.register_serving(to);
    }

    /// What is read from the upstream and handed to clients.
    fn register_reading(&self, to: &mut Registry) {
        to.register("upstream_calls", "Calls to the upstream", self.upstream_calls.clone());
        to.register(
            "upstream_throttled",
            "Calls the upstream throttled",
            self.upstream_throttled.clone(),
        );
        to.register("iterators_renewed", "Shard iterators renewed", self.iterators_renewed.clone());
        to.register("gaps", "Losses by trimming told to clients", self.gaps.clone());
        to.register(
            "unreadable_records",
            "Records that could not be read",
            self.unreadable.clone(),
        );
        to.register(
            "records_delivered",
            "Records handed to clients",
            self.records_delivered.clone(),
        );
        to.register_with_unit(
            "delivered",
            "Encoded records handed to clients",
            Unit::Bytes,
            self.delivered_bytes.clone(),
        );
        to.register_with_unit(
            "lag",
            "Age of the next record to be read",
            Unit::Seconds,
            self.lag.clone(),
        );
    }

    /// Who is served, and what that takes.
    fn register_serving(&self, to: &mut Registry) {
        to.register("connections_active", "Client connections", self.connections.clone());
        to.register("sessions_active", "Sessions under a lease", self.sessions.clone());
        to.register("streams_active", "Response streams", self.streams.clone());
        to.register("lanes_active", "Places read behind the windows", self.lanes.clone());
        to.register("shard_readers_active", "Shards being read", self.shard_readers.clone());
        to.register_with_unit(
            "window",
            "Records kept in memory",
            Unit::Bytes,
            self.window_bytes.clone(),
        );
        to.register_with_unit(
            "held",
            "Bytes held for clients",
            Unit::Bytes,
            self.held_bytes.clone(),
        );
        to.register("limit_rejections", "Calls refused by a limit", self.limit_rejections.clone());
        to.register(
            "cancellation_pauses",
            "Pauses in reading connections whose address has too many calls cancelled or reset",
            self.cancellation_pauses.clone(),
        );
        to.register("tls_handshakes", "Handshakes of TLS", self.tls_handshakes.clone());
        to.register("tls_reloads", "Files of TLS read again", self.tls_reloads.clone());
        to.register("access_reloads", "Files of callers read again", self.access_reloads.clone());
        to.register_with_unit(
            "tls_certificate_expiry_timestamp",
            "When what is in force expires",
            Unit::Seconds,
            self.tls_expiry.clone(),
        );
        to.register("panics", "Calls and tasks that ended in a panic", self.panics.clone());
        to.register(
            "log_lines_lost",
            "Lines of the log that could not be written",
            self.log_lines_lost.clone(),
        );
        to.register_with_unit(
            "rpc_duration",
            "Calls by method and code",
            Unit::Seconds,
            self.rpcs.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        metrics
            .render()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn names_and_labels_are_as_documented() {
        let metrics = Metrics::new();
        let arn = StreamArn::parse("arn:aws:dynamodb:us-east-1:1:table/Orders/stream/label")
            .expect("an ARN");
        metrics.upstream_call("GetRecords", "ok");
        metrics.throttled("GetRecords");
        metrics.iterator_renewed();
        metrics.gap("trimmed", true);
        metrics.unreadable();
        metrics.delivered(&arn, 3, 700);
        let mut lags = [metrics.lag(&arn), metrics.lag(&arn), metrics.lag(&arn)];
        lags[1].set(Duration::from_millis(1_500));
        lags[2].set(Duration::from_millis(200));
        metrics.window_bytes(100);
        metrics.window_bytes(-40);
        metrics.held_bytes("records", 30);
        metrics.limit_rejection("sessions");
        metrics.cancellation_pause();
        metrics.tls_handshake("ok");
        metrics.tls_reload("failed");
        metrics.tls_expiry("server", Timestamp::new(1_795_428_000, 0));
        metrics.tls_expiry("client_ca", Timestamp::new(1, 0));
        metrics.tls_expiry("client_ca", None);
        metrics.panic();
        metrics.log_lines_lost(2);
        metrics.rpc("shardstream.v1.ShardService/GetRecords", "OK", 0.02);
        let lines = lines(&metrics);
        let stream = format!("{{stream=\"{arn}\"}}");
        for line in [
            &format!("shardstream_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
            "shardstream_upstream_calls_total{operation=\"GetRecords\",result=\"ok\"} 1",
            "shardstream_upstream_throttled_total{operation=\"GetRecords\"} 1",
            "shardstream_iterators_renewed_total 1",
            "shardstream_gaps_total{cause=\"trimmed\",certain=\"true\"} 1",
            "shardstream_unreadable_records_total 1",
            &format!("shardstream_records_delivered_total{stream} 3"),
            &format!("shardstream_delivered_bytes_total{stream} 700"),
            &format!("shardstream_lag_seconds{stream} 1.5"),
            "shardstream_window_bytes 60",
            "shardstream_held_bytes{kind=\"records\"} 30",
            "shardstream_limit_rejections_total{limit=\"sessions\"} 1",
            "shardstream_cancellation_pauses_total 1",
            "shardstream_tls_handshakes_total{result=\"ok\"} 1",
            "shardstream_tls_reloads_total{result=\"failed\"} 1",
            "shardstream_tls_certificate_expiry_timestamp_seconds{certificate=\"server\"} 1795428000",
            "shardstream_panics_total 1",
            "shardstream_log_lines_lost_total 2",
            "shardstream_rpc_duration_seconds_count{method=\"shardstream.v1.ShardService/GetRecords\",code=\"OK\"} 1",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
        }
        drop(lags);
        let without = metrics.render();
        assert!(!without.contains("shardstream_lag_seconds{") && !without.contains("client_ca"));
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_are_read_no_more_are_forgotten_after_a_while() {
        let metrics = Metrics::new();
        let arn = |name| {
            StreamArn::parse(&format!("arn:aws:dynamodb:us-east-1:1:table/{name}/stream/l"))
                .expect("an ARN")
        };
        let (read, left, again) = (arn("Read"), arn("Left"), arn("Again"));
        let kept = metrics.lag(&read);
        for stream in [&left, &again] {
            drop(metrics.lag(stream));
        }
        for stream in [&read, &left, &again] {
            metrics.delivered(stream, 1, 10);
        }
        let counted = |stream: &StreamArn| {
            let of_it = format!("{{stream=\"{stream}\"}}");
            lines(&metrics)
                .iter()
                .filter(|line| line.contains(&of_it) && line.contains("_total"))
                .count()
        };
        tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
        assert_eq!([&read, &left, &again].map(counted), [2, 2, 2]);
        // A new reader, and the end of another, begin the time anew.
        drop(metrics.lag(&again));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([&read, &left, &again].map(counted), [2, 0, 2]);
        tokio::time::advance(REMEMBERED).await;
        assert_eq!([&read, &left, &again].map(counted), [2, 0, 0]);
        assert_eq!(metrics.of.lags.lock().unread.len(), 0);
        drop(kept);
    }

    #[test]
    fn what_lives_is_counted_until_dropped() {
        let metrics = Metrics::new();
        let held = [metrics.session(), metrics.shard_reader(), metrics.stream("StreamRecords")];
        let mut lanes = metrics.lanes();
        lanes.set(3);
        lanes.set(1);
        let connection = metrics.connection();
        for line in [
            "shardstream_sessions_active 1",
            "shardstream_lanes_active 1",
            "shardstream_shard_readers_active 1",
            "shardstream_streams_active{rpc=\"StreamRecords\"} 1",
            "shardstream_connections_active 1",
        ] {
            assert!(lines(&metrics).iter().any(|found| found == line), "{line}");
        }
        drop((held, connection, lanes));
        let text = lines(&metrics);
        assert!(
            text.iter().filter(|line| line.contains("_active")).all(|line| line.ends_with(" 0")),
            "{text:#?}"
        );
    }
}
