//! What is known of one stream's shards, and what to ask next. Pure.
//!
//! Answers, failures and the ends of shards come in; what is known and the next [`Act`] come out. [`super::survey`] is the
//! task around it.

mod search;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::limits::ReadingLimits;
use crate::lineage::Graph;
use crate::model::{Shard, ShardId, StreamDescription, StreamStatus};
use crate::upstream::{ErrorClass, UpstreamError};

use super::pace::Backoff;

use search::Search;

/// A listing begun so long after a shard's close shows all its children.
pub const CHILDREN_SETTLE: Duration = Duration::from_secs(300);

/// The heartbeat costs at most a call in so long, however many pages a listing has.
const PAUSE_A_PAGE: Duration = Duration::from_secs(4);

/// Listings that look for children begin no closer together than this for each page of theirs: half of the default budget.
const SEARCH_PAUSE_A_PAGE: Duration = Duration::from_millis(400);

/// However long the pause after a failure, somebody who asks anew is not kept waiting longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// Calls for the children of single shards under way at one time.
const LOOKS_IN_FLIGHT: usize = 4;

/// A shard that is listed no more is remembered so long, for places in it that come back.
const MEMORY: Duration = Duration::from_secs(48 * 3_600);

/// What is known of one stream.
#[derive(Debug)]
pub struct Chart {
    interval: Duration,
    longest_pause: Duration,
    graph: Graph,
    notes: HashMap<ShardId, Note>,
    search: Search,
    description: Option<StreamDescription>,
    /// When the newest answer was asked for that describes the stream.
    described: Option<Instant>,
    listed: Option<Instant>,
    pages: usize,
    /// The upstream gives the children of one shard when asked for them.
    filters: bool,
    gone: bool,
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
    failure: Option<Failure>,
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
}

/// Why nothing new is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
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
    /// The upstream was asked since the shard's end was reported.
    pub looked: bool,
}

/// What the upstream told.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Of the stream.
    pub description: &'a StreamDescription,
    /// Of its shards.
    pub shards: &'a [Shard],
    /// When the first call was made.
    pub asked: Instant,
}

impl Chart {
    /// Nothing is known yet. `filters`: the upstream knows CHILD_SHARDS. `seed` jitters pauses.
    pub fn new(limits: &ReadingLimits, filters: bool, seed: u64) -> Self {
        Self {
            interval: limits.listing_interval,
            longest_pause: limits.backoff.1,
            graph: Graph::default(),
            notes: HashMap::new(),
            search: Search::default(),
            description: None,
            described: None,
            listed: None,
            pages: 1,
            filters,
            gone: false,
            listing: None,
            begun: None,
            searched: None,
            wanted: None,
            must_list: false,
            backoff: Backoff::new(limits.backoff, seed),
            paused: None,
            failure: None,
        }
    }

    /// The stream itself, as told last.
    pub fn description(&self) -> Option<&StreamDescription> {
        self.description.as_ref()
    }

    /// Every shard that was listed, those of the last 48 hours that are listed no more included.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// When the newest whole listing was begun.
    pub fn listed_at(&self) -> Option<Instant> {
        self.listed
    }

    /// Whether the shard is in the newest whole listing, or was shown since.
    pub fn is_listed(&self, shard: &ShardId) -> bool {
        self.notes.get(shard).is_some_and(|note| note.seen.is_some() && note.seen >= self.listed)
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
        let Some(note) = self.notes.get(shard) else { return ChildrenKnown { shards, ..Default::default() } };
        let closed = note.closed_by().is_some();
        let complete = (closed && (shards.len() >= 2 || note.settled)) || self.is_sealed(note);
        ChildrenKnown { shards, complete, looked: note.looked }
    }

    /// What the newest call failed with, while none has succeeded since.
    pub fn trouble(&self) -> Option<&UpstreamError> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// The same, and since when.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether somebody who waits for a listing begun at `since` or later has waited long enough: `Some(Err)` when such a
    /// listing failed.
    pub fn outcome(&self, since: Instant) -> Option<Result<(), &UpstreamError>> {
        if self.listed >= Some(since) {
            return Some(Ok(()));
        }
        self.failure.as_ref().filter(|failure| failure.asked >= Some(since)).map(|failure| Err(&failure.error))
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
        self.search.begin(shard, now);
        true
    }

    /// What to do next. What it says is taken as begun; exactly one of the answers or [`Self::failed`] must follow.
    pub fn next(&mut self, now: Instant) -> Act {
        let list = self.list_at(now);
        if list.is_some_and(|(at, _)| at <= now) {
            (self.listing, self.begun, self.must_list) = (Some(now), Some(now), false);
            if list.is_some_and(|(_, searches)| searches) {
                self.searched = Some(now);
            }
            return Act::List;
        }
        let look = self.look_at(now);
        if let Some((at, shard)) = &look
            && *at <= now
        {
            self.search.run(shard);
            return Act::Children(shard.clone());
        }
        Act::Wait([list.map(|(at, _)| at), look.map(|(at, _)| at)].into_iter().flatten().min())
    }

    /// What was told of the children of `of`. Upstreams that do not know the filter may tell anything.
    pub fn answered_children(&mut self, of: &ShardId, told: Told<'_>, now: Instant) {
        self.succeeded(&told);
        self.search.ran(of, now);
        let (own, foreign): (Vec<&Shard>, _) =
            told.shards.iter().partition(|shard| shard.id == *of || shard.parent.as_ref() == Some(of));
        // What ignores the filter gives the whole listing for every shard: then one for all is cheaper.
        self.filters &= foreign.is_empty();
        self.take(own, told.asked);
        self.looked_for(of, told.asked, now);
    }

    /// What was told of all shards, in so many pages.
    pub fn answered_listing(&mut self, told: Told<'_>, pages: usize, now: Instant) {
        self.listing = None;
        self.succeeded(&told);
        self.pages = pages.max(1);
        let settling = self.settling(told.asked);
        self.take(told.shards, told.asked);
        for (shard, before) in settling {
            let settled = self.graph.children(&shard).count() == before;
            self.notes.entry(shard).and_modify(|note| note.settled = settled);
        }
        self.listed = self.listed.max(Some(told.asked));
        for note in self.notes.values_mut() {
            note.looked |= note.ended.is_some_and(|ended| ended <= told.asked);
        }
        for shard in self.search.served(told.asked) {
            self.looked_for(&shard, told.asked, now);
        }
        self.forget(told.asked);
    }

    /// The listing (`of` is none) or the call for one shard's children failed.
    pub fn failed(&mut self, of: Option<&ShardId>, error: UpstreamError, now: Instant) {
        let listing = if of.is_none() { self.listing.take() } else { None };
        if let Some(of) = of {
            self.search.ran(of, now);
        }
        match (error.class, of) {
            // It may be the shard that is not known: a listing will tell.
            (ErrorClass::NotFound | ErrorClass::Invalid, Some(of)) => {
                // What is refused for a shard that is there is the filter.
                self.filters &= error.class == ErrorClass::NotFound || !self.is_listed(of);
                self.search.answered(of, now, 0, now);
                self.must_list = true;
                return;
            }
            (ErrorClass::NotFound, None) => self.gone = true,
            (
                ErrorClass::Throttled
                | ErrorClass::Unavailable
                | ErrorClass::ExpiredIterator
                | ErrorClass::Trimmed
                | ErrorClass::AccessDenied
                | ErrorClass::Invalid,
                _,
            ) => {}
        }
        let before = self.failure.take();
        let since = before.as_ref().map_or(listing.unwrap_or(now), |failure| failure.since);
        let asked = listing.max(before.and_then(|failure| failure.asked));
        let pause = self.backoff.fail().max(error.retry_after.unwrap_or_default().min(self.longest_pause));
        self.paused = Some(now + pause);
        self.failure = Some(Failure { since, asked, error });
    }

    /// When the next listing is to begin, and whether it looks for children.
    fn list_at(&self, now: Instant) -> Option<(Instant, bool)> {
        if self.listing.is_some() {
            return None;
        }
        // That there is no such stream is an answer, too.
        let newest = if self.gone { self.begun } else { self.listed };
        let allowed = self.paused.map_or(now, |paused| paused.max(now));
        let heartbeat = newest.map_or(now, |at| at + self.interval.max(PAUSE_A_PAGE * self.pages as u32)).max(allowed);
        let wanted = self.wanted.filter(|wanted| newest < Some(*wanted)).map(|wanted| match self.begun {
            // Nobody has asked since then, and whoever waits did not cause the pause.
            Some(begun) if begun < wanted => allowed.min(begun + PATIENCE).max(wanted),
            Some(_) | None => allowed.max(wanted),
        });
        let spaced = self.searched.map_or(now, |at| at + SEARCH_PAUSE_A_PAGE * self.pages as u32);
        let search = self.search_at(now).map(|at| at.max(spaced).max(allowed));
        let plain = wanted.map_or(heartbeat, |wanted| wanted.min(heartbeat));
        Some(search.filter(|at| *at <= plain).map_or((plain, false), |at| (at, true)))
    }

    /// When children are to be looked for by a listing.
    fn search_at(&self, now: Instant) -> Option<Instant> {
        match (self.gone, self.must_list || self.is_crowded(now), self.filters) {
            (true, ..) | (false, false, true) => None,
            (false, true, _) => Some(now),
            (false, false, false) => self.search.first(None).map(|(at, _)| at),
        }
    }

    /// When which shard's children are to be asked for alone.
    fn look_at(&self, now: Instant) -> Option<(Instant, ShardId)> {
        if self.gone || !self.filters || self.search.running() >= LOOKS_IN_FLIGHT || self.is_crowded(now) {
            return None;
        }
        let (at, shard) = self.search.first(self.listing)?;
        Some((at.max(self.paused.unwrap_or(at)), shard.clone()))
    }

    /// A listing is cheaper than asking for every waiting shard alone.
    fn is_crowded(&self, now: Instant) -> bool {
        self.search.waiting(self.listing, now) > self.pages
    }

    fn succeeded(&mut self, told: &Told<'_>) {
        self.backoff.succeed();
        (self.paused, self.failure, self.gone) = (None, None, false);
        if self.described <= Some(told.asked) {
            (self.description, self.described) = (Some(told.description.clone()), Some(told.asked));
        }
    }

    fn take<'a>(&mut self, rows: impl IntoIterator<Item = &'a Shard>, asked: Instant) {
        let Self { graph, notes, .. } = self;
        graph.merge(rows.into_iter().inspect(|row| {
            let note = notes.entry(row.id.clone()).or_default();
            note.seen = note.seen.max(Some(asked));
            note.missing = None;
            if row.is_closed() {
                note.closed = note.closed.or(Some(asked));
            }
        }));
    }

    /// The shards that a listing begun at `asked` may settle, and how many children they have.
    fn settling(&self, asked: Instant) -> Vec<(ShardId, usize)> {
        let old =
            |note: &Note| note.closed_by().is_some_and(|at| asked.saturating_duration_since(at) >= CHILDREN_SETTLE);
        let settling = self.notes.iter().filter(|(_, note)| old(note));
        settling.map(|(shard, _)| (shard.clone(), self.graph.children(shard).count())).collect()
    }

    /// An answer asked for at `asked` could have shown the shard's children.
    fn looked_for(&mut self, shard: &ShardId, asked: Instant, now: Instant) {
        let Some(note) = self.notes.get_mut(shard).filter(|note| note.ended.is_some_and(|ended| ended <= asked)) else {
            return;
        };
        note.looked = true;
        let children = self.graph.children(shard).count();
        if self.is_sealed(&self.notes[shard]) {
            self.search.end(shard);
        } else {
            self.search.answered(shard, asked, children, now);
        }
    }

    /// The stream was closed in an answer asked for after the shard's end: nothing will be born any more.
    fn is_sealed(&self, note: &Note) -> bool {
        let disabled =
            self.description.as_ref().is_some_and(|description| description.status == Some(StreamStatus::Disabled));
        disabled && note.closed_by().is_some_and(|closed| Some(closed) <= self.described)
    }

    /// Forgets shards that were listed long ago, as of a listing begun at `asked`.
    fn forget(&mut self, asked: Instant) {
        let listed = self.listed;
        let old = |since: Option<Instant>| since.is_some_and(|at| asked.saturating_duration_since(at) >= MEMORY);
        let mut forgotten = 0;
        self.notes.retain(|_, note| {
            if note.seen < listed {
                note.missing.get_or_insert(asked);
            }
            let keep = if note.seen.is_some() { !old(note.missing) } else { !old(note.ended) };
            forgotten += usize::from(!keep);
            keep
        });
        if forgotten > 0 {
            let Self { graph, notes, .. } = self;
            graph.retain(|shard| notes.contains_key(&shard.id));
        }
    }
}

impl Note {
    /// When the shard was known to be closed, by its row or by reading it.
    fn closed_by(&self) -> Option<Instant> {
        [self.closed, self.ended].into_iter().flatten().min()
    }
}
