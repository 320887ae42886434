//! The ledger of a subscription: what its client was told, from which its tokens are made. Pure.
//!
//! Nothing is recorded here before it is reported to the client, so a token cannot say more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::hub::ReadPosition;
use crate::lineage::Graph;
use crate::model::{Checkpoint, ShardId, StreamArn, Timestamp};
use crate::token::stream::{Finished, StreamToken};

use super::FINISHED_LIFE;

/// A shard that was delivered to its end, or passed.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// A time before which no record of its descendants can have been lost.
    pub at: Option<Timestamp>,
    /// The client was told that descendants may have come and gone, or that the shard itself is
    /// gone.
    pub told: bool,
    /// When the shard was found finished.
    pub ended: Timestamp,
    /// All its children are known.
    pub settled: bool,
    /// The shard never had to be read: tokens need not remember it.
    pub passed: bool,
}

/// How far a subscription has come, by what its client was told.
#[derive(Debug)]
pub(super) struct Ledger {
    pub stream: StreamArn,
    /// When AWS described the stream for the client that requested the subscription's start.
    pub asked: Option<Timestamp>,
    pub since: Option<Timestamp>,
    /// Shards being read.
    pub open: BTreeSet<ShardId>,
    /// Shards with a position of their own that wait for their parents, or for their loss to be
    /// reported.
    pub placed: BTreeMap<ShardId, ReadPosition>,
    /// Shards to be opened next, in this order.
    due: VecDeque<(ShardId, ReadPosition)>,
    /// As `due`, for shards of a token that no listing has shown.
    doubted: VecDeque<(ShardId, ReadPosition)>,
    /// The ids of the shards in `due` and `doubted`.
    due_ids: BTreeSet<ShardId>,
    pub done: BTreeMap<ShardId, Done>,
}

impl Ledger {
    /// The ledger of a client that was told nothing yet.
    pub(super) fn new(stream: StreamArn, asked: Option<Timestamp>) -> Self {
        Self {
            stream,
            asked,
            since: None,
            open: BTreeSet::new(),
            placed: BTreeMap::new(),
            due: VecDeque::new(),
            doubted: VecDeque::new(),
            due_ids: BTreeSet::new(),
            done: BTreeMap::new(),
        }
    }

    /// Whether anything is known of the shard.
    pub(super) fn tracks(&self, id: &ShardId) -> bool {
        self.open.contains(id)
            || self.due_ids.contains(id)
            || self.placed.contains_key(id)
            || self.done.contains_key(id)
    }

    /// Queues a shard to be begun, after those that are due already.
    pub(super) fn make_due(&mut self, id: ShardId, position: ReadPosition, graph: &Graph) {
        self.due_ids.insert(id.clone());
        self.line(&id, graph).push_back((id, position));
    }

    /// Moves doubted shards that are listed by now to the shards that are due.
    pub(super) fn listed(&mut self, graph: &Graph) {
        if !self.doubted.is_empty() {
            let doubted = std::mem::take(&mut self.doubted).into_iter();
            let (listed, doubted): (Vec<_>, Vec<_>) =
                doubted.partition(|(id, _)| graph.get(id).is_some());
            self.due.extend(listed);
            self.doubted = doubted.into();
        }
    }

    /// The next shard to begin, and where. From now on it is open.
    pub(super) fn open_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        let (id, position) = self.due.pop_front()?;
        if self.due.is_empty() {
            // Subscriptions live long, and the queue they began with may have been large.
            self.due.shrink_to_fit();
        }
        Some(self.open(id, position))
    }

    /// As [`Self::open_next`], for the shards that no listing has shown.
    pub(super) fn try_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        let (id, position) = self.doubted.pop_front()?;
        Some(self.open(id, position))
    }

    /// Whether any due shard has been shown by no listing.
    pub(super) fn has_tries(&self) -> bool {
        !self.doubted.is_empty()
    }

    /// Makes a shard due again that could not be begun after all.
    pub(super) fn put_back(&mut self, id: ShardId, position: ReadPosition, graph: &Graph) {
        self.open.remove(&id);
        self.due_ids.insert(id.clone());
        self.line(&id, graph).push_front((id, position));
    }

    /// Whether no shard waits to be begun.
    pub(super) fn has_none_due(&self) -> bool {
        self.due_ids.is_empty()
    }

    fn open(&mut self, id: ShardId, position: ReadPosition) -> (ShardId, ReadPosition) {
        self.due_ids.remove(&id);
        self.open.insert(id.clone());
        (id, position)
    }

    fn line(&mut self, id: &ShardId, graph: &Graph) -> &mut VecDeque<(ShardId, ReadPosition)> {
        if graph.get(id).is_some() { &mut self.due } else { &mut self.doubted }
    }

    /// How many listed shards are due.
    pub(super) fn count_due(&self) -> usize {
        self.due.len()
    }

    /// The token of a subscription whose open shards are at `checkpoints`.
    pub(super) fn token(
        &self,
        checkpoints: impl IntoIterator<Item = (ShardId, Checkpoint)>,
        graph: &Graph,
        now: Timestamp,
    ) -> StreamToken {
        let due = self.due.iter().chain(&self.doubted).map(|(id, position)| (id, position));
        let waiting = self.placed.iter().chain(due);
        let waiting = waiting.map(|(id, position)| (id.clone(), position.checkpoint()));
        let begun = checkpoints.into_iter().chain(waiting).collect();
        let remembered = |(id, done): (&ShardId, &Done)| {
            if done.passed || now.since(done.ended) >= FINISHED_LIFE {
                return None;
            }
            let mut children = graph.children(id).peekable();
            let replaced = done.settled
                && children.peek().is_some()
                && children.all(|child| self.tracks(&child.id));
            (!replaced).then(|| (id.clone(), Finished { time: done.at, told: done.told }))
        };
        StreamToken {
            stream: self.stream.clone(),
            by_table: false,
            made: now.floor(),
            asked: self.asked,
            since: self.since,
            ended: false,
            begun,
            finished: self.done.iter().filter_map(remembered).collect(),
        }
    }
}
