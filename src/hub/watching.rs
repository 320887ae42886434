//! How many clients watch one stream together: one table of its shards is made for all of them, at
//! a limited rate, by a task of its own, so that a client that stops reading delays no other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument as _, info_span};

use crate::model::{Shard, ShardId};

use super::discovery::Discovery;
use super::discovery::shard_table::{ShardRow, TableUpdate};
use super::discovery::shared_table::Newest;
use super::reader::Readers;
use super::shard::progress::{ReadingState, ShardProgress};
use super::stream_names::ShardKey;

/// Rows made without a pause, before other tasks get a turn.
const AT_ONCE: usize = 256;

/// A client that watches how far the shards of a stream are read. Dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Watching {
    readers: Arc<Readers>,
    discovery: Discovery,
    watcher: u64,
    seen: Option<u64>,
}

impl Watching {
    /// A new watcher of the stream that `discovery` follows.
    pub(super) fn new(readers: &Arc<Readers>, discovery: Discovery) -> Self {
        let watcher = discovery.shared_table().join();
        Self { readers: readers.clone(), discovery, watcher, seen: None }
    }

    /// The discovery of the stream's shards.
    pub(crate) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// The changes since the last update, as of at most `age` ago; `None` if there are none.
    /// Cancel-safe: dropping it only stops the waiting.
    pub(crate) async fn changes(&self, age: Duration) -> Option<TableUpdate> {
        let shared_table = self.discovery.shared_table();
        loop {
            let made = shared_table.made();
            tokio::pin!(made);
            made.as_mut().enable();
            match shared_table.newest(age, self.seen) {
                Newest::Fresh(update) => return update,
                Newest::Stale => {
                    let (readers, discovery) = (self.readers.clone(), self.discovery.again());
                    let span =
                        info_span!(parent: None, "shard_board", stream = %discovery.stream());
                    let making = async move { make(&readers, &discovery).await };
                    self.readers.dependencies.tasks.spawn(making.instrument(span));
                }
                Newest::BeingMade => {}
            }
            made.await;
        }
    }

    /// Everything up to this version was sent to the client.
    pub(crate) fn told(&mut self, version: u64) {
        self.seen = Some(version);
        self.discovery.shared_table().sent(self.watcher, version);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.discovery.shared_table().leave(self.watcher);
    }
}

/// Makes the next table and notifies the watchers.
async fn make(readers: &Readers, discovery: &Discovery) {
    let shared_table = discovery.shared_table();
    let making = shared_table.making();
    let at = Instant::now();
    let rows = rows(readers, discovery).await;
    let status =
        discovery.read(|catalog| catalog.description().and_then(|description| description.status));
    making.done(rows, status, at);
}

/// Rows of all listed shards, parents before their children, siblings by id.
async fn rows(readers: &Readers, discovery: &Discovery) -> Vec<ShardRow> {
    let now = readers.dependencies.clock.now();
    let listed: Vec<(Shard, Option<ShardId>, bool, ShardProgress)> = discovery.read(|catalog| {
        let graph = catalog.graph();
        let listed = graph.tree().filter(|shard| !catalog.is_missing(&shard.id));
        let of = |shard: &Shard| {
            let (ended, left) = (catalog.is_ended(&shard.id), catalog.left_behind(&shard.id));
            (shard.clone(), graph.parent(&shard.id).cloned(), ended, left)
        };
        listed.map(of).collect()
    });
    // Shards whose children wait for them.
    let mut under_way: HashSet<ShardId> = HashSet::new();
    let mut rows = Vec::with_capacity(listed.len());
    for (shard, parent, ended, left) in listed {
        let key = ShardKey { stream: discovery.stream().clone(), shard: shard.id.clone() };
        let read = readers.progress(&key).unwrap_or_default();
        let progress = ShardProgress {
            newest: read.newest.max(left.newest),
            drained: read.drained || left.drained,
            lost: read.lost || left.lost,
            ..read
        };
        let awaited = parent.is_some_and(|parent| under_way.contains(&parent));
        let reading = progress.reading(ended, awaited);
        let is_read = progress.followers > 0 && !progress.drained && !ended;
        if is_read || reading == ReadingState::Waiting {
            under_way.insert(shard.id.clone());
        }
        rows.push(ShardRow::new(shard, reading, progress, now));
        if rows.len() % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    rows
}
