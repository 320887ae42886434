//! Records as they are kept and sent: encoded once, immutable, cut by slicing.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{SequenceNumber, Timestamp};

/// Where an entry lies in its shard: the newest number at or before it, and how many entries without a number since.
/// Entries of one lane rise strictly.
pub type Order = (Option<SequenceNumber>, u16);

/// A piece of a slab keeps all of it in memory for as long as its client takes to read: at most so many times its own size. A smaller
/// piece is copied.
const MOST_HELD: usize = 4;

/// A run of entries of one shard. The readable ones lie encoded in one slab, each as field 1 of an answer.
#[derive(Debug, Default)]
pub struct Batch {
    slab: Bytes,
    entries: Vec<Entry>,
    bad_bytes: usize,
    hold: Option<Box<dyn Any + Send + Sync>>,
}

/// The index of one entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it lies.
    pub order: Order,
    /// Its creation, where AWS said it.
    pub created_at: Option<Timestamp>,
    /// Where its bytes end in the slab; equal to the previous end for an unreadable one.
    end: u32,
    /// Why it cannot be read, if it cannot.
    pub unreadable: Option<Arc<str>>,
}

/// A run of readable entries cut from a batch: a valid beginning of any answer with records.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The encoded records.
    pub bytes: Bytes,
    /// How many they are; at least one.
    pub count: usize,
    /// Where the first of them lies.
    pub first: Order,
    /// Where the last of them lies.
    pub last: Order,
    /// The newest creation among them.
    pub created_at: Option<Timestamp>,
}

/// How much a chunk may hold.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Records, at least one.
    pub records: usize,
    /// Bytes; one record always fits.
    pub bytes: usize,
    /// Only records created before this.
    pub before: Option<Timestamp>,
}

impl Batch {
    /// What one entry of the index costs in memory.
    const ENTRY_COST: usize = size_of::<Entry>();

    /// The entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the batch costs in memory, in bytes.
    pub fn cost(&self) -> usize {
        self.slab.len() + self.bad_bytes + self.entries.len() * Self::ENTRY_COST
    }

    /// Keeps `hold` for as long as the batch is kept: the reservation of its memory.
    pub fn hold(&mut self, hold: impl Any + Send + Sync) {
        self.hold = Some(Box::new(hold));
    }

    /// Cuts as many readable entries as fit, from entry `from` on; `None` when that one is unreadable, too new or absent.
    pub fn cut(&self, from: usize, room: Room) -> Option<Chunk> {
        let start = self.start_of(from);
        let mut end_index = from;
        let mut created_at = None;
        for entry in self.entries.get(from..)?.iter().take(room.records.max(1)) {
            let too_new = room.before.is_some_and(|before| entry.created_at.is_some_and(|created| created >= before));
            let too_much = end_index > from && entry.end as usize - start > room.bytes;
            if entry.unreadable.is_some() || too_new || too_much {
                break;
            }
            created_at = created_at.max(entry.created_at);
            end_index += 1;
        }
        let last = self.entries[from..end_index].last()?;
        Some(Chunk {
            bytes: self.piece(start..last.end as usize),
            count: end_index - from,
            first: self.entries[from].order,
            last: last.order,
            created_at,
        })
    }

    fn piece(&self, at: Range<usize>) -> Bytes {
        match at.len() < self.slab.len() / MOST_HELD {
            true => Bytes::copy_from_slice(&self.slab[at]),
            false => self.slab.slice(at),
        }
    }

    fn start_of(&self, index: usize) -> usize {
        index.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |entry| entry.end as usize)
    }
}

/// Builds a batch entry by entry, over a slab of records that are already encoded or are appended as they come.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Kept records, and behind them what may still be kept.
    slab: Vec<u8>,
    /// Where the kept records end in the slab.
    kept: usize,
    entries: Vec<Entry>,
    bad_bytes: usize,
}

impl BatchBuilder {
    /// A builder that chooses among the encoded records of `slab`.
    pub fn over(slab: Vec<u8>) -> Self {
        Self { slab, ..Self::default() }
    }

    /// What it would cost with one more entry of so many bytes.
    pub fn cost_with(&self, bytes: usize) -> usize {
        self.kept + self.bad_bytes + bytes + (self.entries.len() + 1) * Batch::ENTRY_COST
    }

    /// Whether it has no entry yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes room for so many more entries.
    pub fn reserve(&mut self, entries: usize) {
        self.entries.reserve_exact(entries);
    }

    /// Keeps the record that lies there in the slab, behind all that were kept before.
    pub fn keep(&mut self, at: Range<usize>, order: Order, created_at: Option<Timestamp>) {
        let length = at.len();
        if at.start != self.kept {
            self.slab.copy_within(at, self.kept);
        }
        self.kept += length;
        self.push(order, created_at, None);
    }

    /// Appends a record, encoded by `write`, and keeps it. Not over a slab with others behind those that are kept.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>), order: Order, created_at: Option<Timestamp>) {
        write(&mut self.slab);
        self.kept = self.slab.len();
        self.push(order, created_at, None);
    }

    /// Adds a record that cannot be read.
    pub fn unreadable(&mut self, order: Order, created_at: Option<Timestamp>, cause: &str) {
        self.bad_bytes += cause.len();
        self.push(order, created_at, Some(cause.into()));
    }

    /// The batch.
    pub fn build(mut self) -> Batch {
        self.slab.truncate(self.kept);
        self.slab.shrink_to_fit();
        self.entries.shrink_to_fit();
        Batch { slab: self.slab.into(), entries: self.entries, bad_bytes: self.bad_bytes, hold: None }
    }

    fn push(&mut self, order: Order, created_at: Option<Timestamp>, unreadable: Option<Arc<str>>) {
        let end = u32::try_from(self.kept).expect("a page is cut long before 4 GiB");
        self.entries.push(Entry { order, created_at, end, unreadable });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_piece_keeps_no_slab_and_a_large_one_is_not_copied() {
        let mut builder = BatchBuilder::default();
        for _ in 0..100 {
            builder.append(|slab| slab.extend([7; 10]), (None, 1), None);
        }
        let batch = builder.build();
        let cut = |records| batch.cut(0, Room { records, bytes: usize::MAX, before: None }).expect("readable").bytes;
        let (small, large) = (cut(24), cut(25));
        assert_eq!((small.len(), large.len()), (240, 250));
        assert!(small.is_unique(), "its own");
        assert!(!large.is_unique(), "the slab's");
    }
}
