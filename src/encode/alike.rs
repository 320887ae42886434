//! Records that bear one number: which of them are others, and which are the same ones again. Pure.
//!
//! AWS numbers every record by itself. ScyllaDB's Alternator gives one number to all that one batch
//! wrote to a partition, and any upstream may send a record a second time. The id of the event
//! tells them apart.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Who a record is, as far as it says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordIdentity {
    /// By the id of its event: two of one id are one record.
    Event(u64),
    /// By all that it holds: two that are like each other may be two, but for one that comes again
    /// on a later page.
    Likeness(u64),
}

/// The records of the newest number that were met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alike {
    met: Vec<u64>,
    /// How many of them came on earlier pages.
    carried: usize,
}

impl RecordIdentity {
    /// Of a record with this event id.
    pub fn event(id: impl AsRef<[u8]>) -> Self {
        Self::Event(hash(id.as_ref()))
    }

    /// Of one without.
    pub fn likeness(of: impl AsRef<[u8]>) -> Self {
        Self::Likeness(hash(of.as_ref()))
    }

    fn value(self) -> u64 {
        match self {
            Self::Event(value) | Self::Likeness(value) => value,
        }
    }
}

impl Alike {
    /// A record of a number that is new.
    pub fn begin(&mut self, who: Option<RecordIdentity>) {
        (self.met, self.carried) = (who.map(RecordIdentity::value).into_iter().collect(), 0);
    }

    /// A further record of the same number: whether it is another one.
    pub fn admit(&mut self, who: RecordIdentity) -> bool {
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

    /// The page is over.
    pub fn carry(&mut self) {
        self.carried = self.met.len();
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
