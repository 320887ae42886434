//! Detects repeated records among those with the same sequence number. Pure.
//!
//! AWS gives every record its own number. ScyllaDB's Alternator gives the same number to everything
//! that one batch wrote to a partition, and any upstream may send a record twice. The event id
//! tells these cases apart.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The identity of a record, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordIdentity {
    /// By its event id: two records with the same id are one record.
    Event(u64),
    /// By its whole content: equal records on one page may be two; one that comes again on a later
    /// page is the same.
    Likeness(u64),
}

/// The records seen with the newest number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RepeatFilter {
    met: Vec<u64>,
    /// How many of them came on earlier pages.
    carried: usize,
}

impl RecordIdentity {
    /// The identity of a record with this event id.
    pub(super) fn event(id: impl AsRef<[u8]>) -> Self {
        Self::Event(hash(id.as_ref()))
    }

    /// The identity of a record without an event id, from its content.
    pub(super) fn likeness(of: impl AsRef<[u8]>) -> Self {
        Self::Likeness(hash(of.as_ref()))
    }

    fn value(self) -> u64 {
        match self {
            Self::Event(value) | Self::Likeness(value) => value,
        }
    }
}

impl RepeatFilter {
    /// Starts over with the first record of a new number.
    pub(super) fn begin(&mut self, who: Option<RecordIdentity>) {
        (self.met, self.carried) = (who.map(RecordIdentity::value).into_iter().collect(), 0);
    }

    /// Adds another record of the same number; returns whether it was not seen before.
    pub(super) fn admit(&mut self, who: RecordIdentity) -> bool {
        let among = match who {
            RecordIdentity::Event(_) => &self.met[..],
            RecordIdentity::Likeness(_) => &self.met[..self.carried],
        };
        let is_other = !among.contains(&who.value());
        if is_other {
            self.met.push(who.value());
        }
        is_other
    }

    /// Ends a page: the records seen so far count as from earlier pages.
    pub(super) fn carry(&mut self) {
        self.carried = self.met.len();
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
