//! The newest table of a stream's shards, for all who watch the stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::model::StreamStatus;

use super::shard_table::{ShardRow, ShardTable, TableUpdate};

/// The newest table of one stream, and its watchers.
#[derive(Debug, Default)]
pub(in crate::hub) struct SharedTable {
    /// Held for one access, never across an await.
    shared: Mutex<SharedState>,
    /// Notified when a table was made.
    made: Notify,
}

#[derive(Debug, Default)]
struct SharedState {
    table: Arc<ShardTable>,
    /// When making the table began; `None` before the first.
    at: Option<Instant>,
    /// The next table is being made.
    making: bool,
    /// The version that each watcher was sent, by watcher number.
    watchers: HashMap<u64, u64>,
    joined: u64,
}

/// How new the newest table is.
pub(in crate::hub) enum Newest {
    /// New enough; what changed in it, if anything.
    Fresh(Option<TableUpdate>),
    /// Too old: whoever is told so makes the next.
    Stale,
    /// The next one is being made.
    BeingMade,
}

/// Marks that a table is being made; on drop, waiting watchers are notified.
pub(in crate::hub) struct Making<'a>(&'a SharedTable);

impl SharedTable {
    /// The number of a new watcher.
    pub(in crate::hub) fn join(&self) -> u64 {
        let mut shared = self.shared.lock();
        shared.joined += 1;
        shared.joined
    }

    /// The watcher is gone.
    pub(in crate::hub) fn leave(&self, watcher: u64) {
        self.shared.lock().watchers.remove(&watcher);
    }

    /// The watcher was sent everything up to `version`.
    pub(in crate::hub) fn sent(&self, watcher: u64, version: u64) {
        self.shared.lock().watchers.insert(watcher, version);
    }

    /// Resolves when the next table was made.
    pub(in crate::hub) fn made(&self) -> Notified<'_> {
        self.made.notified()
    }

    /// What changed since version `seen`, in a table that is at most `age` old.
    pub(in crate::hub) fn newest(&self, age: Duration, seen: Option<u64>) -> Newest {
        let mut shared = self.shared.lock();
        if shared.at.is_some_and(|at| at.elapsed() < age) {
            return Newest::Fresh(TableUpdate::of(shared.table.clone(), seen));
        }
        match std::mem::replace(&mut shared.making, true) {
            true => Newest::BeingMade,
            false => Newest::Stale,
        }
    }

    /// The next table is made now.
    pub(in crate::hub) fn making(&self) -> Making<'_> {
        Making(self)
    }
}

impl Making<'_> {
    /// The next table, whose making began at `at`.
    pub(in crate::hub) fn done(
        self,
        rows: Vec<ShardRow>,
        status: Option<StreamStatus>,
        at: Instant,
    ) {
        let before = self.0.shared.lock().table.clone();
        let next = before.next(rows, status);
        let mut shared = self.0.shared.lock();
        if let Some(mut next) = next {
            // A watcher that was sent nothing yet needs no removals.
            next.forget(shared.watchers.values().min().copied().unwrap_or(next.version));
            shared.table = Arc::new(next);
        }
        shared.at = Some(at);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.shared.lock().making = false;
        self.0.made.notify_waiters();
    }
}
