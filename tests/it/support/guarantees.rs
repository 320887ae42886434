//! The promises that concern one shard, one checking function each, run over the history of every scenario.
//!
//! They compare what clients saw with the fake's own log ([`Truth`]). Every one of them is shown bad histories in its
//! tests: a check that cannot fail proves nothing.

mod bounded;
mod delivery;
mod isolated;
mod mannered;
mod replay;
mod standing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use super::fake::Truth;
use super::history::{History, Point};

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
    pub at: Option<Point>,
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
    Honest,
    Bookmarkable,
    Bounded,
    Isolated,
    Mannered,
}

/// A checking function.
pub type Check = fn(&Evidence) -> Result<(), Violation>;

/// All of them.
pub const CHECKS: [Check; 9] = [ordered, reliable, once, resumable, honest, bookmarkable, bounded, isolated, mannered];

/// Checks every promise; the first broken one is the answer.
pub fn check_all(evidence: &Evidence) -> Result<(), Violation> {
    CHECKS.iter().try_for_each(|check| check(evidence))
}

/// Within one run, records come in the order the shard holds them.
pub fn ordered(evidence: &Evidence) -> Result<(), Violation> {
    delivery::in_order(&evidence.history)?;
    replay::first(evidence, Guarantee::Ordered)
}

/// Between two records none was skipped but those named by a gap or as unreadable; the last page of a closed shard
/// comes; whoever follows gets everything; a position begins where it says.
pub fn reliable(evidence: &Evidence) -> Result<(), Violation> {
    replay::first(evidence, Guarantee::Reliable)
}

/// Within one run no record comes twice, repeats aside; a repeat is what it repeats.
pub fn once(evidence: &Evidence) -> Result<(), Violation> {
    delivery::no_record_twice(&evidence.history)?;
    delivery::repeats_are_the_same(&evidence.history)
}

/// What a token did not cover comes, from the first of it on.
pub fn resumable(evidence: &Evidence) -> Result<(), Violation> {
    replay::first(evidence, Guarantee::Resumable)
}

/// Loss by trimming is reported before anything newer, and only where there is or can be loss; ends say why.
pub fn honest(evidence: &Evidence) -> Result<(), Violation> {
    replay::first(evidence, Guarantee::Honest)
}

/// What a token covers does not come again, and what it says is where its message left off.
pub fn bookmarkable(evidence: &Evidence) -> Result<(), Violation> {
    replay::first(evidence, Guarantee::Bookmarkable)
}

/// No message and no gauge passes its limit.
pub fn bounded(evidence: &Evidence) -> Result<(), Violation> {
    bounded::messages(&evidence.history)?;
    bounded::gauges(&evidence.gauges, &evidence.bounds)
}

/// Stalled clients change neither order nor content nor pace of the others.
pub fn isolated(evidence: &Evidence) -> Result<(), Violation> {
    match &evidence.unstalled {
        Some(unstalled) => isolated::compare(&evidence.history, unstalled),
        None => Ok(()),
    }
}

/// Upstream calls keep inside the budget.
pub fn mannered(evidence: &Evidence) -> Result<(), Violation> {
    mannered::in_flight(&evidence.truth.calls, &evidence.budget)?;
    mannered::rates(&evidence.truth.calls, &evidence.budget)
}

impl Violation {
    fn new(guarantee: Guarantee, at: impl Into<Option<Point>>, what: impl Into<String>) -> Self {
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
