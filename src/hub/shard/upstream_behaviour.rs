//! How an upstream delivers the records of a shard. Pure.

use crate::model::Now;

use super::position::{ReadPosition, SAFE_AGE};

/// How the upstream delivers the records of this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamBehaviour {
    /// It supports AT_TIMESTAMP.
    pub at_timestamp: bool,
    /// Several records may share one sequence number.
    pub shared_numbers: bool,
    /// It is ScyllaDB's Alternator, which never reports trimmed records, and sorts the numbers of
    /// one moment in its own way.
    pub is_scylla: bool,
}

impl UpstreamBehaviour {
    /// The least number of records to request in one call. Alternator writes up to a hundred items
    /// under one number, and returns none of them if fewer are requested.
    pub fn least_records(self) -> u32 {
        if self.is_scylla { 128 } else { 1 }
    }

    /// Whether records after the position may be gone without the upstream reporting it.
    pub fn may_have_trimmed(self, position: &ReadPosition, now: Now) -> bool {
        let is_told = position.is_exact() && !self.is_scylla;
        let made =
            position.number_asked().filter(|_| self.is_scylla).and_then(|number| number.made());
        let is_young = made.is_some_and(|made| now.wall.since(made) < SAFE_AGE);
        !is_told && !position.is_safe(now.wall) && !is_young
    }
}
