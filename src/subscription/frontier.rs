//! The frontier of a subscription: which shards of its stream it reads, which wait for their
//! parents, and which are finished. Pure.
//!
//! A shard is due when its parent is finished, when it has no parent, or when its parent is not
//! known. Tracked shards and their descendants are everything still to be read: tokens forget a
//! finished shard only once all its children are tracked, so an untracked shard is either an
//! ancestor of a tracked one, and passed, or not begun yet.
//!
//! A detected loss waits in the outbox until it is reported to the client. Tokens are made from the
//! [`ledger`], which does not see the outbox.

mod ledger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::hub::discovery::ChildrenKnown;
use crate::hub::shard::position::given;
use crate::hub::{Gap, GapCause, ReadPosition, SAFE_AGE};
use crate::lineage::Graph;
use crate::model::{Checkpoint, Position, SequenceNumber, Shard, ShardId, StreamArn, Timestamp};
use crate::token::stream::{Finished, StreamToken};

use ledger::{Done, Ledger};

/// How long a finished shard is remembered in tokens while its children are not known.
const FINISHED_LIFE: Duration = Duration::from_secs(48 * 3_600);

/// How long after a shard's end the subscription waits for missing children before it may count as
/// being at its tip.
const CHILDREN_QUIET: Duration = Duration::from_secs(10);

/// Where a subscription begins.
#[derive(Clone, Debug)]
pub(crate) enum FrontierStart {
    /// At the oldest records that are kept.
    Horizon,
    /// At a time: with the records created then or later.
    Since(Timestamp),
    /// At the tip: the LATEST position of each shard that was open, and all shards that were known
    /// when LATEST was requested. Shards born since are read from their beginning.
    Latest(BTreeMap<ShardId, ReadPosition>, BTreeSet<ShardId>),
    /// At the positions of a token.
    Token(Box<StreamToken>),
}

/// A loss reported for a shard that is not being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The shard.
    pub shard: ShardId,
    /// The lost records.
    pub gap: Gap,
    /// The loss also ends the shard: the shard's end must be reported too.
    pub ends: bool,
}

/// How far one subscription has come in its stream.
#[derive(Debug)]
pub(crate) struct Frontier {
    ledger: Ledger,
    /// Losses detected but not reported yet, at most one per shard; `in_outbox` holds their shards.
    outbox: VecDeque<Lost>,
    in_outbox: BTreeSet<ShardId>,
    /// Finished shards whose children may not all be known.
    unsettled: BTreeSet<ShardId>,
    /// Up to which mark the graph's additions were taken in.
    checkpoint: u64,
}

impl Frontier {
    /// A subscription that enters the stream at `entry`, over a complete listing. Losses that are
    /// already known are reported first.
    ///
    /// `asked`: when AWS described the stream for the client that requested this start; records
    /// trimmed before that are no loss. A token carries its own.
    pub(crate) fn enter(
        stream: StreamArn,
        entry: FrontierStart,
        asked: Option<Timestamp>,
        graph: &Graph,
        now: Timestamp,
    ) -> Self {
        let mut frontier = Self {
            ledger: Ledger::new(stream, asked),
            outbox: VecDeque::new(),
            in_outbox: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            checkpoint: 0,
        };
        match entry {
            FrontierStart::Horizon => {}
            FrontierStart::Since(time) => frontier.ledger.since = Some(time),
            FrontierStart::Latest(positions, known) => {
                frontier.enter_latest(positions, &known, graph, now)
            }
            FrontierStart::Token(token) => frontier.restore(*token, graph, now),
        }
        let placed: Vec<ShardId> = frontier.ledger.placed.keys().cloned().collect();
        for id in placed {
            frontier.consider(&id, graph);
        }
        frontier.grow(graph);
        frontier
    }

    /// Takes in the shards added to the graph since the last call.
    pub(crate) fn grow(&mut self, graph: &Graph) {
        let added: Vec<ShardId> =
            graph.added_since(self.checkpoint).map(|shard| shard.id.clone()).collect();
        self.checkpoint = graph.mark();
        if !added.is_empty() {
            self.ledger.listed(graph);
        }
        for id in added {
            self.consider(&id, graph);
        }
    }

    /// The listing has rows that cannot be understood, and shards that seem lost because they are
    /// not listed may be among those rows. Their losses are dropped and AWS is asked for the
    /// shards.
    pub(crate) fn doubt_losses(&mut self, graph: &Graph) {
        for lost in std::mem::take(&mut self.outbox) {
            self.in_outbox.remove(&lost.shard);
            self.consider(&lost.shard, graph);
        }
    }

    /// The next shard to begin, and where. From now on it is open.
    pub(crate) fn open_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        self.ledger.open_next()
    }

    /// Makes a shard due again that could not be begun after all.
    pub(crate) fn put_back(&mut self, id: ShardId, position: ReadPosition, graph: &Graph) {
        self.ledger.put_back(id, position, graph);
    }

    /// Whether any due shard is named only by a token.
    pub(crate) fn has_tries(&self) -> bool {
        self.ledger.has_tries()
    }

    /// The next due shard that only a token names, and where to begin it.
    pub(crate) fn try_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        self.ledger.try_next()
    }

    /// The next loss to report of a shard that is not being read. From now on it counts as
    /// reported.
    pub(crate) fn tell_lost(&mut self, graph: &Graph, now: Timestamp) -> Option<Lost> {
        let lost = self.outbox.pop_front()?;
        let id = &lost.shard;
        self.in_outbox.remove(id);
        match self.ledger.placed.remove(id) {
            Some(position) => self.finish_gone(id, position.time, graph, now),
            None => {
                if let Some(done) = self.ledger.done.get_mut(id) {
                    done.told = true;
                }
            }
        }
        Some(lost)
    }

    /// An open shard was delivered to its end. `at`: a time before which no record of its
    /// descendants can have been lost.
    pub(crate) fn finish(
        &mut self,
        id: &ShardId,
        at: Option<Timestamp>,
        graph: &Graph,
        now: Timestamp,
    ) {
        self.end(id, Done { at, told: false, ended: now, settled: false, passed: false }, graph);
    }

    /// As [`Self::finish`], for a shard that is reported as gone.
    pub(crate) fn finish_gone(
        &mut self,
        id: &ShardId,
        at: Option<Timestamp>,
        graph: &Graph,
        now: Timestamp,
    ) {
        self.end(id, Done { at, told: true, ended: now, settled: false, passed: false }, graph);
    }

    fn end(&mut self, id: &ShardId, done: Done, graph: &Graph) {
        self.ledger.open.remove(id);
        self.ledger.done.insert(id.clone(), done);
        self.unsettled.insert(id.clone());
        self.consider_below(id, graph);
    }

    /// Checks whether all children of finished shards are known by now. Where descendants may have
    /// come and gone unread, a loss is queued.
    ///
    /// `listed`: whether AWS still lists a shard (its descendants are younger than the shard), or
    /// `None` where that cannot be known now. `None` as a whole: the stream itself is gone, and
    /// with it everything that was not listed in time.
    pub(crate) fn settle(
        &mut self,
        known: impl Fn(&ShardId) -> ChildrenKnown,
        listed: Option<impl Fn(&ShardId) -> Option<bool>>,
        now: Timestamp,
    ) {
        let asked = self.ledger.asked.map(given);
        for id in self
            .unsettled
            .iter()
            .filter(|id| !self.in_outbox.contains(*id))
            .cloned()
            .collect::<Vec<_>>()
        {
            let children = known(&id);
            let done = self.ledger.done.get_mut(&id).expect("what is unsettled is done");
            let is_listed = listed.as_ref().map_or(Some(false), |listed| listed(&id));
            let young =
                listed.is_some() && is_recent(done.at.max(asked), now) || is_listed == Some(true);
            let safe = done.told || young || descendants_are_there(&children, now);
            if !safe && is_listed.is_none() {
                continue;
            }
            if children.looked && !safe {
                // The shard is settled once that loss is reported.
                let gap = expired(None, done.at, false, now);
                self.lose(Lost { shard: id, gap, ends: false });
                continue;
            }
            let forgotten = now.since(done.ended) >= FINISHED_LIFE;
            if children.looked && (children.complete || forgotten) {
                done.settled = true;
                self.unsettled.remove(&id);
            }
        }
    }

    /// Forgets settled shards that the graph has forgotten.
    pub(crate) fn prune(&mut self, graph: &Graph) {
        self.ledger.done.retain(|id, done| !done.settled || graph.get(id).is_some());
    }

    /// The finished shards whose children may not all be known.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = &ShardId> {
        self.unsettled.iter()
    }

    /// How many listed shards could be read now and are not.
    pub(crate) fn waiting(&self) -> usize {
        self.ledger.count_due()
    }

    /// Whether every known shard was delivered to its end and every known loss reported.
    pub(crate) fn is_read(&self) -> bool {
        let Ledger { open, placed, .. } = &self.ledger;
        open.is_empty() && placed.is_empty() && self.ledger.has_none_due() && self.outbox.is_empty()
    }

    /// As [`Self::is_read`], and no further children can come.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_read() && self.unsettled.is_empty()
    }

    /// Whether no shard waits to be begun and no loss to be reported. Whether everything is at the
    /// tip then depends on the open shards.
    pub(crate) fn is_quiet(
        &self,
        known: impl Fn(&ShardId) -> ChildrenKnown,
        now: Timestamp,
    ) -> bool {
        let quiet = |id: &ShardId| {
            let children = known(id);
            let waited =
                self.ledger.done.get(id).is_none_or(|done| now.since(done.ended) >= CHILDREN_QUIET);
            children.looked && (children.complete || !children.shards.is_empty() || waited)
        };
        self.ledger.has_none_due() && self.outbox.is_empty() && self.unsettled.iter().all(quiet)
    }

    /// The token of a subscription whose open shards are at `checkpoints`. `orphans` are not in the
    /// graph yet; the token names them too, so that a client that resumes knows them.
    pub(crate) fn token(
        &self,
        checkpoints: impl IntoIterator<Item = (ShardId, Checkpoint)>,
        graph: &Graph,
        orphans: &[Shard],
        now: Timestamp,
    ) -> StreamToken {
        let orphans = orphans.iter().filter(|shard| !self.ledger.tracks(&shard.id));
        let orphans = orphans.map(|shard| (shard.id.clone(), self.first_spot(shard).checkpoint()));
        self.ledger.token(checkpoints.into_iter().chain(orphans), graph, now)
    }

    /// When AWS described the stream for the client that requested the subscription's start.
    pub(crate) fn asked(&self) -> Option<Timestamp> {
        self.ledger.asked
    }

    /// Queues a loss to be reported.
    fn lose(&mut self, lost: Lost) {
        self.in_outbox.insert(lost.shard.clone());
        self.outbox.push_back(lost);
    }

    fn enter_latest(
        &mut self,
        positions: BTreeMap<ShardId, ReadPosition>,
        known: &BTreeSet<ShardId>,
        graph: &Graph,
        now: Timestamp,
    ) {
        for id in known.iter().filter(|id| !positions.contains_key(*id)) {
            let has_children = graph.children(id).next().is_some();
            self.pass(id.clone(), Some(now), has_children, now);
        }
        self.ledger.placed = positions;
    }

    /// Restores a token's shards and compares them with the current listing.
    fn restore(&mut self, token: StreamToken, graph: &Graph, now: Timestamp) {
        (self.ledger.asked, self.ledger.since) = (token.asked, token.since);
        let tracked: Vec<ShardId> =
            token.begun.keys().chain(token.finished.keys()).cloned().collect();
        for (id, Finished { time, told }) in token.finished {
            let ended = time.unwrap_or(token.made);
            self.ledger
                .done
                .insert(id.clone(), Done { at: time, told, ended, settled: false, passed: false });
            self.unsettled.insert(id);
        }
        for (id, checkpoint) in token.begun {
            let time = checkpoint.time.or(id.created()).or_else(|| self.ledger.stream.created());
            let position = self.given(ReadPosition::restored(Checkpoint { time, ..checkpoint }));
            // A young shard cannot have expired: the listing may lag behind, so AWS is asked for
            // the shard.
            if graph.get(&id).is_none() && !position.is_safe(now) {
                let gap = expired(
                    position.number(),
                    position.time,
                    matches!(checkpoint.position, Position::AtSequenceNumber(_)),
                    now,
                );
                self.lose(Lost { shard: id.clone(), gap, ends: true });
            }
            self.ledger.placed.insert(id, position);
        }
        for id in &tracked {
            let ancestors: Vec<ShardId> = graph.ancestors(id).cloned().collect();
            for ancestor in ancestors {
                if !self.ledger.tracks(&ancestor) {
                    self.pass(ancestor, None, true, now);
                }
            }
        }
    }

    fn pass(&mut self, id: ShardId, at: Option<Timestamp>, has_children: bool, now: Timestamp) {
        if !has_children {
            self.unsettled.insert(id.clone());
        }
        let done =
            Done { at, told: false, ended: now, settled: has_children, passed: has_children };
        self.ledger.done.insert(id, done);
    }

    /// Makes a shard due unless it is already tracked, waits in the outbox, or is blocked by an
    /// ancestor.
    fn consider(&mut self, id: &ShardId, graph: &Graph) {
        let is_placed = self.ledger.placed.contains_key(id);
        if !is_placed && self.ledger.tracks(id)
            || self.in_outbox.contains(id)
            || self.is_blocked(id, graph)
        {
            return;
        }
        let position = match self.ledger.placed.remove(id) {
            Some(position) => position,
            None => match graph.get(id) {
                Some(shard) => self.first_spot(shard),
                None => return,
            },
        };
        self.ledger.make_due(id.clone(), position, graph);
    }

    /// Considers the shards below one that is finished now: its children, and those of passed
    /// children.
    fn consider_below(&mut self, id: &ShardId, graph: &Graph) {
        let mut below: Vec<ShardId> = graph.children(id).map(|shard| shard.id.clone()).collect();
        while let Some(child) = below.pop() {
            if self.ledger.done.get(&child).is_some_and(|done| done.passed) {
                below.extend(graph.children(&child).map(|shard| shard.id.clone()));
            } else {
                self.consider(&child, graph);
            }
        }
    }

    /// Whether a known ancestor is unfinished and must be read first. Such an ancestor may also lie
    /// after a passed one: upstreams have been seen listing children of shards that were still
    /// open.
    fn is_blocked(&self, id: &ShardId, graph: &Graph) -> bool {
        for ancestor in graph.ancestors(id) {
            match self.ledger.done.get(ancestor) {
                Some(done) if done.passed => {}
                Some(_) => return false,
                None => return graph.get(ancestor).is_some() || self.ledger.tracks(ancestor),
            }
        }
        false
    }

    /// The position at which a shard that was not begun yet is entered.
    fn first_spot(&self, shard: &Shard) -> ReadPosition {
        let born = shard.id.created();
        let parent = shard
            .parent
            .as_ref()
            .and_then(|parent| self.ledger.done.get(parent))
            .and_then(|done| done.at);
        let position = match self.ledger.since {
            Some(since) if born.is_none_or(|born| born <= since) => Position::AtTimestamp(since),
            Some(_) | None => Position::TrimHorizon,
        };
        let time = born.or(parent).or_else(|| self.ledger.stream.created());
        self.given(ReadPosition::restored(Checkpoint::new(position, time)))
    }

    /// Notes in the position when AWS described the stream: records trimmed before that are no
    /// loss.
    fn given(&self, mut position: ReadPosition) -> ReadPosition {
        if let Some(asked) = self.ledger.asked {
            position.given_at(asked);
        }
        position
    }
}

/// The gap of a shard that AWS no longer has.
pub(crate) fn expired(
    after: Option<SequenceNumber>,
    after_time: Option<Timestamp>,
    certain: bool,
    now: Timestamp,
) -> Gap {
    Gap { after, after_time, before: None, cause: GapCause::ShardExpired, certain, detected: now }
}

/// Whether `time` is so recent that no record written after it can have been trimmed.
fn is_recent(time: Option<Timestamp>, now: Timestamp) -> bool {
    time.is_some_and(|time| now.since(time) < SAFE_AGE)
}

/// Whether no descendant can have come and gone unseen: all children are known, or one of them is
/// too young for any of its siblings to be gone already.
fn descendants_are_there(children: &ChildrenKnown, now: Timestamp) -> bool {
    let young = |shard: &Shard| is_recent(shard.id.created(), now);
    children.full || children.shards.iter().any(young)
}

#[cfg(test)]
mod tests;
