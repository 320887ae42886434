//! Where a client stands in a shard, as far as it can be known from outside: between which two
//! entries.

use std::time::Duration;

use shardstream::model::{Position as TokenPosition, Timestamp};

use super::Evidence;
use super::place::{LATEST_SLACK, Place, is_numbered};
use crate::sim::fake::{OLD, ShardRef, ShardTruth, Truth};
use crate::sim::history::{Opened, Position};

/// Where the client of a single shard stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// In which shard.
    pub shard: ShardRef,
    /// Where in it.
    pub place: Place,
    /// The whole shard is said to be gone: nothing more comes, and tokens stay where reading stood.
    pub gone: bool,
}

impl Standing {
    /// Where a position puts a client.
    pub fn asked(
        position: Position,
        opened: &Opened,
        answered: Duration,
        Evidence { truth, reading, .. }: &Evidence,
    ) -> Self {
        let shard = truth.shard(&opened.shard).expect("a shard of the fake");
        let asked = truth.ours(opened.asked);
        // Where empty pages lie about the end, a server that was there may take a place before it
        // for the end; nothing is lost.
        let slack = LATEST_SLACK + reading.hidden_by(shard);
        let earliest = truth.base.plus(opened.asked).minus(slack);
        let (low, high, floats, known) = match position {
            Position::Horizon => (0, 0, true, Some(shard.created)),
            Position::Latest => {
                let low = shard.first_written_after(opened.asked.saturating_sub(slack));
                // Where it goes on by time, what is stamped as early comes, too.
                let by_time = || shard.first_since(truth.floor(earliest));
                let low =
                    if truth.grain > Duration::from_secs(1) { low.min(by_time()) } else { low };
                (low, shard.first_written_after(answered), false, Some(asked))
            }
            Position::At(number) => {
                let at = shard.first_at(&number);
                (at, at, false, None)
            }
            Position::After(number) => {
                (shard.behind(&number), shard.first_after(&number), false, None)
            }
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
        let given = (!matches!(position, Position::At(_) | Position::After(_))).then_some(asked);
        let floats = floats.then_some(opened.asked);
        let by_time = matches!(position, Position::Since(_));
        let place = Place { low, high, floats, known, given, least, by_time, ..Place::default() };
        Self { shard: opened.shard.clone(), place, gone: false }
    }

    /// Where a seek puts a client: before the first entry that is new enough, or where the looking
    /// ended.
    pub fn sought(time: Timestamp, opened: &Opened, truth: &Truth) -> Self {
        let shard = truth.shard(&opened.shard).expect("a shard of the fake");
        let time = truth.floor(time);
        let high = shard.first_since(time);
        let low = high.min(shard.first_written_after(opened.asked));
        let asked = truth.ours(opened.asked);
        let (known, floats) = (Some(asked), (asked.since(time) >= OLD).then_some(opened.asked));
        let (least, by_time) = (Some(time), true);
        let place =
            Place { low, high, floats, known, given: known, least, by_time, ..Place::default() };
        Self { shard: opened.shard.clone(), place, gone: false }
    }

    /// The time that is all that is known of the place.
    pub fn time(&self) -> Option<Timestamp> {
        self.place.least.filter(|_| self.place.by_time || !self.place.begun)
    }

    /// Where it stands, as far as a token with that place can say it. A time says nothing of an
    /// entry that has none, and where no number was delivered yet it is all there is to go by: what
    /// was created since comes, perhaps again.
    pub fn as_told(&self, place: Option<(TokenPosition, u16)>, shard: &ShardTruth) -> Self {
        let Some((TokenPosition::AtTimestamp(time), skip)) = place else { return self.clone() };
        let Place { low, begun, .. } = self.place;
        let low = if skip > 0 || !begun { low.min(shard.first_since(time)) } else { low };
        Self { place: Place { low, by_time: true, ..self.place.clone() }, ..self.clone() }
    }

    /// Why a token's place is not this standing, if it is not.
    pub fn refute(
        &self,
        place: (TokenPosition, u16),
        shard: &ShardTruth,
        at: Duration,
    ) -> Option<String> {
        let ((place, skip), stands) = (place, &self.place);
        let index = match place {
            // Entries without a number are counted from a place that moves: only that there were
            // such can be said.
            TokenPosition::TrimHorizon if skip > 0 => {
                let kept = shard
                    .entries
                    .get(shard.horizon(at).min(stands.low)..stands.low)
                    .unwrap_or_default();
                let wrong = kept.iter().any(is_numbered);
                return wrong.then(|| {
                    format!("it covers {skip} without a number, but entry {} is next", stands.low)
                });
            }
            // A place at which the horizon has arrived is the horizon.
            TokenPosition::TrimHorizon
                if stands.floats.is_some() || stands.low <= shard.horizon(at) =>
            {
                return None;
            }
            TokenPosition::TrimHorizon => {
                return Some(format!("it says the horizon, but entry {} is next", stands.low));
            }
            TokenPosition::AtTimestamp(time) => {
                let first = shard.first_since(time);
                // Whoever asked for LATEST before may have the same place, if nothing lies between
                // but entries without a number, which the token counts.
                let long_before = |least| {
                    let between =
                        shard.entries.get(first..shard.first_since(least)).unwrap_or_default();
                    between.len() > usize::from(skip) || between.iter().any(is_numbered)
                };
                if stands.least.is_some_and(long_before) && !stands.begun {
                    return Some(format!(
                        "it says {time}, which is entry {first}, long before what was asked for"
                    ));
                }
                let late = first + usize::from(skip) > stands.high_at(shard, at);
                // Numbers are exact, times are not: once a number is known a time would repeat
                // records.
                return (late || (stands.begun && skip == 0 && first < stands.low)).then(|| {
                    format!(
                        "it says {time}, which is entry {first}, but entry {} is next",
                        stands.low
                    )
                });
            }
            TokenPosition::AtSequenceNumber(number) => shard.first_at(&number) + usize::from(skip),
            TokenPosition::AfterSequenceNumber(number) => shard.behind(&number) + usize::from(skip),
        };
        let from = stands.lost_from.map_or(stands.low, |lost| lost.min(stands.low));
        let fits = (from..=stands.high_at(shard, at)).contains(&index);
        (!fits).then(|| {
            format!(
                "it says {place:?}+{skip}, which is entry {index}, but entry {} is next",
                stands.low
            )
        })
    }
}
