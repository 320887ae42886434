//! How a subscription stands while nothing comes.

use std::sync::Arc;

use crate::encode::ReadLimit;
use crate::hub::TooManyShards;
use crate::hub::discovery::catalog::{Catalog, ListingFailure};
use crate::hub::shard::poll::{Outage, Pending, Polled, WaitFor};
use crate::model::{Now, Timestamp};

use crate::subscription::open_shards::OpenShard;

use super::{Follow, children};

/// How a subscription stands while nothing comes.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionStatus {
    /// Everything of every shard was given.
    pub at_tip: bool,
    /// And every shard said so since the client came.
    pub looked: bool,
    /// When the upstream was last heard of, at the shard where that is longest ago.
    pub observed: Option<Timestamp>,
    /// Why something cannot come.
    pub outage: Option<Arc<Outage>>,
    /// Shards that are not read because so many are already.
    pub over_limit: usize,
    /// Since when none of them could be begun, and the limit.
    pub limited: Option<(Timestamp, TooManyShards)>,
    /// Listed shards that are not read because their rows cannot be understood.
    pub not_understood: usize,
}

impl Follow {
    /// How it stands. `fresh`: what was seen last may have aged since, and is looked at again.
    pub fn standing(&mut self, fresh: bool) -> SubscriptionStatus {
        if fresh {
            self.refresh();
        }
        let now = self.now();
        let quiet = self.endings.is_empty()
            && self.replaced.is_none()
            && self.discovery.read(|catalog| self.is_quiet(catalog, now.wall));
        let not_understood = self.discovery.read(Catalog::unreadable);
        let quiet = quiet && not_understood == 0;
        // Shards that flow say nothing of those that are born meanwhile: a listing that fails is
        // told all the same.
        let listing = self.discovery.read(|catalog| {
            // A stream that is gone is told, and no trouble.
            catalog
                .failure()
                .filter(|_| !catalog.is_gone())
                .map(|failure| Arc::new(outage(failure, now)))
        });
        let listed = self.discovery.read(|catalog| catalog.listed_at());
        let listed = listed.map(|at| now.wall.minus(now.at.saturating_duration_since(at)));
        let stuck = self.stuck.clone();
        let troubles =
            [self.slots.outage().cloned(), listing, self.succession.outage().cloned(), stuck];
        let outage = troubles.into_iter().flatten().min_by_key(|outage| outage.since);
        SubscriptionStatus {
            at_tip: quiet && self.slots.are_at_tip(),
            looked: quiet && self.slots.have_looked(),
            observed: if self.slots.count() == 0 { listed } else { self.slots.observed() },
            outage,
            over_limit: if self.full.is_some() { self.frontier.waiting() } else { 0 },
            limited: self.full,
            not_understood,
        }
    }

    /// Every open shard has nothing more that was created before that time, as far as can be told:
    /// what comes next is younger, or nothing was there when both clocks, the upstream's and ours,
    /// were past it.
    pub fn is_beyond(&mut self, before: Timestamp) -> bool {
        let standing = self.standing(false);
        let over = |slot: &OpenShard| {
            let past = |pending: &Pending| {
                pending.at_tip && pending.empties > 0 && pending.past >= Some(before)
            };
            slot.beyond || slot.pending.as_ref().is_some_and(past)
        };
        let now = self.now().wall;
        let time_is_past = self.hub.upstream_time(now) >= before;
        let quiet = self.endings.is_empty()
            && self
                .discovery
                .read(|catalog| catalog.unreadable() == 0 && self.is_quiet(catalog, now));
        let waits = self.slots.count() == 0 && !(time_is_past && standing.at_tip);
        quiet && !waits && self.slots.iter().all(over)
    }

    /// The oldest of the next records of the shards that are behind.
    pub fn oldest_next(&self) -> Option<Timestamp> {
        self.slots.oldest_next()
    }

    /// Nothing is to be begun or told, as far as the listings say.
    fn is_quiet(&self, catalog: &Catalog, now: Timestamp) -> bool {
        catalog.orphans().is_empty() && self.frontier.is_quiet(|id| children(catalog, id), now)
    }

    fn refresh(&mut self) {
        let room = ReadLimit { records: 1, bytes: 1, before: None };
        for id in self.slots.ids() {
            let Some(slot) = self.slots.get(id).filter(|slot| slot.pending.is_some()) else {
                continue;
            };
            match slot.cursor.poll(room, WaitFor::Data) {
                Polled::Pending(pending) => self.slots.note(id, Some(pending)),
                // Something came since: it is no tip any more, and is told in its turn.
                _ => {
                    self.slots.note(id, None);
                    self.ready.push(id);
                }
            }
        }
    }
}

/// A listing that fails, as a shard's failing reads are told.
fn outage(failure: &ListingFailure, now: Now) -> Outage {
    let since = now.wall.minus(now.at.saturating_duration_since(failure.since));
    Outage { since, asked: failure.since, error: failure.error.clone(), lasts: true }
}
