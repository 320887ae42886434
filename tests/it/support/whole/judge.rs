//! The promises of whole streams, checked over what subscribers saw and the fake's own log.
//!
//! Every check is shown bad histories in its tests, and a bug of the model server each: a check that cannot fail proves
//! nothing. Where the contract leaves a choice, both are right here.

mod merge;
mod pace;
mod replay;
mod shape;
mod standing;
#[cfg(test)]
mod tests;
mod world;

use std::fmt;
use std::time::Duration;

use super::super::fake::Truth;
use super::super::guarantees::{self, Bounds, Budget, Gauge, Guarantee};
use super::history::{History, Point};

/// All that one scenario leaves behind.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What clients saw.
    pub history: History,
    /// What there was to be seen, and every upstream call.
    pub truth: Truth,
    /// What the servers kept, from time to time.
    pub gauges: Vec<Gauge>,
    /// What each of them may keep.
    pub bounds: Bounds,
    /// What they may ask of AWS, all together.
    pub budget: Budget,
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

/// Checks every promise; the first broken one is the answer.
pub fn check_all(evidence: &Evidence) -> Result<(), Violation> {
    breaks(evidence).into_iter().next().map_or(Ok(()), Err)
}

/// Every break that shows.
pub fn breaks(evidence: &Evidence) -> Vec<Violation> {
    let mut found = replay::breaks(evidence);
    for (start, run) in evidence.history.runs() {
        found.extend(shape::breaks(evidence, start, run));
        found.extend(pace::breaks(evidence, start, run));
    }
    found.extend(upstream(evidence).err());
    found
}

/// What was asked of AWS and what was kept is judged as for single shards.
fn upstream(evidence: &Evidence) -> Result<(), Violation> {
    let Evidence { truth, gauges, bounds, budget, .. } = evidence;
    let single = guarantees::Evidence {
        history: Default::default(),
        truth: truth.clone(),
        gauges: gauges.clone(),
        bounds: *bounds,
        budget: *budget,
        unstalled: None,
    };
    let told = |broken: guarantees::Violation| Violation::new(broken.guarantee, None, broken.what);
    guarantees::mannered(&single).map_err(told)?;
    guarantees::bounded(&single).map_err(told)
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
