//! A place in one shard, as far as it can be known from outside, and what it means for what comes
//! next: the same for the client of one shard and for each shard of a subscription.

use std::time::Duration;

use shardstream::model::{SequenceNumber, Timestamp};

use super::Guarantee;
use crate::sim::fake::{EntryId, EntryKind, EntryTruth, OLD, ShardTruth, is_of};

/// LATEST may show what was written this long before it was asked for.
pub const LATEST_SLACK: Duration = Duration::from_secs(10);

/// A place without a number that AWS gave stays what it was for as long as an iterator lives, less
/// a minute.
const SOON: Duration = Duration::from_secs(14 * 60);

/// The same, and the time that AWS may take to give it.
const LATE: Duration = Duration::from_secs(17 * 60);

/// What is wrong, and which promise that breaks.
pub type Wrong = (Guarantee, String);

/// Between which two entries of a shard somebody stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The next entry is this one or a later one.
    pub low: usize,
    /// The next entry is not a later one than this.
    pub high: usize,
    /// It was at the horizon then: what is trimmed soon afterwards is no loss that anybody could
    /// know of.
    pub floats: Option<Duration>,
    /// The latest moment at which the place is known to have been readable; `None`: nothing is
    /// known.
    pub known: Option<Timestamp>,
    /// When AWS gave the place, if it is not a number: for a while it stays what it was. `None`:
    /// not known any more.
    pub given: Option<Timestamp>,
    /// Something was delivered behind it since a position was named.
    pub begun: bool,
    /// It comes from a token or a session, and nothing was seen since: a first entry elsewhere is
    /// the token's fault.
    pub carried: bool,
    /// A token by time says none before what was created then: that was not asked for.
    pub least: Option<Timestamp>,
    /// A time was asked for, and nothing was delivered yet: an entry whose time cannot be read may
    /// come though it lies before.
    pub by_time: bool,
    /// Where the loss began that was told and behind which nothing came yet: a token behind its
    /// last number stands there.
    pub lost_from: Option<usize>,
}

impl Place {
    /// The latest entry that may come next, at a time.
    pub fn high_at(&self, shard: &ShardTruth, at: Duration) -> usize {
        // Later it can be told that there may be loss, so it must.
        self.floats.map_or(self.high, |since| self.high.max(shard.horizon(at.min(since + LATE))))
    }

    /// Moves before an entry.
    pub fn stand_before(&mut self, index: usize) {
        (self.low, self.high, self.floats, self.given, self.lost_from) =
            (index, index, None, None, None);
    }

    /// Moves behind a loss whose end is not known: to the horizon, as it is at that time.
    pub fn float(&mut self, at: Duration) {
        self.floats = Some(at);
        self.lost_from = self.lost_from.or(Some(self.low));
    }

    /// Entries were undelivered and are gone at that time.
    pub fn has_lost(&self, shard: &ShardTruth, at: Duration) -> bool {
        let already = self.floats.map_or(0, |since| shard.horizon(since));
        self.low.max(already) < shard.horizon(at)
    }

    /// Nothing AWS says can exclude a loss at that time.
    pub fn may_have_lost(&self, now: Timestamp) -> bool {
        let is_old = self.known.is_none_or(|known| now.since(known) >= OLD);
        is_old && self.given.is_none_or(|given| now.since(given) >= SOON)
    }

    /// The next entry, where it is known exactly.
    pub fn exact(&self) -> Option<usize> {
        (self.low == self.high && self.floats.is_none()).then_some(self.low)
    }

    /// The next entry that is still there, where it is known.
    pub fn next(&self, shard: &ShardTruth, at: Duration) -> Option<usize> {
        (self.low == self.high).then(|| self.high_at(shard, at))
    }

    /// One entry comes, readable or not: was it its turn? Moves behind it.
    pub fn deliver(&mut self, shard: &ShardTruth, at: Duration, index: usize) -> Result<(), Wrong> {
        let upper = self.high_at(shard, at);
        let turn = if index < self.low {
            let guarantee = match (self.carried, self.begun) {
                (true, _) => Guarantee::Bookmarkable,
                (false, true) => Guarantee::Ordered,
                (false, false) => Guarantee::Reliable,
            };
            Err((guarantee, format!("entry {index} comes where {} or later is next", self.low)))
        } else {
            self.skip(shard, at, upper..index)
        };
        // After a step back, too: it is told once, not again with every entry that follows.
        self.stand_before(index + 1);
        self.known = self.known.max(shard.entries[index].stamp);
        (self.begun, self.by_time, self.carried) = (true, false, false);
        turn
    }

    /// Entries were passed over without a word.
    pub fn skip(
        &self,
        shard: &ShardTruth,
        at: Duration,
        passed: std::ops::Range<usize>,
    ) -> Result<(), Wrong> {
        let skipped = shard.entries.get(passed.clone()).unwrap_or_default();
        if skipped.is_empty() {
            return Ok(());
        }
        let trimmed =
            skipped.iter().all(|entry| entry.trimmed.is_some_and(|trimmed| trimmed <= at));
        let (guarantee, how) = match (trimmed, self.carried) {
            (true, _) => (Guarantee::Honest, "trimmed and passed over in silence"),
            (false, true) => (Guarantee::Resumable, "skipped after a resume"),
            (false, false) => (Guarantee::Reliable, "skipped"),
        };
        Err((guarantee, format!("entries {passed:?} were {how}")))
    }

    /// A loss is told that begins after a number. `lost`: records are gone, by what else is known
    /// of the shard.
    pub fn gap(
        &self,
        shard: &ShardTruth,
        at: Duration,
        now: Timestamp,
        (after, certain): (Option<SequenceNumber>, bool),
        lost: bool,
    ) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if let (Some(after), Some(next)) = (after, self.exact()) {
            let between = shard.entries.get(shard.behind(&after)..next);
            let unnumbered = |entry: &EntryTruth| is_of(entry, &after) || !is_numbered(entry);
            if !between.is_some_and(|between| between.iter().all(unnumbered)) {
                wrong.push((
                    Guarantee::Honest,
                    format!("a gap after {after}, but entry {next} is next"),
                ));
            }
        }
        if !(self.has_lost(shard, at) || lost || (!certain && self.may_have_lost(now))) {
            let word = if certain { "certain" } else { "possible" };
            wrong
                .push((Guarantee::Honest, format!("a {word} gap, but nothing is lost nor can be")));
        }
        wrong
    }

    /// A loss is told to reach up to the record `before`. Moves there.
    pub fn pass_to(
        &mut self,
        shard: &ShardTruth,
        at: Duration,
        before: SequenceNumber,
    ) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let index = shard.first_at(&before).max(self.low);
        if shard.entries.get(index).is_none_or(|entry| !is_of(entry, &before)) {
            wrong.push((Guarantee::Honest, format!("a gap to {before}, which does not come next")));
        }
        let passed = shard.entries.get(self.high.min(index)..index).unwrap_or_default();
        if passed.iter().any(|entry| entry.trimmed.is_none_or(|trimmed| trimmed > at)) {
            wrong.push((
                Guarantee::Reliable,
                format!("the gap to {before} holds records that are there"),
            ));
        }
        self.stand_before(index);
        wrong
    }

    /// Which entry is said to be unreadable, by its number or by the number before it.
    pub fn unreadable(
        &self,
        shard: &ShardTruth,
        number: Option<SequenceNumber>,
        after: Option<SequenceNumber>,
    ) -> Option<usize> {
        let is = |kind: EntryKind| move |index: &usize| shard.entries[*index].kind == kind;
        match number {
            Some(number) => (shard.first_at(&number)..shard.first_after(&number))
                .find(is(EntryKind::Unreadable)),
            None => {
                let after = after.map_or(0, |number| shard.first_after(&number));
                let from = if self.by_time { after } else { self.low.max(after) };
                (from..shard.entries.len()).find(is(EntryKind::UnreadableUnnumbered))
            }
        }
    }
}

/// A record is one of its shard, and shows the number that it has.
pub fn known(shard: &ShardTruth, id: EntryId, number: Option<SequenceNumber>) -> Result<(), Wrong> {
    let Some(known) = shard.entries.get(id.index as usize).filter(|known| known.id == id) else {
        return Err((Guarantee::Ordered, format!("{id:?} is not of {}", shard.name.shard)));
    };
    let shown = (known.kind == EntryKind::Record).then_some(known.number);
    if number == shown {
        Ok(())
    } else {
        Err((Guarantee::Reliable, format!("{id:?} is not numbered {number:?}")))
    }
}

/// It has a number of its own that can be told.
pub fn is_numbered(entry: &EntryTruth) -> bool {
    matches!(entry.kind, EntryKind::Record | EntryKind::Unreadable)
}
