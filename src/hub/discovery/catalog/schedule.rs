//! What to request next: listings and child lookups, and when. Pure.

use std::time::{Duration, Instant};

use crate::model::ShardId;

use super::{Act, Catalog};

/// The least pause between regular listings, for each page of the listing: they cost at most one
/// call in this time.
const PAUSE_A_PAGE: Duration = Duration::from_secs(4);

/// The least pause between listings that look for children, for each page of the listing: half of
/// the default budget.
const SEARCH_PAUSE_A_PAGE: Duration = Duration::from_millis(400);

/// A caller that wants a new listing waits no longer than this, however long the pause after a
/// failure.
const PATIENCE: Duration = Duration::from_secs(1);

/// Child lookups in flight at one time.
const LOOKS_IN_FLIGHT: usize = 4;

impl Catalog {
    /// What to do next. The returned action counts as begun; exactly one `answered_` call or
    /// [`Self::failed`] must follow it.
    pub fn next(&mut self, now: Instant) -> Act {
        let list = self.list_at(now);
        if list.is_some_and(|(at, _)| at <= now) {
            (self.listing, self.begun, self.must_list, self.recheck) =
                (Some(now), Some(now), false, None);
            if list.is_some_and(|(_, searches)| searches) {
                self.searched = Some(now);
            }
            return Act::List;
        }
        let poll = self.look_at(now);
        if let Some((at, shard)) = &poll
            && *at <= now
        {
            self.search.run(shard);
            return Act::Children(shard.clone());
        }
        Act::Wait([list.map(|(at, _)| at), poll.map(|(at, _)| at)].into_iter().flatten().min())
    }

    /// When the next listing is to begin, and whether it looks for children. `None` while one is in
    /// flight.
    fn list_at(&self, now: Instant) -> Option<(Instant, bool)> {
        if self.listing.is_some() {
            return None;
        }
        // For a stream that is gone, the newest attempt counts.
        let newest = if self.gone { self.begun } else { self.listed };
        let allowed = self.paused.map_or(now, |paused| paused.max(now));
        if let Some(recheck) = self.recheck {
            return Some((recheck.max(allowed), false));
        }
        let heartbeat = newest
            .map_or(now, |at| at + self.interval.max(PAUSE_A_PAGE * self.pages as u32))
            .max(allowed);
        let wanted =
            self.wanted.filter(|wanted| newest < Some(*wanted)).map(|wanted| match self.begun {
                // No listing has begun since it was wanted, so the waiting caller did not cause the
                // pause.
                Some(begun) if begun < wanted => allowed.min(begun + PATIENCE).max(wanted),
                Some(_) | None => allowed.max(wanted),
            });
        let spaced = self.searched.map_or(now, |at| at + SEARCH_PAUSE_A_PAGE * self.pages as u32);
        let search = self.search_at(now).map(|at| at.max(spaced).max(allowed));
        let plain = wanted.map_or(heartbeat, |wanted| wanted.min(heartbeat));
        Some(search.filter(|at| *at <= plain).map_or((plain, false), |at| (at, true)))
    }

    /// When to look for children by a listing; `None`: not at all.
    fn search_at(&self, now: Instant) -> Option<Instant> {
        match (self.gone, self.must_list || self.is_crowded(now), self.filters) {
            (true, ..) | (false, false, true) => None,
            (false, true, _) => Some(now),
            (false, false, false) => self.search.first(None).map(|(at, _)| at),
        }
    }

    /// The next child lookup: its time and its shard.
    fn look_at(&self, now: Instant) -> Option<(Instant, ShardId)> {
        if self.gone
            || !self.filters
            || self.search.running() >= LOOKS_IN_FLIGHT
            || self.is_crowded(now)
        {
            return None;
        }
        let (at, shard) = self.search.first(self.listing)?;
        Some((at.max(self.paused.unwrap_or(at)), shard.clone()))
    }

    /// Whether a listing is cheaper than a lookup for every waiting shard.
    fn is_crowded(&self, now: Instant) -> bool {
        self.search.is_crowded(self.listing, self.pages, now)
    }
}
