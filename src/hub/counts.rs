//! Counts of what the hub keeps, to check that nothing is left over.

use super::reader::{Readers, ShardReader};

/// What the hub keeps at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Shards that have a reader.
    pub readers: usize,
    /// Cursors on those shards.
    pub followers: usize,
    /// Lanes of all readers.
    pub lanes: usize,
    /// Cursors that wait for new records.
    pub waiting: usize,
    /// Cursors that found something and have not polled again.
    pub parked: usize,
    /// Cursors that registered a wake handle.
    pub listening: usize,
    /// Streams with a running discovery.
    pub discoveries: usize,
    /// Cache entries about streams: names, listings, and shards seen closed.
    pub remembered: usize,
    /// Bytes of all windows, pages in flight included.
    pub window_bytes: usize,
}

impl HubCounts {
    /// Counts what is kept now.
    pub(super) fn of(all: &Readers) -> Self {
        let readers = all.all();
        let sum = |of: fn(&ShardReader) -> usize| readers.iter().map(|reader| of(reader)).sum();
        Self {
            readers: readers.len(),
            followers: sum(ShardReader::follower_count),
            lanes: sum(|reader| reader.state().lane_count()),
            waiting: sum(|reader| reader.state().waiter_count()),
            parked: sum(|reader| reader.state().parked_count()),
            listening: sum(|reader| reader.wake_list().count()),
            discoveries: all.discoveries.count(),
            remembered: all.discoveries.listings.remembered(),
            window_bytes: all.dependencies.memory.used(),
        }
    }
}
