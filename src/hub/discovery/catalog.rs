//! The catalog: what is known of one stream's shards, and what to request next. Pure.
//!
//! Responses, failures and the ends of shards come in; the known shards and the next [`Act`] come
//! out. [`super::discovery_task`] is the task around it.

mod orphans;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::limits::ReadingLimits;
use crate::lineage::Graph;
use crate::model::{Shard, ShardId, StreamDescription, StreamStatus, Timestamp};
use crate::upstream::UpstreamError;

use super::super::rate_limit::Backoff;
use super::super::shard::progress::ShardProgress;

use child_search::Search;

/// A listing begun this long after a shard's close shows all its children.
pub(crate) const CHILDREN_SETTLE: Duration = Duration::from_secs(300);

/// The limit of shards remembered although never listed: a client with made-up tokens can name any
/// number.
const STRANGERS: usize = 10_000;

/// What is known of one stream.
#[derive(Debug)]
pub struct Catalog {
    interval: Duration,
    longest_pause: Duration,
    graph: Graph,
    notes: HashMap<ShardId, Note>,
    /// Shards reported as ended that had never been listed, in order of report.
    strangers: VecDeque<ShardId>,
    search: Search,
    description: Option<StreamDescription>,
    /// When the response behind `description` was requested.
    described: Option<Instant>,
    listed: Option<Instant>,
    /// When the newest whole listing was complete.
    came: Option<Instant>,
    pages: usize,
    /// Rows that cannot be parsed, as last listed.
    unreadable: usize,
    /// When the current run of listings without unparseable rows began; `None` if the newest
    /// listing had one.
    understood: Option<Instant>,
    /// The upstream supports requests for the children of one shard (CHILD_SHARDS).
    filters: bool,
    /// A shard has two children at most. On Alternator (`false`) it may have hundreds.
    pairs: bool,
    gone: bool,
    /// When the first of a run of listings began that failed because the upstream does not know the
    /// stream.
    missed: Option<Instant>,
    /// When the listing in flight was begun.
    listing: Option<Instant>,
    /// When the newest listing was begun, whatever its outcome.
    begun: Option<Instant>,
    /// When the newest listing that looks for children was begun.
    searched: Option<Instant>,
    /// A caller waits for a listing begun at this time or later.
    wanted: Option<Instant>,
    /// A listing is needed, because a shard's children cannot be found otherwise.
    must_list: bool,
    backoff: Backoff,
    paused: Option<Instant>,
    failure: Option<ListingFailure>,
    /// When the newest fault began everything anew.
    restarted: Option<Instant>,
    /// Parents that the newest listing lacks although its rows name them and they are too young to
    /// be gone.
    lacked: HashSet<ShardId>,
    /// The rows that wait for one more listing because their parent was lacking.
    orphans: Vec<Shard>,
    /// When to list again for the orphans.
    recheck: Option<Instant>,
}

/// What is known of one shard besides its row.
#[derive(Debug, Default)]
struct Note {
    /// When the newest response that shows the shard was requested.
    seen: Option<Instant>,
    /// Since when whole listings lack the shard.
    missing: Option<Instant>,
    /// When the shard was first seen closed; the close itself was before.
    closed: Option<Instant>,
    /// When the shard was reported as read to its end.
    ended: Option<Instant>,
    /// A response requested after `ended` has arrived.
    looked: bool,
    /// A listing begun long after its close showed no new child.
    settled: bool,
    /// How far the shard was read when its last reader left.
    left: Option<Box<ShardProgress>>,
}

/// An outage of discovery: calls have failed and nothing new is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingFailure {
    /// When the first failed call of this run was requested.
    pub since: Instant,
    /// When the newest failed listing was begun; `None` if only child lookups failed.
    pub asked: Option<Instant>,
    /// The error of the newest call.
    pub error: UpstreamError,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Request the children of this shard.
    Children(ShardId),
    /// List the whole stream.
    List,
    /// Do nothing before this time; `None`: until something changes.
    Wait(Option<Instant>),
}

/// The children of one shard, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChildrenKnown {
    /// The known children, by id.
    pub shards: Vec<Shard>,
    /// No more will appear.
    pub complete: bool,
    /// A shard cannot have more children than these.
    pub full: bool,
    /// A response requested since the shard's end was reported has arrived.
    pub looked: bool,
}

/// A listing, whole or of one shard's children, as the catalog takes it in.
#[derive(Clone, Copy, Debug)]
pub struct ListedStream<'a> {
    /// The stream's description.
    pub description: &'a StreamDescription,
    /// The listed shards.
    pub shards: &'a [Shard],
    /// How many rows cannot be parsed.
    pub unreadable: usize,
    /// When the first call of it was made.
    pub asked: Instant,
    /// The wall clock now.
    pub wall: Timestamp,
}

impl Catalog {
    /// An empty catalog. `filters`: the upstream knows CHILD_SHARDS. `pairs`: a shard has two
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
            restarted: None,
            lacked: HashSet::new(),
            orphans: Vec::new(),
            recheck: None,
        }
    }

    /// Forgets everything after a fault that may have left it half changed, and requests a listing.
    /// For callers that wait now, the fault is the outcome.
    pub fn restart(&mut self, limits: &ReadingLimits, error: UpstreamError, now: Instant) {
        let old = std::mem::replace(self, Self::new(limits, self.filters, self.pairs, 0));
        (self.backoff, self.failure) = (old.backoff, old.failure);
        self.want(now);
        self.restarted = Some(now);
        self.failed(None, error, now);
    }

    /// The newest description of the stream.
    pub fn description(&self) -> Option<&StreamDescription> {
        self.description.as_ref()
    }

    /// Every shard that was listed, including those that dropped out of the listing in the last 48
    /// hours.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Shards that were listed but are not in the graph yet: the listing lacked their parents, and
    /// one more listing decides about those.
    pub fn orphans(&self) -> &[Shard] {
        &self.orphans
    }

    /// When the newest whole listing was begun.
    pub fn listed_at(&self) -> Option<Instant> {
        self.listed
    }

    /// When the newest whole listing was begun, if it was complete less than `age` ago.
    pub fn listed_within(&self, age: Duration, now: Instant) -> Option<Instant> {
        self.came.filter(|came| now.saturating_duration_since(*came) < age).and(self.listed)
    }

    /// How many rows that cannot be parsed the upstream last listed: shards that are not read.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Whether the shard is in the newest whole listing, or was shown since; `None`: it may be a
    /// row that cannot be parsed.
    pub fn is_listed(&self, shard: &ShardId) -> Option<bool> {
        let shown = self
            .notes
            .get(shard)
            .is_some_and(|note| note.seen.is_some() && note.seen >= self.listed);
        (shown || self.understood.is_some()).then_some(shown)
    }

    /// Whether two whole listings in a row lack the shard: one alone may have been incomplete.
    /// Listings with rows that cannot be parsed do not count.
    pub fn is_missing(&self, shard: &ShardId) -> bool {
        let missing = self.notes.get(shard).and_then(|note| note.missing);
        missing.is_some() && self.understood.is_some() && missing.max(self.understood) < self.listed
    }

    /// How far the shard was read when its last reader left.
    pub fn left_behind(&self, shard: &ShardId) -> ShardProgress {
        self.notes.get(shard).and_then(|note| note.left.as_deref()).copied().unwrap_or_default()
    }

    /// Keeps how far a known shard was read, when its last reader leaves.
    pub fn leave_behind(&mut self, shard: &ShardId, progress: ShardProgress) {
        if let Some(note) = self.notes.get_mut(shard) {
            note.left = Some(Box::new(progress.left_behind()));
        }
    }

    /// Whether the upstream no longer knows the stream.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether the shard was reported as read to its end.
    pub fn is_ended(&self, shard: &ShardId) -> bool {
        self.notes.get(shard).is_some_and(|note| note.ended.is_some())
    }

    /// The shard's children, as far as they are known.
    pub fn children_known(&self, shard: &ShardId) -> ChildrenKnown {
        let shards: Vec<_> = self.graph.children(shard).cloned().collect();
        let full = self.pairs && shards.len() >= 2;
        let Some(note) = self.notes.get(shard) else {
            return ChildrenKnown { shards, full, ..Default::default() };
        };
        let closed = note.closed_by().is_some();
        // A row that cannot be parsed may be a child.
        let rest = ((closed && note.settled) || self.is_sealed(note)) && self.unreadable == 0;
        let complete = (closed && full) || rest;
        ChildrenKnown { shards, complete, full, looked: note.looked }
    }

    /// The error of the newest call, until a call of its kind succeeds.
    pub fn outage(&self) -> Option<&UpstreamError> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// The current outage, with its start.
    pub fn failure(&self) -> Option<&ListingFailure> {
        self.failure.as_ref()
    }

    /// The outcome for a caller that waits since `arrived` for a listing begun at `since` or later:
    /// `Some(Err)` if such a listing failed, or a fault ended the waiting; `None` while there is
    /// none.
    pub fn outcome(&self, since: Instant, arrived: Instant) -> Option<Result<(), &UpstreamError>> {
        if self.listed >= Some(since) {
            return Some(Ok(()));
        }
        self.failure
            .as_ref()
            .filter(|failure| failure.asked >= Some(since) || self.restarted >= Some(arrived))
            .map(|failure| Err(&failure.error))
    }

    /// Records that a caller waits for a listing begun at `since` or later.
    pub fn want(&mut self, since: Instant) {
        self.wanted = self.wanted.max(Some(since));
    }

    /// The shard was read to its end: its children are wanted. Returns `false` if that was known.
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

    /// The stream was disabled in a response requested after the shard's end: no children will
    /// appear.
    fn is_sealed(&self, note: &Note) -> bool {
        let disabled = self
            .description
            .as_ref()
            .is_some_and(|description| description.status == Some(StreamStatus::Disabled));
        disabled && note.closed_by().is_some_and(|closed| Some(closed) <= self.described)
    }
}

impl Note {
    /// When the shard was first known to be closed, by its row or by reading it to its end.
    fn closed_by(&self) -> Option<Instant> {
        [self.closed, self.ended].into_iter().flatten().min()
    }
}

mod child_search;
mod responses;
mod schedule;
#[cfg(test)]
mod tests;
