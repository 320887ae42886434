//! What is counted, or counts, only as long as something lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::model::StreamArn;

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

/// Who reads which stream.
#[derive(Debug, Default)]
pub(super) struct Lags {
    /// How far each reader of each stream's shards is behind, in seconds, where that is known.
    pub(super) read: HashMap<StreamArn, HashMap<u64, Option<f64>>>,
    /// Streams that nobody reads any more, and since when.
    pub(super) unread: HashMap<StreamArn, Instant>,
}

/// How far the reader of one shard is behind: counts for its stream as it was last
/// [`set`](Lag::set), not at all once dropped.
#[derive(Debug)]
#[must_use = "it counts only as long as this lives"]
pub struct Lag {
    pub(super) lags: Arc<Mutex<Lags>>,
    pub(super) stream: StreamArn,
    pub(super) reader: u64,
}

impl Active {
    pub(super) fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Lag {
    /// Zero at the tip. To be said again while idle: a figure that is not said again stays.
    pub fn set(&mut self, lag: Duration) {
        if let Some(readers) = self.lags.lock().read.get_mut(&self.stream) {
            readers.insert(self.reader, Some(lag.as_secs_f64()));
        }
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        let mut lags = self.lags.lock();
        if let Some(readers) = lags.read.get_mut(&self.stream) {
            readers.remove(&self.reader);
            if readers.is_empty() {
                lags.read.remove(&self.stream);
                lags.unread.insert(self.stream.clone(), Instant::now());
            }
        }
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
