//! Learned shapes: records of one table repeat everything but their texts and numbers, so what
//! stands between these is learned once, and compared and copied from then on.
//!
//! A record that the general transcoder ([`super::record`]) accepted is walked once more by
//! [`learn`], which cuts it into steps: JSON that must come next, the protobuf to write for it, and
//! the text or number that follows. [`graph`] joins the steps of all records learned so far;
//! [`run`] follows them through a record, and gives up where none fits. Whatever is not known goes
//! to the general transcoder, so a record never depends on what was learned: it is written the same
//! with shapes and without them (docs/adr/0022).
//!
//! Pure: a page and what is known go in, records and what is known now come out.

mod constants;
mod graph;
mod learn;
mod learn_item;
mod lengths;
mod pace;
mod run;
mod state;
mod step;
mod text;
mod variables;

use std::sync::Arc;

use super::ParsedEntry;
use graph::Graph;
use pace::Pace;
use variables::LastTime;

/// How many bytes after its end a slab needs for a record to be written into it at full speed.
pub(super) const SLACK: usize = 512;

/// What is known of the records of one stream, and whether knowing it pays. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    graph: Arc<Graph>,
    pace: Pace,
    last_time: LastTime,
}

/// A record that was known.
pub(super) struct Known<'a> {
    /// The record, written at the given place.
    pub entry: ParsedEntry,
    /// Where it ends in the slab.
    pub end: usize,
    /// The JSON after it.
    pub rest: &'a [u8],
}

impl Shapes {
    /// What these shapes take in memory, in bytes.
    pub fn cost(&self) -> usize {
        self.graph.cost()
    }

    /// Takes over how well others did, which began as these, but not what they learned.
    pub fn keep_only_pace(&mut self, others: Self) {
        *self = Self { graph: self.graph.clone(), ..others };
    }

    /// Whether the next record is tried.
    #[inline]
    pub(super) fn is_tried(&self) -> bool {
        self.pace.is_tried()
    }

    /// Notes that so many records were not tried.
    pub(super) fn skip(&mut self, records: usize) {
        self.pace.skip(records);
    }

    /// Writes the record that `json` begins with into `slab` at `start`; `None` if it is not known.
    /// What is in the slab from `start` on is undefined then.
    #[inline]
    pub(super) fn run<'a>(
        &mut self,
        json: &'a [u8],
        slab: &mut [u8],
        start: usize,
    ) -> Option<Known<'a>> {
        let known = run::run(self, json, slab, start);
        self.pace.tried(known.is_some());
        known
    }

    /// Learns a record that was not known and that the general transcoder accepted.
    pub(super) fn learn(&mut self, record: &[u8]) {
        if self.graph.is_full() || !self.pace.may_learn() {
            return;
        }
        if let Ok(lesson) = learn::learn(record) {
            Arc::make_mut(&mut self.graph).add(&lesson);
        }
    }
}
