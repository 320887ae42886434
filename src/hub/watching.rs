//! How many watch one stream together: a sheet of its shards is made for all of them, at most so often, by a task of its own, so that
//! a client that stops reading holds up nobody.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::{Shard, ShardId};

use super::board::{Round, ShardRow, Sheet};
use super::progress::ShardProgress;
use super::survey::Survey;
use super::{Hub, ShardKey};

/// Rows made in a row, before others get their turn.
const AT_ONCE: usize = 256;

/// Where the sheets of one stream hang.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Held for one look, never across an await.
    hung: Mutex<Hung>,
    /// Rings when a sheet was made.
    made: Notify,
}

#[derive(Debug, Default)]
struct Hung {
    sheet: Arc<Sheet>,
    /// When it was made.
    at: Option<Instant>,
    /// The next one is being made.
    making: bool,
    /// What each watcher was told.
    seats: HashMap<u64, u64>,
    seated: u64,
}

/// Somebody who watches how far the shards of a stream are read. Dropping it leaves.
#[derive(Debug)]
pub struct Watching {
    hub: Hub,
    survey: Survey,
    seat: u64,
    seen: Option<u64>,
}

/// A sheet that is being made, until it hangs.
struct Making<'a>(&'a Board);

impl Watching {
    /// Watches what is surveyed.
    pub fn new(hub: &Hub, survey: Survey) -> Self {
        let seat = {
            let mut hung = survey.board().hung.lock();
            hung.seated += 1;
            hung.seated
        };
        Self { hub: hub.clone(), survey, seat, seen: None }
    }

    /// The stream's shards.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// What is news since what was told last, as of `age` ago at most. Cancel-safe: what is dropped is only the waiting.
    pub async fn round(&self, age: Duration) -> Option<Round> {
        let board = self.survey.board();
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
                    let (hub, survey) = (self.hub.clone(), self.survey.again());
                    self.hub.shared.tasks.spawn(async move { make(&hub, &survey).await });
                }
            }
            made.await;
        }
    }

    /// Everything up to this version was told.
    pub fn told(&mut self, version: u64) {
        self.seen = Some(version);
        self.survey.board().hung.lock().seats.insert(self.seat, version);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.survey.board().hung.lock().seats.remove(&self.seat);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.hung.lock().making = false;
        self.0.made.notify_waiters();
    }
}

/// Makes the next sheet.
async fn make(hub: &Hub, survey: &Survey) {
    let board = survey.board();
    let making = Making(board);
    let at = Instant::now();
    let rows = rows(hub, survey).await;
    let status = survey.read(|chart| chart.description().and_then(|description| description.status));
    let before = board.hung.lock().sheet.clone();
    let next = before.next(rows, status);
    let mut hung = board.hung.lock();
    if let Some(mut next) = next {
        // Who was told nothing yet needs to know of no removal.
        next.forget(hung.seats.values().min().copied().unwrap_or(next.version));
        hung.sheet = Arc::new(next);
    }
    hung.at = Some(at);
    drop(hung);
    drop(making);
}

/// All shards that are listed, parents before their children, siblings by id.
async fn rows(hub: &Hub, survey: &Survey) -> Vec<ShardRow> {
    let now = hub.clock().now();
    let listed: Vec<(Shard, Option<ShardId>, bool, ShardProgress)> = survey.read(|chart| {
        let graph = chart.graph();
        let listed = graph.tree().filter(|shard| !chart.is_missing(&shard.id));
        let of = |shard: &Shard| {
            let (ended, left) = (chart.is_ended(&shard.id), chart.left_behind(&shard.id));
            (shard.clone(), graph.parent(&shard.id).cloned(), ended, left)
        };
        listed.map(of).collect()
    });
    // Shards whose children are awaited.
    let mut under_way: HashSet<ShardId> = HashSet::new();
    let mut rows = Vec::with_capacity(listed.len());
    for (shard, parent, ended, left) in listed {
        let key = ShardKey { stream: survey.stream().clone(), shard: shard.id.clone() };
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
        if is_read || reading == super::progress::ReadingState::Waiting {
            under_way.insert(shard.id.clone());
        }
        rows.push(ShardRow::new(shard, reading, progress, now));
        if rows.len() % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    rows
}
