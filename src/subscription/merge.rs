//! Merges the records of many shards by creation time: decides which shard is next. Pure.
//!
//! Only the next record of each shard is compared, so a shard is never reordered within itself and
//! no records are buffered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::model::Timestamp;

/// The heads (creation times of the next records) of all shards that have one, and the shards that
/// the merge waits for.
#[derive(Debug)]
pub(crate) struct Merge {
    wait: Duration,
    heads: BTreeSet<(Timestamp, u32)>,
    head_of: BTreeMap<u32, Timestamp>,
    /// Shards that have no head and are not at their tip, and since when.
    blocking: BTreeMap<u32, Instant>,
}

/// Which shard is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MergeTurn {
    /// This slot, but only its records created before this time; `None`: all of them.
    Of(u32, Option<Timestamp>),
    /// No slot before this moment, unless a shard changes its state.
    Wait(Instant),
    /// No shard has a record.
    Nobody,
}

impl Merge {
    /// Shards without a head hold back the others for at most `wait`.
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, heads: BTreeSet::new(), head_of: BTreeMap::new(), blocking: BTreeMap::new() }
    }

    /// Sets the creation time of the slot's next record; one of unknown age goes first.
    pub(crate) fn head(&mut self, slot: u32, created: Option<Timestamp>) {
        self.leave(slot);
        let created = created.unwrap_or(Timestamp::EPOCH);
        self.heads.insert((created, slot));
        self.head_of.insert(slot, created);
    }

    /// The slot has no record now but may have one soon: the merge waits for it.
    pub(crate) fn block(&mut self, slot: u32, now: Instant) {
        self.take_head(slot);
        self.blocking.entry(slot).or_insert(now);
    }

    /// The slot has no record and is not waited for, or is gone.
    pub(crate) fn leave(&mut self, slot: u32) {
        self.take_head(slot);
        self.blocking.remove(&slot);
    }

    /// Which shard is next. `held`: since when something else holds back the merge (a child that is
    /// not begun yet).
    pub(crate) fn turn(&self, held: Option<Instant>, now: Instant) -> MergeTurn {
        let Some(&(created, slot)) = self.heads.first() else { return MergeTurn::Nobody };
        let holds = self.blocking.values().copied().chain(held).map(|since| since + self.wait);
        match holds.filter(|until| *until > now).min() {
            Some(until) => MergeTurn::Wait(until),
            None => {
                let second = self
                    .heads
                    .iter()
                    .nth(1)
                    .map(|(created, _)| created.plus(Duration::from_nanos(1)));
                debug_assert!(second.is_none_or(|second| second > created));
                MergeTurn::Of(slot, second)
            }
        }
    }

    fn take_head(&mut self, slot: u32) {
        if let Some(created) = self.head_of.remove(&slot) {
            self.heads.remove(&(created, slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Timestamp::new(seconds, 0)
    }

    #[test]
    fn the_oldest_head_goes_first_up_to_the_next() {
        let now = tokio::time::Instant::now().into_std();
        let mut merge = Merge::new(Duration::from_secs(2));
        merge.head(1, at(20));
        merge.head(2, at(10));
        let next = at(20).map(|time| time.plus(Duration::from_nanos(1)));
        assert_eq!(merge.turn(None, now), MergeTurn::Of(2, next));
        merge.leave(2);
        assert_eq!(merge.turn(None, now), MergeTurn::Of(1, None));
        merge.head(3, None);
        assert!(matches!(merge.turn(None, now), MergeTurn::Of(3, _)));
    }

    #[test]
    fn a_shard_without_a_head_holds_the_others_for_a_while() {
        let now = tokio::time::Instant::now().into_std();
        let wait = Duration::from_secs(2);
        let mut merge = Merge::new(wait);
        assert_eq!(merge.turn(None, now), MergeTurn::Nobody);
        merge.head(1, at(20));
        merge.block(2, now);
        merge.block(2, now + wait);
        assert_eq!(merge.turn(None, now), MergeTurn::Wait(now + wait));
        assert_eq!(merge.turn(None, now + wait), MergeTurn::Of(1, None));
        assert_eq!(merge.turn(Some(now + wait), now + wait), MergeTurn::Wait(now + wait + wait));
        merge.leave(2);
        assert_eq!(merge.turn(None, now), MergeTurn::Of(1, None));
    }
}
