//! The status of a subscription while no event comes.

use std::sync::Arc;

use crate::encode::ReadLimit;
use crate::hub::discovery::{Catalog, ListingFailure};
use crate::hub::{Outage, Pending, Polled, TooManyShards, WaitFor};
use crate::model::{Now, Timestamp};

use crate::subscription::open_shards::OpenShard;

use super::{Follow, children};

/// The status of a subscription while no event comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubscriptionStatus {
    /// Everything of every shard was delivered.
    pub at_tip: bool,
    /// As `at_tip`, by responses that were requested for every shard since the client came.
    pub looked: bool,
    /// The oldest of the shards' times of their last upstream response; `None` if a shard has none.
    pub observed: Option<Timestamp>,
    /// The longest-lasting outage that keeps something from coming; `None`: no outage.
    pub outage: Option<Arc<Outage>>,
    /// How many shards are not read because the limit of shards is reached.
    pub over_limit: usize,
    /// Since when none of them could be begun, and the limit.
    pub limited: Option<(Timestamp, TooManyShards)>,
    /// How many listed shards are not read because their rows cannot be understood.
    pub not_understood: usize,
}

impl Follow {
    /// The current status. `fresh`: polls the shards again, since earlier results may have aged.
    pub(crate) fn standing(&mut self, fresh: bool) -> SubscriptionStatus {
        if fresh {
            self.refresh();
        }
        let now = self.now();
        let quiet = self.endings.is_empty()
            && self.replaced.is_none()
            && self.discovery.read(|catalog| self.is_quiet(catalog, now.wall));
        let not_understood = self.discovery.read(Catalog::unreadable);
        let quiet = quiet && not_understood == 0;
        // Shards that deliver records reveal nothing of shards born meanwhile: a failing listing is
        // reported all the same.
        let listing = self.discovery.read(|catalog| {
            // A stream that is gone is reported as such, not as an outage.
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

    /// Whether no open shard has more records created before `before`, as far as can be known: the
    /// next record is younger, or there was none when both clocks, the upstream's and the server's,
    /// were past that time.
    pub(crate) fn is_beyond(&mut self, before: Timestamp) -> bool {
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

    /// The oldest creation time among the next records of shards that are not at their tip.
    pub(crate) fn oldest_next(&self) -> Option<Timestamp> {
        self.slots.oldest_next()
    }

    /// Whether nothing has to be begun or reported, as far as the listings show.
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
                // Something came since: the shard is no longer at its tip, and is read in its turn.
                _ => {
                    self.slots.note(id, None);
                    self.ready.push(id);
                }
            }
        }
    }
}

/// A failing listing, in the form in which a shard's failing reads are reported.
fn outage(failure: &ListingFailure, now: Now) -> Outage {
    let since = now.wall.minus(now.at.saturating_duration_since(failure.since));
    Outage { since, asked: failure.since, error: failure.error.clone(), lasts: true }
}
