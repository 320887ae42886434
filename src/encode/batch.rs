//! Batches: the encoded records of a page, immutable; messages are slices of them.

use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::held_bytes::{HeldBytes, HeldFor, HeldMemory};
use crate::model::{SequenceNumber, Timestamp};

/// The order of an entry in its shard: the newest number at or before it, and how many entries came
/// since the first with that number (entries without a number or with the same one). Within one
/// lane it rises strictly.
pub type LogOffset = (Option<SequenceNumber>, u16);

/// A slice of a slab keeps the whole slab in memory until its client has read it: at most this many
/// times the slice's own size. A smaller slice is copied.
const MOST_HELD: usize = 4;

/// Consecutive entries of one shard. The readable ones are encoded in one slab, each as field 1 of
/// a response.
#[derive(Debug, Default)]
pub struct Batch {
    slab: Bytes,
    entries: Vec<Entry>,
    bad_bytes: usize,
    hold: Option<Box<dyn Any + Send + Sync>>,
    lending: Option<Lending>,
}

/// Counts slices of a slab while clients hold them, even after the batch was dropped.
#[derive(Debug)]
struct Lending {
    held: HeldBytes,
    /// The slab as lent now, shared by all its slices.
    lent: Mutex<Weak<Lent>>,
}

/// A slab of which slices are out. Counted once, until the last slice is dropped.
#[derive(Debug)]
struct Lent {
    slab: Bytes,
    _hold: HeldMemory,
}

/// The owner that slices of a lent slab keep alive.
struct Borrowed(Arc<Lent>);

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        &self.0.slab
    }
}

impl Lending {
    /// Returns the slab, from which slices can be cut.
    fn lend(&self, slab: &Bytes) -> Bytes {
        let mut lent = self.lent.lock();
        let whole = lent.upgrade().unwrap_or_else(|| {
            let hold = self.held.hold(HeldFor::Records, slab.len());
            let whole = Arc::new(Lent { slab: slab.clone(), _hold: hold });
            *lent = Arc::downgrade(&whole);
            whole
        });
        Bytes::from_owner(Borrowed(whole))
    }
}

/// The index of one entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The entry's order in the shard.
    pub order: LogOffset,
    /// It has the same sequence number as the entry before it.
    pub alike: bool,
    /// Its creation time; `None` if AWS sent none.
    pub created_at: Option<Timestamp>,
    /// The offset in the slab where its bytes end; for an unreadable entry, the end of the previous
    /// one.
    end: u32,
    /// Why it cannot be read; `None` if it can.
    pub unreadable: Option<Arc<Unread>>,
}

/// An entry that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its own sequence number, if it has one.
    pub number: Option<SequenceNumber>,
    /// Why it cannot be read.
    pub cause: String,
}

/// The metadata of an entry apart from its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placing {
    /// As [`Entry::order`].
    pub order: LogOffset,
    /// As [`Entry::alike`].
    pub alike: bool,
    /// As [`Entry::created_at`].
    pub created_at: Option<Timestamp>,
}

impl Entry {
    /// Its own sequence number; `None` if it has none.
    pub fn number(&self) -> Option<SequenceNumber> {
        self.order.0.filter(|_| self.order.1 == 0 || self.alike)
    }
}

/// Consecutive readable entries cut from a batch: valid first bytes of any response with records.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The encoded records.
    pub bytes: Bytes,
    /// How many records; at least one.
    pub count: usize,
    /// The sequence number of the first record; `None` if it has none.
    pub first: Option<SequenceNumber>,
    /// The order of the last record.
    pub last: LogOffset,
    /// Records with the same number as the last one did not fit.
    pub parts: bool,
    /// The newest creation time among the records; `None` if none has one.
    pub created_at: Option<Timestamp>,
}

/// How much a chunk may hold.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// The most records; at least one is always allowed.
    pub records: usize,
    /// The most bytes; one record always fits.
    pub bytes: usize,
    /// Only records created before this; `None`: any.
    pub before: Option<Timestamp>,
}

impl Batch {
    /// Whether it has readable records and none of them has a creation time.
    pub fn is_timeless(&self) -> bool {
        let mut records = self.entries.iter().filter(|entry| entry.unreadable.is_none()).peekable();
        records.peek().is_some() && records.all(|entry| entry.created_at.is_none())
    }

    /// What one entry of the index costs in memory, in bytes.
    const ENTRY_COST: usize = size_of::<Entry>();

    /// The entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the batch costs in memory, in bytes.
    pub fn cost(&self) -> usize {
        self.slab.len() + self.bad_bytes + self.entries.len() * Self::ENTRY_COST
    }

    /// Keeps `hold`, the reservation of the batch's memory, for as long as the batch lives.
    pub fn hold(&mut self, hold: impl Any + Send + Sync) {
        self.hold = Some(Box::new(hold));
    }

    /// From now on, chunks cut from the batch are counted in `held` until they are dropped.
    pub fn lend_from(&mut self, held: HeldBytes) {
        self.lending = Some(Lending { held, lent: Mutex::default() });
    }

    /// Cuts as many readable entries as fit, from entry `from` on; `None` when that entry is
    /// unreadable, too new or absent.
    ///
    /// Records with the same number stay together where they fit: a client that stores numbers
    /// instead of tokens could not resume at the rest of them.
    pub fn cut(&self, from: usize, room: ReadLimit) -> Option<Chunk> {
        let start = self.start_of(from);
        let mut end_index = from;
        for entry in self.entries.get(from..)?.iter().take(room.records.max(1)) {
            let too_new = room
                .before
                .is_some_and(|before| entry.created_at.is_some_and(|created| created >= before));
            let too_much = end_index > from && entry.end as usize - start > room.bytes;
            if entry.unreadable.is_some() || too_new || too_much {
                break;
            }
            end_index += 1;
        }
        let mut parts =
            self.entries.get(end_index).is_some_and(|next| next.alike && next.unreadable.is_none());
        if parts {
            let first = self.entries[from..end_index].iter().rposition(|entry| !entry.alike);
            if let Some(first) = first.filter(|first| *first > 0) {
                (end_index, parts) = (from + first, false);
            }
        }
        let last = self.entries[from..end_index].last()?;
        Some(Chunk {
            bytes: self.piece(start..last.end as usize),
            count: end_index - from,
            first: self.entries[from].number(),
            last: last.order,
            parts,
            created_at: self.entries[from..end_index]
                .iter()
                .map(|entry| entry.created_at)
                .max()
                .flatten(),
        })
    }

    fn piece(&self, at: Range<usize>) -> Bytes {
        let is_copied = at.len() < self.slab.len() / MOST_HELD;
        match (&self.lending, is_copied) {
            (None, true) => Bytes::copy_from_slice(&self.slab[at]),
            (None, false) => self.slab.slice(at),
            (Some(lending), true) => {
                lending.held.keep(HeldFor::Records, Bytes::copy_from_slice(&self.slab[at]))
            }
            (Some(lending), false) => lending.lend(&self.slab).slice(at),
        }
    }

    fn start_of(&self, index: usize) -> usize {
        index
            .checked_sub(1)
            .and_then(|before| self.entries.get(before))
            .map_or(0, |entry| entry.end as usize)
    }
}

/// Builds a batch entry by entry, over a slab of records that are already encoded or are appended
/// as they come.
#[derive(Debug, Default)]
pub(super) struct BatchBuilder {
    /// Kept records, followed by records that may still be kept.
    slab: Vec<u8>,
    /// Where the kept records end in the slab, in bytes.
    kept: usize,
    entries: Vec<Entry>,
    bad_bytes: usize,
}

impl BatchBuilder {
    /// A builder that keeps some of the records already encoded in `slab`.
    pub(super) fn over(slab: Vec<u8>) -> Self {
        Self { slab, ..Self::default() }
    }

    /// The batch's cost in bytes with one more entry of `bytes` bytes.
    pub(super) fn cost_with(&self, bytes: usize) -> usize {
        self.kept + self.bad_bytes + bytes + (self.entries.len() + 1) * Batch::ENTRY_COST
    }

    /// Whether it has no entry yet.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of the slab in this range.
    pub(super) fn bytes(&self, at: Range<usize>) -> &[u8] {
        &self.slab[at]
    }

    /// Reserves room for `entries` more entries.
    pub(super) fn reserve(&mut self, entries: usize) {
        self.entries.reserve_exact(entries);
    }

    /// Keeps the record at this range of the slab, moved after all records kept before.
    pub(super) fn keep(&mut self, at: Range<usize>, placing: Placing) {
        let length = at.len();
        if at.start != self.kept {
            self.slab.copy_within(at, self.kept);
        }
        self.kept += length;
        self.push(placing, None);
    }

    /// Appends a record, encoded by `write`, and keeps it. Only for a slab without records after
    /// those that are kept.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>), placing: Placing) {
        write(&mut self.slab);
        self.kept = self.slab.len();
        self.push(placing, None);
    }

    /// Adds a record that cannot be read.
    pub(super) fn unreadable(&mut self, placing: Placing, what: Unread) {
        self.bad_bytes += what.cause.len() + size_of::<Unread>();
        self.push(placing, Some(Arc::new(what)));
    }

    /// Finishes the batch.
    pub(super) fn build(mut self) -> Batch {
        self.slab.truncate(self.kept);
        self.slab.shrink_to_fit();
        self.entries.shrink_to_fit();
        Batch {
            slab: self.slab.into(),
            entries: self.entries,
            bad_bytes: self.bad_bytes,
            hold: None,
            lending: None,
        }
    }

    fn push(&mut self, placing: Placing, unreadable: Option<Arc<Unread>>) {
        let end = u32::try_from(self.kept).expect("a page is cut long before 4 GiB");
        let Placing { order, alike, created_at } = placing;
        self.entries.push(Entry { order, alike, created_at, end, unreadable });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_piece_keeps_no_slab_and_a_large_one_is_not_copied() {
        let mut builder = BatchBuilder::default();
        for _ in 0..100 {
            builder.append(
                |slab| slab.extend([7; 10]),
                Placing { order: (None, 1), alike: false, created_at: None },
            );
        }
        let batch = builder.build();
        let cut = |records| {
            batch
                .cut(0, ReadLimit { records, bytes: usize::MAX, before: None })
                .expect("readable")
                .bytes
        };
        let (small, large) = (cut(24), cut(25));
        assert_eq!((small.len(), large.len()), (240, 250));
        assert!(small.is_unique(), "its own");
        assert!(!large.is_unique(), "the slab's");
    }

    #[test]
    fn what_bears_one_number_stays_together_where_it_fits() {
        let numbers = [1, 2, 2, 2, 3, 3, 4];
        let mut builder = BatchBuilder::default();
        let mut newest = (0, 0);
        for number in numbers {
            newest = if newest.0 == number { (number, newest.1 + 1) } else { (number, 0) };
            let order = (SequenceNumber::parse(&number.to_string()).ok(), newest.1);
            builder.append(
                |slab| slab.push(7),
                Placing { order, alike: newest.1 > 0, created_at: None },
            );
        }
        let batch = builder.build();
        let count = |from, records| {
            batch.cut(from, ReadLimit { records, bytes: 100, before: None }).expect("some").count
        };
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(|records| count(0, records)), [1, 1, 1, 4, 4, 6, 7]);
        // Records with one number that do not fit together are cut all the same.
        assert_eq!([1, 2, 3, 4].map(|records| count(1, records)), [1, 2, 3, 3]);
        assert_eq!([1, 2, 3].map(|records| count(2, records)), [1, 2, 2]);
    }

    #[test]
    fn what_clients_have_is_counted_once_and_until_the_last_of_it_is_gone() {
        let held = HeldBytes::new(1 << 20, crate::metrics::Metrics::new());
        let mut builder = BatchBuilder::default();
        for _ in 0..100 {
            builder.append(
                |slab| slab.extend([7; 10]),
                Placing { order: (None, 1), alike: false, created_at: None },
            );
        }
        let mut batch = builder.build();
        batch.lend_from(held.clone());
        let cut = |records| {
            batch
                .cut(0, ReadLimit { records, bytes: usize::MAX, before: None })
                .expect("readable")
                .bytes
        };
        let (first, second, copied) = (cut(25), cut(50), cut(10));
        assert_eq!(held.used(), 1_000 + 100, "the slab once, and the copy");
        drop((first, copied));
        assert_eq!(held.used(), 1_000);
        drop(batch);
        assert_eq!(held.used(), 1_000, "the window has forgotten it, a client has not");
        drop(second);
        assert_eq!(held.used(), 0);
    }
}
