//! What is known of one stream's shards, and what to ask next. Pure.
//!
//! Answers, failures and the ends of shards come in; what is known and the next [`Act`] come out.
//! [`super::task`] is the task around it.

mod orphans;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::limits::ReadingLimits;
use crate::lineage::Graph;
use crate::model::{Shard, ShardId, StreamDescription, StreamStatus, Timestamp};
use crate::upstream::UpstreamError;

use super::super::rate_limit::Backoff;
use super::super::shard::progress::ShardProgress;

use children::Search;

/// A listing begun so long after a shard's close shows all its children.
pub const CHILDREN_SETTLE: Duration = Duration::from_secs(300);

/// Shards that were never listed and are remembered all the same: whoever makes up tokens can name
/// any number.
const STRANGERS: usize = 10_000;

/// What is known of one stream.
#[derive(Debug)]
pub struct Catalog {
    interval: Duration,
    longest_pause: Duration,
    graph: Graph,
    notes: HashMap<ShardId, Note>,
    /// Shards that were reported as ended and had never been listed, in that order.
    strangers: VecDeque<ShardId>,
    search: Search,
    description: Option<StreamDescription>,
    /// When the newest answer was asked for that describes the stream.
    described: Option<Instant>,
    listed: Option<Instant>,
    /// When the newest whole listing came.
    came: Option<Instant>,
    pages: usize,
    /// Rows that cannot be understood.
    unreadable: usize,
    /// When the first listing was begun of those in a row of which every row was understood.
    understood: Option<Instant>,
    /// The upstream gives the children of one shard when asked for them.
    filters: bool,
    /// A shard has two children at most. On Alternator it may have hundreds.
    pairs: bool,
    gone: bool,
    /// When the first listing was begun of those in a row that the upstream answered with not
    /// knowing the stream.
    missed: Option<Instant>,
    /// When the listing under way was begun.
    listing: Option<Instant>,
    /// When the newest listing was begun, whatever came of it.
    begun: Option<Instant>,
    /// When the newest listing was begun that looked for children.
    searched: Option<Instant>,
    /// Somebody waits for a listing begun at this time or later.
    wanted: Option<Instant>,
    /// A shard's children can only be found by a listing.
    must_list: bool,
    backoff: Backoff,
    paused: Option<Instant>,
    failure: Option<ListingFailure>,
    /// Parents that a listing lacked although they are too young to be gone, while rows of it name
    /// them.
    lacked: HashSet<ShardId>,
    /// The rows that wait for one more listing because of them.
    orphans: Vec<Shard>,
    /// When to list again for them.
    recheck: Option<Instant>,
}

/// What is known of one shard beside its row.
#[derive(Debug, Default)]
struct Note {
    /// When the newest answer was asked for that shows it.
    seen: Option<Instant>,
    /// Since when whole listings lack it.
    missing: Option<Instant>,
    /// By when it was closed: the close itself was before.
    closed: Option<Instant>,
    /// When it was reported as read to its end.
    ended: Option<Instant>,
    /// An answer asked for after that has come.
    looked: bool,
    /// A listing begun long after its close showed no child that was not known.
    settled: bool,
    /// How far it was read when its last reader left.
    left: Option<Box<ShardProgress>>,
}

/// Why nothing new is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingFailure {
    /// When the first failed call of the row was asked for.
    pub since: Instant,
    /// When the newest failed listing was begun.
    pub asked: Option<Instant>,
    /// What the newest call failed with.
    pub error: UpstreamError,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ask for the children of this shard.
    Children(ShardId),
    /// List the whole stream.
    List,
    /// Nothing before this time.
    Wait(Option<Instant>),
}

/// The children of one shard, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChildrenKnown {
    /// Those known, by id.
    pub shards: Vec<Shard>,
    /// No more will appear.
    pub complete: bool,
    /// They are as many as a shard can have.
    pub full: bool,
    /// The upstream was asked since the shard's end was reported.
    pub looked: bool,
}

/// What the upstream told.
#[derive(Clone, Copy, Debug)]
pub struct ListedStream<'a> {
    /// Of the stream.
    pub description: &'a StreamDescription,
    /// Of its shards.
    pub shards: &'a [Shard],
    /// How many rows cannot be understood.
    pub unreadable: usize,
    /// When the first call was made.
    pub asked: Instant,
    /// What the clock shows now.
    pub wall: Timestamp,
}

impl Catalog {
    /// Nothing is known yet. `filters`: the upstream knows CHILD_SHARDS. `pairs`: a shard has two
    /// children at most. `seed` jitters pauses.
    pub fn new(limits: &ReadingLimits, filters: bool, pairs: bool, seed: u64) -> Self {
        Self {
            interval: limits.discovery_interval,
            longest_pause: limits.backoff.1,
            graph: Graph::default(),
            notes: HashMap::new(),
            strangers: VecDeque::new(),
            search: Search::default(),
            description: None,
            described: None,
            listed: None,
            came: None,
            pages: 1,
            unreadable: 0,
            understood: None,
            filters,
            pairs,
            gone: false,
            missed: None,
            listing: None,
            begun: None,
            searched: None,
            wanted: None,
            must_list: false,
            backoff: Backoff::new(limits.backoff, seed),
            paused: None,
            failure: None,
            lacked: HashSet::new(),
            orphans: Vec::new(),
            recheck: None,
        }
    }

    /// Forgets what is known, after a fault that may have left any of it half done, and wants a
    /// listing.
    pub fn restart(&mut self, limits: &ReadingLimits, error: UpstreamError, now: Instant) {
        let old = std::mem::replace(self, Self::new(limits, self.filters, self.pairs, 0));
        (self.backoff, self.failure) = (old.backoff, old.failure);
        self.want(now);
        // As a listing that was begun now and failed: whoever waits for one is told.
        self.listing = Some(now);
        self.failed(None, error, now);
    }

    /// The stream itself, as told last.
    pub fn description(&self) -> Option<&StreamDescription> {
        self.description.as_ref()
    }

    /// Every shard that was listed, those of the last 48 hours that are listed no more included.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shards that were listed and are not in the graph yet: the listing lacked their parents, and
    /// one more is to say what of those.
    pub fn orphans(&self) -> &[Shard] {
        &self.orphans
    }

    /// When the newest whole listing was begun.
    pub fn listed_at(&self) -> Option<Instant> {
        self.listed
    }

    /// When the newest whole listing was begun, if it came so short a time ago.
    pub fn listed_within(&self, age: Duration, now: Instant) -> Option<Instant> {
        self.came.filter(|came| now.saturating_duration_since(*came) < age).and(self.listed)
    }

    /// How many rows the upstream listed last that cannot be understood: shards that nobody reads.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Whether the shard is in the newest whole listing, or was shown since; `None`: it may be a
    /// row that cannot be understood.
    pub fn is_listed(&self, shard: &ShardId) -> Option<bool> {
        let shown = self
            .notes
            .get(shard)
            .is_some_and(|note| note.seen.is_some() && note.seen >= self.listed);
        (shown || self.understood.is_some()).then_some(shown)
    }

    /// Whether two whole listings in a row lack the shard: one alone may have been incomplete.
    /// Listings with rows that cannot be understood do not say.
    pub fn is_missing(&self, shard: &ShardId) -> bool {
        let missing = self.notes.get(shard).and_then(|note| note.missing);
        missing.is_some() && self.understood.is_some() && missing.max(self.understood) < self.listed
    }

    /// How far the shard was read when its last reader left.
    pub fn left_behind(&self, shard: &ShardId) -> ShardProgress {
        self.notes.get(shard).and_then(|note| note.left.as_deref()).copied().unwrap_or_default()
    }

    /// A known shard's last reader has left.
    pub fn leave_behind(&mut self, shard: &ShardId, progress: ShardProgress) {
        if let Some(note) = self.notes.get_mut(shard) {
            note.left = Some(Box::new(progress.left_behind()));
        }
    }

    /// Whether the upstream does not know the stream any more.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether the shard was reported as read to its end.
    pub fn is_ended(&self, shard: &ShardId) -> bool {
        self.notes.get(shard).is_some_and(|note| note.ended.is_some())
    }

    /// The shard's children.
    pub fn children_known(&self, shard: &ShardId) -> ChildrenKnown {
        let shards: Vec<_> = self.graph.children(shard).cloned().collect();
        let full = self.pairs && shards.len() >= 2;
        let Some(note) = self.notes.get(shard) else {
            return ChildrenKnown { shards, full, ..Default::default() };
        };
        let closed = note.closed_by().is_some();
        // What cannot be understood may be a child.
        let rest = ((closed && note.settled) || self.is_sealed(note)) && self.unreadable == 0;
        let complete = (closed && full) || rest;
        ChildrenKnown { shards, complete, full, looked: note.looked }
    }

    /// What the newest call failed with, while none of its kind has succeeded since.
    pub fn outage(&self) -> Option<&UpstreamError> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// The same, and since when.
    pub fn failure(&self) -> Option<&ListingFailure> {
        self.failure.as_ref()
    }

    /// Whether somebody who waits for a listing begun at `since` or later has waited long enough:
    /// `Some(Err)` when such a listing failed.
    pub fn outcome(&self, since: Instant) -> Option<Result<(), &UpstreamError>> {
        if self.listed >= Some(since) {
            return Some(Ok(()));
        }
        self.failure
            .as_ref()
            .filter(|failure| failure.asked >= Some(since))
            .map(|failure| Err(&failure.error))
    }

    /// Somebody waits for a listing begun at `since` or later.
    pub fn want(&mut self, since: Instant) {
        self.wanted = self.wanted.max(Some(since));
    }

    /// The shard was read to its end: its children are wanted. `false` if that was known.
    pub fn ended(&mut self, shard: &ShardId, now: Instant) -> bool {
        let note = self.notes.entry(shard.clone()).or_default();
        if note.ended.is_some() {
            return false;
        }
        note.ended = Some(now);
        if note.seen.is_none() {
            self.strangers.push_back(shard.clone());
        }
        self.search.begin(shard, now);
        if self.strangers.len() > STRANGERS
            && let Some(oldest) = self.strangers.pop_front()
        {
            self.forget_stranger(&oldest);
        }
        true
    }

    /// The stream was closed in an answer asked for after the shard's end: nothing will be born any
    /// more.
    fn is_sealed(&self, note: &Note) -> bool {
        let disabled = self
            .description
            .as_ref()
            .is_some_and(|description| description.status == Some(StreamStatus::Disabled));
        disabled && note.closed_by().is_some_and(|closed| Some(closed) <= self.described)
    }
}

impl Note {
    /// When the shard was known to be closed, by its row or by reading it.
    fn closed_by(&self) -> Option<Instant> {
        [self.closed, self.ended].into_iter().flatten().min()
    }
}

mod children;
mod responses;
mod schedule;
#[cfg(test)]
mod tests;
