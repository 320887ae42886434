//! How far one subscription has come in one stream: which shards it reads, which wait for their
//! parents, which it has finished. Pure.
//!
//! A shard is due when its parent is finished, or is none, or is not known. What is tracked here
//! and what descends from it is everything that is still to come: a finished shard is forgotten by
//! tokens only once all its children are tracked, so that an untracked shard is either an ancestor
//! of a tracked one, and passed, or not yet begun.
//!
//! A loss that is detected waits in the outbox until it is told. Tokens are made from the
//! [`ledger`], which does not see the outbox.

mod ledger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::hub::discovery::catalog::ChildrenKnown;
use crate::hub::shard::poll::{Gap, GapCause};
use crate::hub::shard::position::{ReadPosition, SAFE_AGE, given};
use crate::lineage::Graph;
use crate::model::{Checkpoint, Position, SequenceNumber, Shard, ShardId, StreamArn, Timestamp};
use crate::token::stream::{Finished, StreamToken};

use ledger::{Done, Ledger};

/// How long a finished shard is remembered in tokens while its children are not known.
const FINISHED_LIFE: Duration = Duration::from_secs(48 * 3_600);

/// How long after a shard's end its children may be missing before the subscription may be at its
/// tip.
const CHILDREN_QUIET: Duration = Duration::from_secs(10);

/// Where a subscription begins.
#[derive(Clone, Debug)]
pub enum FrontierStart {
    /// At the beginning of everything that is kept.
    Horizon,
    /// At a time.
    Since(Timestamp),
    /// At the tip: where LATEST is in each shard that was open, and all shards that were known when
    /// that was asked for. What was born since is read from its beginning.
    Latest(BTreeMap<ShardId, ReadPosition>, BTreeSet<ShardId>),
    /// Where a token says.
    Token(Box<StreamToken>),
}

/// Records that are gone, told of a shard that is not being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The shard.
    pub shard: ShardId,
    /// What is gone.
    pub gap: Gap,
    /// The shard is over by that: its end is to be told too.
    pub ends: bool,
}

/// How far one subscription has come.
#[derive(Debug)]
pub struct Frontier {
    ledger: Ledger,
    /// Losses that are detected and not told yet, at most one for each shard, and their shards.
    outbox: VecDeque<Lost>,
    in_outbox: BTreeSet<ShardId>,
    /// Those done whose children may not all be known.
    unsettled: BTreeSet<ShardId>,
    /// How far the graph's news were taken in.
    checkpoint: u64,
}

impl Frontier {
    /// A subscription that enters the stream at `entry`, over a whole listing. What is known to be
    /// lost already is told first.
    ///
    /// `asked`: when AWS told of the stream to whoever asked for this start; what was trimmed
    /// before is no loss. A token says it itself.
    pub fn enter(
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

    /// Takes in what is new in the graph.
    pub fn grow(&mut self, graph: &Graph) {
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

    /// The listing has rows that cannot be understood: those may be what seemed lost because it is
    /// not listed. AWS is asked for it instead.
    pub fn doubt_losses(&mut self, graph: &Graph) {
        for lost in std::mem::take(&mut self.outbox) {
            self.in_outbox.remove(&lost.shard);
            self.consider(&lost.shard, graph);
        }
    }

    /// The next shard to begin, and where. From now on it is open.
    pub fn open_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        self.ledger.open_next()
    }

    /// A shard that could not be begun after all: it is due again.
    pub fn put_back(&mut self, id: ShardId, position: ReadPosition, graph: &Graph) {
        self.ledger.put_back(id, position, graph);
    }

    /// Whether there are shards that only a token names.
    pub fn has_tries(&self) -> bool {
        self.ledger.has_tries()
    }

    /// The next of the shards that only a token names.
    pub fn try_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        self.ledger.try_next()
    }

    /// The next loss to tell, of a shard that is not being read. From now on it counts as told.
    pub fn tell_lost(&mut self, graph: &Graph, now: Timestamp) -> Option<Lost> {
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

    /// An open shard was delivered to its end. `at`: a time before which nothing of its descendants
    /// can have been lost.
    pub fn finish(&mut self, id: &ShardId, at: Option<Timestamp>, graph: &Graph, now: Timestamp) {
        self.end(id, Done { at, told: false, ended: now, settled: false, passed: false }, graph);
    }

    /// As [`Self::finish`], of a shard that is told to be gone.
    pub fn finish_gone(
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

    /// Looks whether all children of finished shards are known by now. Where descendants may have
    /// come and gone unread, that is to be told.
    ///
    /// `listed`: whether AWS still lists a shard, whose descendants are younger than itself, or
    /// `None` where that is not to be known now. `None` as a whole: the stream itself is gone, and
    /// whatever was not listed in time with it.
    pub fn settle(
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
                // It is settled once that is told.
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

    /// Forgets what the graph has forgotten.
    pub fn prune(&mut self, graph: &Graph) {
        self.ledger.done.retain(|id, done| !done.settled || graph.get(id).is_some());
    }

    /// The finished shards whose children may not all be known.
    pub fn unsettled(&self) -> impl Iterator<Item = &ShardId> {
        self.unsettled.iter()
    }

    /// How many shards could be read now and are not.
    pub fn waiting(&self) -> usize {
        self.ledger.count_due()
    }

    /// Everything that is known to be there was delivered to its end.
    pub fn is_read(&self) -> bool {
        let Ledger { open, placed, .. } = &self.ledger;
        open.is_empty() && placed.is_empty() && self.ledger.has_none_due() && self.outbox.is_empty()
    }

    /// The same, and no children can come.
    pub fn is_drained(&self) -> bool {
        self.is_read() && self.unsettled.is_empty()
    }

    /// Nothing waits to be begun or to be told: whether all of it is at the tip is for the open
    /// shards to say.
    pub fn is_quiet(&self, known: impl Fn(&ShardId) -> ChildrenKnown, now: Timestamp) -> bool {
        let quiet = |id: &ShardId| {
            let children = known(id);
            let waited =
                self.ledger.done.get(id).is_none_or(|done| now.since(done.ended) >= CHILDREN_QUIET);
            children.looked && (children.complete || !children.shards.is_empty() || waited)
        };
        self.ledger.has_none_due() && self.outbox.is_empty() && self.unsettled.iter().all(quiet)
    }

    /// The token of a subscription that stands at `checkpoints` in its open shards. `orphans` are
    /// not in the graph yet: whoever resumes knows of them all the same.
    pub fn token(
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

    /// When AWS told of the stream to whoever asked for the subscription's start.
    pub fn asked(&self) -> Option<Timestamp> {
        self.ledger.asked
    }

    /// A loss that is to be told.
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

    /// What a token says, against what is listed now.
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
            // A young shard cannot have expired: a listing may lag behind, and AWS is asked for it.
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

    /// Makes a shard due if its time has come.
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

    /// What was below a shard that is finished now: its children, and those of children that are
    /// passed.
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

    /// An ancestor that is known and not finished goes first. Behind one that is passed there may
    /// be such a one: upstreams have been seen listing children of shards that were still open.
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

    /// Where a shard that is not begun is entered.
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

    /// Whoever began a short while ago has lost nothing yet.
    fn given(&self, mut position: ReadPosition) -> ReadPosition {
        if let Some(asked) = self.ledger.asked {
            position.given_at(asked);
        }
        position
    }
}

/// A loss of a shard that AWS does not have any more.
pub fn expired(
    after: Option<SequenceNumber>,
    after_time: Option<Timestamp>,
    certain: bool,
    now: Timestamp,
) -> Gap {
    Gap { after, after_time, before: None, cause: GapCause::ShardExpired, certain, detected: now }
}

/// Nothing that came after so recent a time can have been trimmed.
fn is_recent(time: Option<Timestamp>, now: Timestamp) -> bool {
    time.is_some_and(|time| now.since(time) < SAFE_AGE)
}

/// No descendant can have come and gone: all children are there, or the one is too young for any of
/// its siblings to be gone.
fn descendants_are_there(children: &ChildrenKnown, now: Timestamp) -> bool {
    let young = |shard: &Shard| is_recent(shard.id.created(), now);
    children.full || children.shards.iter().any(young)
}

#[cfg(test)]
mod tests;
