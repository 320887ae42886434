//! Where a client stands in a shard, as far as it can be known from outside: between which two entries.

use std::time::Duration;

use shardstream::model::{Position as TokenPosition, Timestamp};

use super::super::fake::{EntryKind, EntryTruth, HIDDEN, OLD, ShardRef, ShardTruth, Truth};
use super::super::history::{Opened, Position};

/// LATEST may show what was written this long before it was asked for.
const LATEST_SLACK: Duration = Duration::from_secs(10);

/// A place without a number that AWS gave stays what it was for as long as an iterator lives, less a minute.
pub const SOON: Duration = Duration::from_secs(14 * 60);

/// The same, and the time that AWS may take to give it.
pub const LATE: Duration = Duration::from_secs(17 * 60);

/// Where a client stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// In which shard.
    pub shard: ShardRef,
    /// The next entry is this one or a later one.
    pub low: usize,
    /// The next entry is not a later one than this.
    pub high: usize,
    /// It stands at the horizon since then: what is trimmed soon afterwards is no loss.
    pub floats: Option<Duration>,
    /// The latest moment at which the place is known to have been readable; `None`: nothing is known.
    pub known: Option<Timestamp>,
    /// When AWS gave the place to whoever asked for it, if it is not a number: for a while it stays what it was.
    pub asked: Option<Timestamp>,
    /// A token by time says none before what was created then: that was not asked for.
    pub least: Option<Timestamp>,
    /// An entry was delivered since a position was named.
    pub begun: bool,
    /// A time was asked for, and nothing was delivered yet: an entry whose time cannot be read may come though it lies
    /// before.
    pub by_time: bool,
    /// Nothing was seen yet of the run that began here at this token or session: a first entry elsewhere is the
    /// token's fault.
    pub resumed: bool,
    /// Where the loss began that was told and behind which nothing came yet: a token behind its last number stands there.
    pub lost_from: Option<usize>,
    /// The whole shard is said to be gone: nothing more comes, and tokens stay where reading stood.
    pub gone: bool,
}

impl Standing {
    /// Where a position puts a client.
    pub fn asked(position: Position, opened: &Opened, answered: Duration, truth: &Truth) -> Self {
        let shard = truth.shard(&opened.shard).expect("a shard of the fake");
        let asked = truth.ours(opened.asked);
        // Where empty pages lie about the end, a server that was there may take a place before it for the end; nothing is lost.
        let slack = LATEST_SLACK + if shard.false_tip { HIDDEN } else { Duration::ZERO };
        let earliest = truth.base.plus(opened.asked).minus(slack);
        let (low, high, floats, known) = match position {
            Position::Horizon => (0, 0, true, Some(shard.created)),
            Position::Latest => {
                let low = shard.first_written_after(opened.asked.saturating_sub(slack));
                // Where it goes on by time, what is stamped as early comes, too.
                let by_time = || shard.first_since(truth.floor(earliest));
                let low = if truth.grain > Duration::from_secs(1) { low.min(by_time()) } else { low };
                (low, shard.first_written_after(answered), false, Some(asked))
            }
            Position::At(number) => {
                let at = shard.first_at(&number);
                (at, at, false, None)
            }
            Position::After(number) => (shard.behind(&number), shard.first_after(&number), false, None),
            Position::Since(time) => {
                let time = truth.floor(time);
                let at = shard.first_since(time);
                // Older times are asked as TRIM_HORIZON, knowingly.
                (at, at, asked.since(time) >= OLD, Some(time))
            }
        };
        let least = match position {
            Position::Latest => Some(truth.floor(earliest)),
            Position::Since(time) => Some(truth.floor(time)),
            Position::Horizon | Position::At(_) | Position::After(_) => None,
        };
        let asked = (!matches!(position, Position::At(_) | Position::After(_))).then_some(asked);
        let floats = floats.then_some(opened.asked);
        let (shard, by_time) = (opened.shard.clone(), matches!(position, Position::Since(_)));
        Self { floats, known, asked, least, by_time, ..Self::between(shard, low, high) }
    }

    /// Where a seek puts a client: before the first entry that is new enough, or where the looking ended.
    pub fn sought(time: Timestamp, opened: &Opened, truth: &Truth) -> Self {
        let shard = truth.shard(&opened.shard).expect("a shard of the fake");
        let time = truth.floor(time);
        let high = shard.first_since(time);
        let low = high.min(shard.first_written_after(opened.asked));
        let asked = truth.ours(opened.asked);
        let (known, floats) = (Some(asked), (asked.since(time) >= OLD).then_some(opened.asked));
        let shard = opened.shard.clone();
        Self { floats, known, asked: known, least: Some(time), by_time: true, ..Self::between(shard, low, high) }
    }

    /// Before an entry from `low` to `high`, of which nothing more is known.
    fn between(shard: ShardRef, low: usize, high: usize) -> Self {
        Self {
            shard,
            low,
            high,
            floats: None,
            known: None,
            asked: None,
            least: None,
            begun: false,
            by_time: false,
            resumed: false,
            lost_from: None,
            gone: false,
        }
    }

    /// The latest entry that may come next, at a time.
    pub fn high_at(&self, shard: &ShardTruth, at: Duration) -> usize {
        self.floats.map_or(self.high, |since| self.high.max(shard.horizon(at.min(since + LATE))))
    }

    /// Moves before an entry.
    pub fn stand_before(&mut self, index: usize) {
        (self.low, self.high, self.floats, self.asked, self.lost_from) = (index, index, None, None, None);
    }

    /// Moves behind a loss whose end is not known: to the horizon, as it is at that time.
    pub fn float(&mut self, at: Duration) {
        self.floats = Some(at);
        self.lost_from = self.lost_from.or(Some(self.low));
    }

    /// Knows that the place could be read at a time.
    pub fn readable_at(&mut self, time: Timestamp) {
        self.known = self.known.max(Some(time));
    }

    /// The time that is all that is known of the place.
    pub fn time(&self) -> Option<Timestamp> {
        self.least.filter(|_| self.by_time || !self.begun)
    }

    /// Entries were undelivered and are gone at that time.
    pub fn has_lost(&self, shard: &ShardTruth, at: Duration) -> bool {
        let already = self.floats.map_or(0, |since| shard.horizon(since));
        self.low.max(already) < shard.horizon(at)
    }

    /// Nothing AWS says can exclude a loss at that time.
    pub fn may_have_lost(&self, now: Timestamp) -> bool {
        let is_old = self.known.is_none_or(|known| now.since(known) >= OLD);
        is_old && self.asked.is_none_or(|asked| now.since(asked) >= SOON)
    }

    /// The same, as far as a token with that place can say it. A time says nothing of an entry that has none, and where no
    /// number was delivered yet it is all there is to go by: what was created since comes, perhaps again.
    pub fn as_told(&self, place: Option<(TokenPosition, u16)>, shard: &ShardTruth) -> Self {
        let Some((TokenPosition::AtTimestamp(time), skip)) = place else { return self.clone() };
        let low = if skip > 0 || !self.begun { self.low.min(shard.first_since(time)) } else { self.low };
        Self { low, by_time: true, ..self.clone() }
    }

    /// Why a token's place is not this standing, if it is not.
    pub fn refute(&self, place: (TokenPosition, u16), shard: &ShardTruth, at: Duration) -> Option<String> {
        let (place, skip) = place;
        let numbered = |entry: &EntryTruth| matches!(entry.kind, EntryKind::Record | EntryKind::Unreadable);
        let index = match place {
            // Entries without a number are counted from a place that moves: only that there were such can be said.
            TokenPosition::TrimHorizon if skip > 0 => {
                let kept = shard.entries.get(shard.horizon(at).min(self.low)..self.low).unwrap_or_default();
                let wrong = kept.iter().any(numbered);
                return wrong.then(|| format!("it covers {skip} without a number, but entry {} is next", self.low));
            }
            // A place at which the horizon has arrived is the horizon.
            TokenPosition::TrimHorizon if self.floats.is_some() || self.low <= shard.horizon(at) => return None,
            TokenPosition::TrimHorizon => return Some(format!("it says the horizon, but entry {} is next", self.low)),
            TokenPosition::AtTimestamp(time) => {
                let first = shard.first_since(time);
                // Whoever asked for LATEST before may have the same place, if nothing lies between but entries without a
                // number, which the token counts.
                let long_before = |least| {
                    let between = shard.entries.get(first..shard.first_since(least)).unwrap_or_default();
                    between.len() > usize::from(skip) || between.iter().any(numbered)
                };
                if self.least.is_some_and(long_before) && !self.begun {
                    return Some(format!("it says {time}, which is entry {first}, long before what was asked for"));
                }
                let late = first + usize::from(skip) > self.high_at(shard, at);
                // Numbers are exact, times are not: once a number is known a time would repeat records.
                return (late || (self.begun && skip == 0 && first < self.low))
                    .then(|| format!("it says {time}, which is entry {first}, but entry {} is next", self.low));
            }
            TokenPosition::AtSequenceNumber(number) => shard.first_at(&number) + usize::from(skip),
            TokenPosition::AfterSequenceNumber(number) => shard.behind(&number) + usize::from(skip),
        };
        let from = self.lost_from.map_or(self.low, |lost| lost.min(self.low));
        let fits = (from..=self.high_at(shard, at)).contains(&index);
        (!fits).then(|| format!("it says {place:?}+{skip}, which is entry {index}, but entry {} is next", self.low))
    }
}
