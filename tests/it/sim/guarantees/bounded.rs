//! Limits of memory and of messages.

use std::collections::HashMap;
use std::time::Duration;

use shardstream::limits::Limits;

use super::{Guarantee, Violation};
use crate::sim::history::{History, Room, What};

/// What the server kept at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauge {
    /// When.
    pub at: Duration,
    /// Records in memory, in bytes, in all.
    pub window_bytes: usize,
    /// Records in memory of the shard that keeps most, in bytes.
    pub shard_window_bytes: usize,
    /// Sessions.
    pub sessions: usize,
    /// Response streams.
    pub streams: usize,
    /// Lanes of the shard that has most.
    pub lanes: usize,
}

/// What the server may keep: the limits of [`Gauge`], one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    pub window_bytes: usize,
    pub shard_window_bytes: usize,
    pub sessions: usize,
    pub streams: usize,
    pub lanes: usize,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            window_bytes: limits.reading.window_bytes,
            shard_window_bytes: limits.reading.window_bytes_per_shard,
            sessions: limits.sessions.sessions,
            streams: limits.streams.streams,
            lanes: limits.reading.most_lanes(),
        }
    }
}

/// What a message may hold beside its records: token, event, session.
const TAIL: usize = 1 << 10;

pub fn messages(history: &History) -> Result<(), Violation> {
    let mut rooms: HashMap<(usize, usize), Room> = HashMap::new();
    for (point, seen) in history.items() {
        let batch = match &seen.what {
            What::Opened(opened) => {
                rooms.insert((point.client, seen.run), opened.room);
                continue;
            }
            What::Records(batch) | What::LostAnswer(batch) | What::Repeat { batch, .. } => batch,
            _ => continue,
        };
        let Some(room) = rooms.get(&(point.client, seen.run)) else { continue };
        let count = batch.entries.len();
        if count > room.records {
            let what = format!("{count} records where {} were asked for", room.records);
            return Err(Violation::new(Guarantee::Bounded, point, what));
        }
        if count > 1 && batch.bytes > room.bytes + TAIL {
            let what = format!("{} bytes where {} were asked for", batch.bytes, room.bytes);
            return Err(Violation::new(Guarantee::Bounded, point, what));
        }
    }
    Ok(())
}

pub fn gauges(gauges: &[Gauge], bounds: &Bounds) -> Result<(), Violation> {
    for gauge in gauges {
        let values = [
            ("window bytes", gauge.window_bytes, bounds.window_bytes),
            ("window bytes of one shard", gauge.shard_window_bytes, bounds.shard_window_bytes),
            ("sessions", gauge.sessions, bounds.sessions),
            ("streams", gauge.streams, bounds.streams),
            ("lanes of one shard", gauge.lanes, bounds.lanes),
        ];
        if let Some((name, value, most)) = values.into_iter().find(|(_, value, most)| value > most)
        {
            let what = format!("{value} {name} at {:?}, where {most} are allowed", gauge.at);
            return Err(Violation::new(Guarantee::Bounded, None, what));
        }
    }
    Ok(())
}
