//! How responses and failures change the catalog. Pure.

use std::time::{Duration, Instant};

use crate::model::{Shard, ShardId};
use crate::upstream::{ErrorClass, UpstreamError};

use super::orphans::RECHECK_PAUSE;
use super::{CHILDREN_SETTLE, Catalog, ListedStream, ListingFailure, Note};
use crate::hub::shard::denial::APART;

/// How long a shard is remembered after it dropped out of the listing, for positions in it that
/// come back.
pub(super) const MEMORY: Duration = Duration::from_secs(48 * 3_600);

/// How long a shard that was never listed is remembered after its end was reported: by then all of
/// its children are known.
const STRANGER_MEMORY: Duration = Duration::from_secs(3_600);

impl Catalog {
    /// Takes in a response about the children of `of`. Upstreams that do not know the filter may
    /// return any shards.
    pub fn answered_children(&mut self, of: &ShardId, told: ListedStream<'_>, now: Instant) {
        self.succeeded(&told, false);
        self.search.ran(of, now);
        let (own, foreign): (Vec<&Shard>, _) = told
            .shards
            .iter()
            .partition(|shard| shard.id == *of || shard.parent.as_ref() == Some(of));
        // An upstream that ignores the filter returns the whole listing for every shard: one
        // listing for all is then cheaper.
        self.filters &= foreign.is_empty();
        self.unreadable = self.unreadable.max(told.unreadable);
        self.take(own, told.asked);
        self.looked_for(of, told.asked, now);
    }

    /// Takes in a whole listing, which had `pages` pages.
    pub fn answered_listing(&mut self, told: ListedStream<'_>, pages: usize, now: Instant) {
        self.listing = None;
        self.succeeded(&told, true);
        (self.pages, self.unreadable) = (pages.max(1), told.unreadable);
        let held = self.held_back(&told);
        self.orphans = told.shards.iter().filter(|row| held.contains(&row.id)).cloned().collect();
        if !held.is_empty() {
            let whole = told.shards.iter().filter(|row| !held.contains(&row.id));
            self.take(whole, told.asked);
            self.recheck = Some(now + RECHECK_PAUSE);
            return;
        }
        let settling = self.settling(told.asked);
        self.take(told.shards, told.asked);
        for (shard, before) in settling {
            let settled = self.graph.children(&shard).count() == before;
            self.notes.entry(shard).and_modify(|note| note.settled = settled);
        }
        (self.listed, self.came) = (self.listed.max(Some(told.asked)), Some(now));
        self.understood = (told.unreadable == 0).then(|| self.understood.unwrap_or(told.asked));
        for note in self.notes.values_mut() {
            note.looked |= note.ended.is_some_and(|ended| ended <= told.asked);
        }
        for shard in self.search.served(told.asked) {
            self.looked_for(&shard, told.asked, now);
        }
        self.forget(told.asked);
    }

    /// The listing (`of` is `None`) or the lookup of one shard's children failed.
    pub fn failed(&mut self, of: Option<&ShardId>, error: UpstreamError, now: Instant) {
        let listing = if of.is_none() { self.listing.take() } else { None };
        if let Some(of) = of {
            self.search.ran(of, now);
        }
        match (error.class, of) {
            // It may be the shard that is not known: a listing will show.
            (ErrorClass::NotFound | ErrorClass::Invalid, Some(of)) => {
                // If the shard is listed, it is the filter that was refused as invalid.
                self.filters &=
                    error.class == ErrorClass::NotFound || self.is_listed(of) != Some(true);
                self.search.answered(of, now, 0, now);
                self.must_list = true;
                return;
            }
            // For a stream that was listed before, one such failure proves nothing.
            (ErrorClass::NotFound, None) => {
                self.denied(listing.unwrap_or(now));
                self.gone |= self.listed.is_none();
            }
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
        let pause =
            self.backoff.fail().max(error.retry_after.unwrap_or_default().min(self.longest_pause));
        self.paused = Some(now + pause);
        self.failure = Some(ListingFailure { since, asked, error });
    }

    /// A listing begun at `asked`, perhaps by another caller, failed because the upstream does not
    /// know the stream.
    pub fn denied(&mut self, asked: Instant) {
        let first = *self.missed.get_or_insert(asked);
        self.gone |= asked.saturating_duration_since(first) >= APART;
    }

    /// A listing, perhaps by another caller, shows that the stream exists.
    pub fn confirmed(&mut self) {
        (self.gone, self.missed) = (false, None);
    }

    fn succeeded(&mut self, told: &ListedStream<'_>, listed: bool) {
        // A successful child lookup does not end an outage of listings.
        if listed || self.failure.as_ref().is_none_or(|failure| failure.asked.is_none()) {
            self.backoff.succeed();
            (self.paused, self.failure) = (None, None);
        }
        self.confirmed();
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

    /// The shards that a listing begun at `asked` may settle, and how many children each has now.
    fn settling(&self, asked: Instant) -> Vec<(ShardId, usize)> {
        let old = |note: &Note| {
            note.closed_by()
                .is_some_and(|at| asked.saturating_duration_since(at) >= CHILDREN_SETTLE)
        };
        let settling = self.notes.iter().filter(|(_, note)| old(note));
        settling.map(|(shard, _)| (shard.clone(), self.graph.children(shard).count())).collect()
    }

    /// A response requested at `asked` could have shown the shard's children.
    fn looked_for(&mut self, shard: &ShardId, asked: Instant, now: Instant) {
        let Some(note) =
            self.notes.get_mut(shard).filter(|note| note.ended.is_some_and(|ended| ended <= asked))
        else {
            return;
        };
        note.looked = true;
        let children = self.graph.children(shard).count();
        if self.is_sealed(&self.notes[shard]) {
            self.search.end(shard);
        } else {
            // Where there may be many children, two found prove no more than one.
            let children = if self.pairs { children } else { children.min(1) };
            self.search.answered(shard, asked, children, now);
        }
    }

    /// Forgets a shard that was reported as ended, unless it was listed in the meantime.
    pub(super) fn forget_stranger(&mut self, shard: &ShardId) {
        if self.notes.get(shard).is_some_and(|note| note.seen.is_none()) {
            self.notes.remove(shard);
            self.search.end(shard);
        }
    }

    /// Forgets shards that have long been missing, as of a listing begun at `asked`.
    fn forget(&mut self, asked: Instant) {
        let listed = self.listed;
        let old = |since: Option<Instant>, after: Duration| {
            since.is_some_and(|at| asked.saturating_duration_since(at) >= after)
        };
        let mut forgotten = 0;
        self.notes.retain(|_, note| {
            if note.seen < listed {
                note.missing.get_or_insert(asked);
            }
            let forget = match note.seen {
                Some(_) => old(note.missing, MEMORY),
                None => note.settled && old(note.ended, STRANGER_MEMORY),
            };
            forgotten += usize::from(forget);
            !forget
        });
        if forgotten > 0 {
            let Self { graph, notes, strangers, .. } = self;
            graph.retain(|shard| notes.contains_key(&shard.id));
            strangers.retain(|shard| notes.get(shard).is_some_and(|note| note.seen.is_none()));
        }
    }
}
