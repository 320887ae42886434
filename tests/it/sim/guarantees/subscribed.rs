//! The promises, as subscribers of whole streams see them.

mod merge;
mod pace;
mod replay;
mod shape;
mod standing;
#[cfg(test)]
mod tests;
mod world;

use crate::sim::guarantees::{Evidence, Violation};

/// Every break that shows.
pub fn breaks(evidence: &Evidence) -> Vec<Violation> {
    if evidence.history.subscribers.is_empty() {
        return Vec::new();
    }
    let mut found = replay::breaks(evidence);
    for (start, run) in evidence.history.runs() {
        found.extend(shape::breaks(evidence, start, run));
        found.extend(pace::breaks(evidence, start, run));
    }
    found
}
