//! What is counted, or counts, only as long as something lives.

use prometheus_client::metrics::gauge::Gauge;

/// One of something that is counted while it lives: made by [`Metrics`](super::Metrics), gone when dropped.
#[derive(Debug)]
#[must_use = "it is counted only as long as this lives"]
pub struct Active(Gauge);

/// The lanes of one shard: as many as were last [`set`](Lanes::set), none once dropped.
#[derive(Debug)]
#[must_use = "they are counted only as long as this lives"]
pub struct Lanes {
    pub(super) gauge: Gauge,
    pub(super) counted: i64,
}

impl super::Metrics {
    /// How much there is to do, in a few words for people.
    pub fn in_words(&self) -> String {
        let [connections, sessions, shards] = [
            &self.of.serving.connections,
            &self.of.serving.sessions,
            &self.of.reading.shard_readers,
        ]
        .map(Gauge::get);
        format!("{connections} connections, {sessions} sessions, {shards} shards read")
    }
}

impl Active {
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Lanes {
    /// Says how many there are from now on.
    pub fn set(&mut self, lanes: usize) {
        let lanes = i64::try_from(lanes).unwrap_or(i64::MAX);
        self.gauge.inc_by(lanes - self.counted);
        self.counted = lanes;
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.set(0);
    }
}
