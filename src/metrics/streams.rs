//! What is counted stream by stream. Streams come and go without end, so their series are forgotten:
//! an hour after nobody reads a stream any more, and sooner where many are read no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::model::StreamArn;

use super::labels::StreamLabel;

/// How long a stream that nobody reads any more is still counted: what scrapes sees the last
/// figures, and tables that come and go leave nothing behind.
pub const REMEMBERED: Duration = Duration::from_secs(3_600);

/// The most streams that are counted though nobody reads them; of more, those that were left first
/// are forgotten.
pub const MOST_REMEMBERED: usize = 100;

/// What is counted of each stream.
#[derive(Debug)]
pub(super) struct PerStream {
    pub(super) records: Family<StreamLabel, Counter>,
    pub(super) bytes: Family<StreamLabel, Counter>,
    /// Set when it is asked for.
    pub(super) lag: Family<StreamLabel, Gauge<f64, AtomicU64>>,
    pub(super) followed: Arc<Mutex<Followed>>,
}

/// Who reads which stream.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// How far each reader of each stream's shards is behind, in seconds, where that is known.
    read: HashMap<StreamArn, HashMap<u64, Option<f64>>>,
    /// Streams that nobody reads any more, and since when.
    unread: HashMap<StreamArn, Instant>,
}

/// How far the reader of one shard is behind: counts for its stream as it was last
/// [`set`](Lag::set), not at all once dropped.
#[derive(Debug)]
#[must_use = "it counts only as long as this lives"]
pub struct Lag {
    followed: Arc<Mutex<Followed>>,
    stream: StreamArn,
    reader: u64,
}

impl PerStream {
    /// Counts records handed to one client, and their encoded bytes.
    pub(super) fn delivered(&self, stream: &StreamArn, records: u64, bytes: u64) {
        let label = StreamLabel::of(stream);
        if self.records.get(&label).is_none() {
            self.begin(stream);
        }
        self.records.get_or_create(&label).inc_by(records);
        self.bytes.get_or_create(&label).inc_by(bytes);
    }

    /// Measures how far the reader of one of the stream's shards is behind, while it lives.
    pub(super) fn lag(&self, stream: &StreamArn) -> Lag {
        let mut followed = self.followed.lock();
        self.forget_unread(&mut followed);
        followed.unread.remove(stream);
        let readers = followed.read.entry(stream.clone()).or_default();
        // Readers that have gone leave numbers free below the highest; any that is free will do.
        let reader = readers.keys().max().map_or(0, |last| last + 1);
        readers.insert(reader, None);
        Lag { followed: self.followed.clone(), stream: stream.clone(), reader }
    }

    /// Brings everything up to date, to be shown.
    pub(super) fn refresh(&self) {
        self.lag.clear();
        let mut followed = self.followed.lock();
        self.forget_unread(&mut followed);
        for (stream, readers) in &followed.read {
            if let Some(slowest) = readers.values().flatten().copied().reduce(f64::max) {
                self.lag.get_or_create(&StreamLabel::of(stream)).set(slowest);
            }
        }
    }

    /// A client that still takes what was read before its stream was left is counted, and forgotten
    /// in its time.
    fn begin(&self, stream: &StreamArn) {
        let followed = &mut *self.followed.lock();
        if !followed.read.contains_key(stream) {
            followed.unread.entry(stream.clone()).or_insert_with(Instant::now);
        }
    }

    fn forget_unread(&self, followed: &mut Followed) {
        let now = Instant::now();
        let mut left: Vec<_> =
            followed.unread.iter().map(|(stream, since)| (*since, stream.clone())).collect();
        left.sort_unstable();
        let surplus = left.len().saturating_sub(MOST_REMEMBERED);
        for (at, (since, stream)) in left.into_iter().enumerate() {
            if at < surplus || now.saturating_duration_since(since) >= REMEMBERED {
                followed.unread.remove(&stream);
                self.records.remove(&StreamLabel::of(&stream));
                self.bytes.remove(&StreamLabel::of(&stream));
            }
        }
    }

    /// How many streams are remembered though nobody reads them.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.followed.lock().unread.len()
    }
}

impl Lag {
    /// Zero at the tip. To be said again while idle: a figure that is not said again stays.
    pub fn set(&mut self, lag: Duration) {
        if let Some(readers) = self.followed.lock().read.get_mut(&self.stream) {
            readers.insert(self.reader, Some(lag.as_secs_f64()));
        }
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        let mut followed = self.followed.lock();
        if let Some(readers) = followed.read.get_mut(&self.stream) {
            readers.remove(&self.reader);
            if readers.is_empty() {
                followed.read.remove(&self.stream);
                followed.unread.insert(self.stream.clone(), Instant::now());
            }
        }
    }
}
