//! What can be measured of a server, named once.
//!
//! A [`Metrics`] is a cheap clone and is passed to whoever measures: nothing here is global, so
//! many servers live in one test process. Labels hold only words from the closed lists in
//! [`families`], and stream ARNs; never shards, sessions or anything of an item. [`page()`] is what
//! people read of it.

mod families;
mod labels;
mod live;
mod page;
mod process;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use crate::model::{StreamArn, Timestamp};

use families::{Delivering, Guarding, Own, Reading, Serving};
use labels::{
    CallLabels, CertificateLabel, GapLabels, KindLabel, LimitLabel, OperationLabel, ReasonLabel,
    ResultLabel, RpcLabel, RpcLabels,
};
use page::{Part, Register};

pub use live::{Active, Lanes};
pub use streams::{Lag, MOST_REMEMBERED, REMEMBERED};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything a server measures. A cheap clone: every call and every stream has one.
#[derive(Clone, Debug)]
pub struct Metrics {
    registries: Arc<[Registry; 2]>,
    of: Arc<Families>,
}

/// The measurements.
#[derive(Debug)]
struct Families {
    reading: Reading,
    delivering: Delivering,
    serving: Serving,
    guarding: Guarding,
    own: Own,
}

/// `docs/metrics.md`: every measurement with its type, its labels and what it says.
pub fn page() -> String {
    page::markdown(&Metrics::described().1)
}

impl Metrics {
    /// Metrics of one server, all zero, in a registry of their own.
    pub fn new() -> Self {
        Self::described().0
    }

    fn described() -> (Self, Vec<Part>) {
        let mut register = Register::new();
        let of = Families {
            reading: Reading::new(&mut register),
            delivering: Delivering::new(&mut register),
            serving: Serving::new(&mut register),
            guarding: Guarding::new(&mut register),
            own: Own::new(&mut register),
        };
        process::register(&mut register);
        let (registries, parts) = register.end();
        (Self { registries: Arc::new(registries), of: Arc::new(of) }, parts)
    }

    /// All of it as OpenMetrics text, of type [`CONTENT_TYPE`].
    pub fn render(&self) -> String {
        self.of.delivering.streams.refresh();
        let mut text = String::new();
        let written = self.registries.iter().try_for_each(|part| encode_registry(&mut text, part));
        written.and_then(|()| encode_eof(&mut text)).expect("a String takes every text");
        text
    }

    /// Counts one upstream call and how it ended.
    pub fn upstream_call(&self, operation: &'static str, result: &'static str) {
        self.of.reading.upstream_calls.get_or_create(&CallLabels { operation, result }).inc();
    }

    /// Counts one throttled upstream call.
    pub fn throttled(&self, operation: &'static str) {
        self.of.reading.upstream_throttled.get_or_create(&OperationLabel { operation }).inc();
    }

    /// Counts one renewed iterator.
    pub fn iterator_renewed(&self) {
        self.of.reading.iterators_renewed.inc();
    }

    /// Counts one gap told to a client.
    pub fn gap(&self, cause: &'static str, certain: bool) {
        self.of.delivering.gaps.get_or_create(&GapLabels { cause, certain }).inc();
    }

    /// Counts one record that could not be read.
    pub fn unreadable(&self) {
        self.of.delivering.unreadable.inc();
    }

    /// Counts records handed to one client, and their encoded bytes.
    pub fn delivered(&self, stream: &StreamArn, records: u64, bytes: u64) {
        self.of.delivering.streams.delivered(stream, records, bytes);
    }

    /// Measures how far the reader of one of the stream's shards is behind, while it lives.
    pub fn lag(&self, stream: &StreamArn) -> Lag {
        self.of.delivering.streams.lag(stream)
    }

    /// Counts lines of the log that could not be written.
    pub fn log_lines_lost(&self, lines: u64) {
        self.of.own.log_lines_lost.inc_by(lines);
    }

    /// Counts a client connection while it lives.
    pub fn connection(&self) -> Active {
        Active::new(self.of.serving.connections.clone())
    }

    /// Counts a session while it lives.
    pub fn session(&self) -> Active {
        Active::new(self.of.serving.sessions.clone())
    }

    /// Counts a response stream while it lives.
    pub fn stream(&self, rpc: &'static str) -> Active {
        Active::new(self.of.serving.streams.get_or_create_owned(&RpcLabel { rpc }))
    }

    /// Counts the lanes of one shard, none yet, while it lives.
    pub fn lanes(&self) -> Lanes {
        Lanes { gauge: self.of.reading.lanes.clone(), counted: 0 }
    }

    /// Counts a shard's reader while it lives.
    pub fn shard_reader(&self) -> Active {
        Active::new(self.of.reading.shard_readers.clone())
    }

    /// Adds to (or, negative, takes from) the bytes kept in memory.
    pub fn window_bytes(&self, delta: i64) {
        self.of.reading.window_bytes.inc_by(delta);
    }

    /// Adds to (or, negative, takes from) the bytes held for clients.
    pub fn held_bytes(&self, kind: &'static str, delta: i64) {
        self.of.serving.held_bytes.get_or_create(&KindLabel { kind }).inc_by(delta);
    }

    /// Counts one call refused by a limit.
    pub fn limit_rejection(&self, limit: &'static str) {
        self.of.serving.limit_rejections.get_or_create(&LimitLabel { limit }).inc();
    }

    /// Counts one pause in reading a connection whose address cancels too many calls.
    pub fn cancellation_pause(&self) {
        self.of.serving.cancellation_pauses.inc();
    }

    /// Counts one handshake of TLS, and how it ended.
    pub fn tls_handshake(&self, result: &'static str) {
        self.of.guarding.tls_handshakes.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one time that the files of TLS were read again.
    pub fn tls_reload(&self, result: &'static str) {
        self.of.guarding.tls_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one time that the files of tokens and rules were read again.
    pub fn access_reload(&self, result: &'static str) {
        self.of.guarding.access_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Says when a certificate in force expires; `None`: there is none.
    pub fn tls_expiry(&self, certificate: &'static str, expires: Option<Timestamp>) {
        let label = CertificateLabel { certificate };
        match expires {
            Some(expires) => {
                _ = self.of.guarding.tls_expiry.get_or_create(&label).set(expires.seconds())
            }
            None => _ = self.of.guarding.tls_expiry.remove(&label),
        }
    }

    /// Says when the next token expires that its caller has no later one for; `None`: none does.
    pub fn token_expiry(&self, expires: Option<Timestamp>) {
        match expires {
            Some(at) => _ = self.of.guarding.token_expiry.get_or_create(&[]).set(at.seconds()),
            None => self.of.guarding.token_expiry.clear(),
        }
    }

    /// Counts one call refused for who makes it.
    pub fn call_denied(&self, reason: &'static str) {
        self.of.guarding.calls_denied.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts spans of calls: sent, dropped or failed.
    pub fn spans(&self, result: &'static str, count: u64) {
        self.of.own.trace_spans.get_or_create(&ResultLabel { result }).inc_by(count);
    }

    /// Counts one event written to the audit log.
    pub fn audit_written(&self) {
        self.of.guarding.audit_written.inc();
    }

    /// Counts events that are not in the audit log.
    pub fn audit_dropped(&self, events: u64) {
        self.of.guarding.audit_dropped.inc_by(events);
    }

    /// Counts one failure to write the audit log.
    pub fn audit_write_failed(&self) {
        self.of.guarding.audit_write_failures.inc();
    }

    /// Counts one panic.
    pub fn panic(&self) {
        self.of.own.panics.inc();
    }

    /// Counts one call that ended, and how long it took in seconds.
    pub fn rpc(&self, method: &'static str, code: &'static str, seconds: f64) {
        self.of.serving.rpcs.get_or_create(&RpcLabels { method, code }).observe(seconds);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
