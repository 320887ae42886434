//! How an upstream gives the records of a shard. Pure.

use crate::model::Now;

use super::position::{ReadPosition, SAFE_AGE};

/// What is known of how the upstream gives this shard's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamBehaviour {
    /// It knows AT_TIMESTAMP.
    pub at_timestamp: bool,
    /// Several records may bear one number.
    pub shared_numbers: bool,
    /// It is ScyllaDB's Alternator, which never says that something is trimmed, and sorts numbers
    /// of one moment in a way of its own.
    pub is_scylla: bool,
}

impl UpstreamBehaviour {
    /// The least that is asked for in one call. Alternator writes up to a hundred items under one
    /// number, and gives none of them to whom asks for fewer.
    pub fn least_records(self) -> u32 {
        if self.is_scylla { 128 } else { 1 }
    }

    /// Whether what lies behind the spot may be gone, and the upstream would not say so.
    pub fn may_have_trimmed(self, position: &ReadPosition, now: Now) -> bool {
        let is_told = position.is_exact() && !self.is_scylla;
        let made =
            position.number_asked().filter(|_| self.is_scylla).and_then(|number| number.made());
        let is_young = made.is_some_and(|made| now.wall.since(made) < SAFE_AGE);
        !is_told && !position.is_safe(now.wall) && !is_young
    }
}
