//! The promises, one checking function each, run over the history of every scenario: what clients
//! of single shards saw, and what subscribers of whole streams saw (`subscribed`).
//!
//! They compare that with the fake's own log ([`Truth`]). Every one of them is shown bad histories
//! in its tests, and bugs of the model server: a check that cannot fail proves nothing. Where the
//! contract leaves a choice, both are right here.

mod bounded;
mod cadence;
mod delivery;
mod isolated;
mod listed;
mod mannered;
pub mod place;
mod replay;
mod standing;
mod subscribed;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::sim::fake::{HIDDEN, ShardTruth, Truth};
use crate::sim::history::{At, History};

pub use bounded::{Bounds, Gauge};
pub use mannered::Budget;

/// All that one scenario leaves behind.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What clients saw.
    pub history: History,
    /// What there was to be seen, and every upstream call.
    pub truth: Truth,
    /// What the server kept, from time to time.
    pub gauges: Vec<Gauge>,
    /// What it may keep.
    pub bounds: Bounds,
    /// What it may ask of AWS.
    pub budget: Budget,
    /// The same scenario without its stalled clients.
    pub unstalled: Option<Unstalled>,
    /// How the servers read, as far as promises depend on it.
    pub reading: Reading,
}

/// How the servers read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Between two looks at a shard that has nothing new.
    pub idle: Duration,
    /// The longest an upstream call takes when nothing fails.
    pub latency: Duration,
    /// Pages may be empty although records follow: an empty page then proves nothing.
    pub false_empties: bool,
    /// Nothing fails upstream: what depends on how fast reading is can be checked.
    pub calm: bool,
}

impl Reading {
    /// How old a record can be that empty pages hide from a server that was at the tip just before.
    /// One place gives four of them at most. A server that looks seldom takes pauses of two
    /// intervals and some seconds for looking all the time, so each may hide what was written since
    /// the look before it.
    fn hidden(&self) -> Duration {
        HIDDEN.max(self.idle * 10)
    }

    /// The same for one shard. Of what is older still, one empty page says nothing to anybody.
    pub fn hidden_by(&self, shard: &ShardTruth) -> Duration {
        let hidden = self.hidden();
        if shard.false_tip.is_some_and(|age| age <= hidden) { hidden } else { Duration::ZERO }
    }
}

/// The scenario that [`isolated`] compares with.
#[derive(Clone, Debug)]
pub struct Unstalled {
    /// What its clients saw.
    pub history: History,
    /// How much later a record may come when others stall.
    pub slack: Duration,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which.
    pub guarantee: Guarantee,
    /// Where it shows.
    pub at: Option<At>,
    /// What is wrong.
    pub what: String,
}

/// The promises, by the names they have everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    Ordered,
    Reliable,
    Once,
    Resumable,
    Lineage,
    Honest,
    Bookmarkable,
    Bounded,
    Isolated,
    Mannered,
}

/// Checks every promise; the first broken one is the answer.
pub fn check_all(evidence: &Evidence) -> Result<(), Violation> {
    breaks(evidence).into_iter().next().map_or(Ok(()), Err)
}

/// Every broken promise, each where it breaks first.
pub fn breaks(evidence: &Evidence) -> Vec<Violation> {
    let shown = shown(evidence);
    Guarantee::ALL.iter().filter_map(|guarantee| guarantee.check(evidence, &shown).err()).collect()
}

/// What shows when everything is gone through again beside the fake's log.
fn shown(evidence: &Evidence) -> Vec<Violation> {
    let mut shown = replay::breaks(evidence);
    shown.extend(subscribed::breaks(evidence));
    shown
}

/// Within one run, records come in the order the shard holds them.
pub fn ordered(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Ordered.check(evidence, &shown(evidence))
}

/// Between two records none was skipped but those named by a gap or as unreadable; the last page of
/// a closed shard comes; whoever follows gets everything; a position begins where it says.
pub fn reliable(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Reliable.check(evidence, &shown(evidence))
}

/// Within one run no record comes twice, repeats aside; a repeat is what it repeats.
pub fn once(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Once.check(evidence, &shown(evidence))
}

/// What a token did not cover comes, from the first of it on.
pub fn resumable(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Resumable.check(evidence, &shown(evidence))
}

/// No record of a child comes before its parents were delivered to their end, or their loss was
/// told; a table's next stream comes after all of the one before.
pub fn lineage(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Lineage.check(evidence, &shown(evidence))
}

/// Loss by trimming is reported before anything newer, and only where there is or can be loss; ends
/// say why.
pub fn honest(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Honest.check(evidence, &shown(evidence))
}

/// What a token covers does not come again, and what it says is where its message left off.
pub fn bookmarkable(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Bookmarkable.check(evidence, &shown(evidence))
}

/// No message and no gauge passes its limit.
pub fn bounded(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Bounded.check(evidence, &shown(evidence))
}

/// Stalled clients change neither order nor content nor pace of the others.
pub fn isolated(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Isolated.check(evidence, &shown(evidence))
}

/// Upstream calls keep inside the budget.
pub fn mannered(evidence: &Evidence) -> Result<(), Violation> {
    Guarantee::Mannered.check(evidence, &shown(evidence))
}

impl Evidence {
    /// Of a history, where nothing else was looked at.
    pub fn of(history: History, truth: Truth) -> Self {
        let bounds = Bounds {
            window_bytes: 10,
            shard_window_bytes: 10,
            sessions: 10,
            streams: 10,
            lanes: 10,
        };
        let budget =
            Budget { in_flight: 2, shard_calls: 5.0, describe_calls: 5.0, list_calls: 3.0 };
        let second = Duration::from_secs(1);
        let reading =
            Reading { idle: second, latency: second / 10, false_empties: false, calm: true };
        Self { history, truth, gauges: Vec::new(), bounds, budget, unstalled: None, reading }
    }
}

impl Guarantee {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Ordered,
        Self::Reliable,
        Self::Once,
        Self::Resumable,
        Self::Lineage,
        Self::Honest,
        Self::Bookmarkable,
        Self::Bounded,
        Self::Isolated,
        Self::Mannered,
    ];

    /// What a history shows by itself, then what showed beside the log.
    fn check(self, evidence: &Evidence, shown: &[Violation]) -> Result<(), Violation> {
        let Evidence { history, truth, gauges, bounds, budget, unstalled, .. } = evidence;
        match self {
            Self::Ordered => delivery::in_order(history)?,
            Self::Once => {
                delivery::no_record_twice(history)?;
                delivery::repeats_are_the_same(history)?;
            }
            Self::Bounded => {
                bounded::messages(history)?;
                bounded::gauges(gauges, bounds)?;
            }
            Self::Isolated => {
                if let Some(unstalled) = unstalled {
                    isolated::compare(history, unstalled)?;
                }
            }
            Self::Mannered => {
                mannered::in_flight(&truth.calls, budget)?;
                mannered::rates(&truth.calls, budget)?;
            }
            Self::Honest => {
                cadence::heartbeats(history, truth)?;
                listed::families(history, truth)?;
                listed::openings(history, truth)?;
            }
            Self::Reliable | Self::Resumable | Self::Lineage | Self::Bookmarkable => {}
        }
        shown.iter().find(|violation| violation.guarantee == self).cloned().map_or(Ok(()), Err)
    }
}

impl Violation {
    pub fn new(guarantee: Guarantee, at: impl Into<Option<At>>, what: impl Into<String>) -> Self {
        Self { guarantee, at: at.into(), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {:?}: {}", self.guarantee, self.what)?;
        match self.at {
            Some(point) => write!(f, " ({point})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Violation {}
