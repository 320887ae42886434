//! How many clients watch one stream together: one sheet of its shards is made for all of them, at
//! a limited rate, by a task of its own, so that a client that stops reading delays no other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::{Shard, ShardId};

use super::super::shard::progress::ShardProgress;
use super::super::{Hub, ShardKey};
use super::board::{Round, ShardRow, Sheet};
use super::task::Discovery;

/// Rows made without a pause, before other tasks get a turn.
const AT_ONCE: usize = 256;

/// The newest sheet of one stream, and its watchers.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Held for one access, never across an await.
    hung: Mutex<Hung>,
    /// Notified when a sheet was made.
    made: Notify,
}

#[derive(Debug, Default)]
struct Hung {
    sheet: Arc<Sheet>,
    /// When making the sheet began; `None` before the first.
    at: Option<Instant>,
    /// The next sheet is being made.
    making: bool,
    /// The version that each watcher was sent, by seat number.
    seats: HashMap<u64, u64>,
    seated: u64,
}

/// A client that watches how far the shards of a stream are read. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watching {
    hub: Hub,
    discovery: Discovery,
    seat: u64,
    seen: Option<u64>,
}

/// Marks that a sheet is being made; on drop, waiting watchers are notified.
struct Making<'a>(&'a Board);

impl Watching {
    /// A new watcher of the stream that `discovery` follows.
    pub fn new(hub: &Hub, discovery: Discovery) -> Self {
        let seat = {
            let mut hung = discovery.board().hung.lock();
            hung.seated += 1;
            hung.seated
        };
        Self { hub: hub.clone(), discovery, seat, seen: None }
    }

    /// The discovery of the stream's shards.
    pub fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// The changes since the last round, as of at most `age` ago; `None` if there are none.
    /// Cancel-safe: dropping it only stops the waiting.
    pub async fn round(&self, age: Duration) -> Option<Round> {
        let board = self.discovery.board();
        loop {
            let made = board.made.notified();
            tokio::pin!(made);
            made.as_mut().enable();
            {
                let mut hung = board.hung.lock();
                if hung.at.is_some_and(|at| at.elapsed() < age) {
                    return Round::of(hung.sheet.clone(), self.seen);
                }
                if !std::mem::replace(&mut hung.making, true) {
                    let (hub, discovery) = (self.hub.clone(), self.discovery.again());
                    self.hub.shared.tasks.spawn(async move { make(&hub, &discovery).await });
                }
            }
            made.await;
        }
    }

    /// Everything up to this version was sent to the client.
    pub fn told(&mut self, version: u64) {
        self.seen = Some(version);
        self.discovery.board().hung.lock().seats.insert(self.seat, version);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.discovery.board().hung.lock().seats.remove(&self.seat);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.hung.lock().making = false;
        self.0.made.notify_waiters();
    }
}

/// Makes the next sheet and notifies the watchers.
async fn make(hub: &Hub, discovery: &Discovery) {
    let board = discovery.board();
    let making = Making(board);
    let at = Instant::now();
    let rows = rows(hub, discovery).await;
    let status =
        discovery.read(|catalog| catalog.description().and_then(|description| description.status));
    let before = board.hung.lock().sheet.clone();
    let next = before.next(rows, status);
    let mut hung = board.hung.lock();
    if let Some(mut next) = next {
        // A watcher that was sent nothing yet needs no removals.
        next.forget(hung.seats.values().min().copied().unwrap_or(next.version));
        hung.sheet = Arc::new(next);
    }
    hung.at = Some(at);
    drop(hung);
    drop(making);
}

/// Rows of all listed shards, parents before their children, siblings by id.
async fn rows(hub: &Hub, discovery: &Discovery) -> Vec<ShardRow> {
    let now = hub.clock().now();
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
        let read = hub.progress(&key).unwrap_or_default();
        let progress = ShardProgress {
            newest: read.newest.max(left.newest),
            drained: read.drained || left.drained,
            lost: read.lost || left.lost,
            ..read
        };
        let awaited = parent.is_some_and(|parent| under_way.contains(&parent));
        let reading = progress.reading(ended, awaited);
        let is_read = progress.followers > 0 && !progress.drained && !ended;
        if is_read || reading == super::super::shard::progress::ReadingState::Waiting {
            under_way.insert(shard.id.clone());
        }
        rows.push(ShardRow::new(shard, reading, progress, now));
        if rows.len() % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    rows
}
