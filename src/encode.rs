//! Records to the protobuf bytes of `ChangeRecord`, written once for everybody.
//!
//! Here, and only here, model records and generated messages meet.

mod batch;
mod message;

use prost::Message;

use crate::model::{Page, PageEntry, Timestamp};
use crate::pb;

pub use batch::{Batch, Chunk, Entry, Order, Room};
pub use message::{timestamp, view_type};

use batch::BatchBuilder;

/// The tag of field 1, length-delimited: `records` in every answer that has them.
const RECORDS_TAG: u8 = 0x0a;

/// What to make of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the iterator stood.
    pub from: Order,
    /// Entries up to here came before and are dropped.
    pub known: Order,
    /// Entries created before this are dropped, until one is not.
    pub drop_before: Option<Timestamp>,
}

/// A page that was read.
#[derive(Debug)]
pub struct PageRead {
    /// What it added.
    pub batch: Batch,
    /// The newest entry of the page, dropped ones included.
    pub tail: Order,
    /// The newest entry that was dropped for its time.
    pub dropped: Option<Order>,
    /// How many entries the upstream sent.
    pub entries: usize,
    /// How many of them were numbered lower than one before them, which no upstream should do; they are dropped.
    pub misplaced: usize,
    /// Where the next page is; `None`: the shard is closed and this was its last.
    pub next_iterator: Option<String>,
    /// The page was larger than may be kept: how many entries of it were used.
    pub cut_to: Option<usize>,
}

/// Encodes a page into a batch, in the upstream's order.
///
/// Entries that came before (after a renewed iterator) and those older than the time looked for are dropped. A page that
/// costs more than `most_bytes` is cut there, if it can be read on from the last entry kept. A record that alone is
/// larger than that is unreadable.
pub fn encode(page: Page, asked: Cut, most_bytes: usize) -> PageRead {
    let mut builder = BatchBuilder::default();
    let mut order = asked.from;
    let entries = page.entries.len();
    let too_old = asked.drop_before.map_or(0, |before| too_old(&page.entries, before));
    let mut cut_to = None;
    let mut misplaced = 0;
    let mut dropped = None;
    for (index, entry) in page.entries.into_iter().enumerate() {
        let Some(next) = next_order(order, &entry) else {
            misplaced += 1;
            continue;
        };
        if next <= asked.known || index < too_old {
            dropped = (next > asked.known).then_some(next).or(dropped);
            order = next;
            continue;
        }
        let created_at = entry.created_at();
        let ready = Ready::new(entry, most_bytes);
        if !builder.is_empty() && builder.cost_with(ready.len()) > most_bytes && order.0.is_some() {
            cut_to = Some(index);
            break;
        }
        ready.add(&mut builder, next, created_at);
        order = next;
    }
    PageRead {
        batch: builder.build(),
        tail: order,
        dropped,
        entries,
        misplaced,
        next_iterator: page.next_iterator,
        cut_to,
    }
}

/// Where the entry lies; `None` for a number that came before, which no upstream should send.
fn next_order(order: Order, entry: &PageEntry) -> Option<Order> {
    match entry.sequence_number() {
        Some(number) if order.0.is_some_and(|newest| number < newest) => None,
        Some(number) if order.0 == Some(number) => Some(order).filter(|order| order.1 == 0),
        Some(number) => Some((Some(number), 0)),
        None => Some((order.0, order.1.saturating_add(1))),
    }
}

/// How many entries at the beginning of the page come before the first that is new enough. One without a time is as old as
/// what follows it, so that nothing is kept before something that is dropped.
fn too_old(entries: &[PageEntry], before: Timestamp) -> usize {
    let time = |entry: &PageEntry| entry.created_at();
    let first_new = entries.iter().position(|entry| time(entry).is_some_and(|created| created >= before));
    let upto = &entries[..first_new.unwrap_or(entries.len())];
    upto.iter().rposition(|entry| time(entry).is_some()).map_or(0, |last_old| last_old + 1)
}

/// An entry on its way into a batch.
enum Ready {
    Readable(Box<pb::ChangeRecord>, usize),
    Unreadable(String),
}

impl Ready {
    fn new(entry: PageEntry, most_bytes: usize) -> Self {
        let record = match entry {
            PageEntry::Record(record) => record,
            PageEntry::Unreadable(unreadable) => return Self::Unreadable(unreadable.cause),
        };
        let message = message::change_record(*record);
        let length = message.encoded_len();
        if length > most_bytes {
            let more =
                format!("the record is {length} bytes large, more than the {most_bytes} that are kept of a page");
            return Self::Unreadable(more);
        }
        Self::Readable(Box::new(message), length)
    }

    /// What it adds to the batch, in bytes; the tag and the length of a record are at most eleven.
    fn len(&self) -> usize {
        match self {
            Self::Readable(_, length) => length + 11,
            Self::Unreadable(cause) => cause.len(),
        }
    }

    fn add(self, builder: &mut BatchBuilder, order: Order, created_at: Option<Timestamp>) {
        match self {
            Self::Readable(message, length) => {
                let slab = builder.slab();
                slab.push(RECORDS_TAG);
                prost::encoding::encode_varint(length as u64, slab);
                message.encode_raw(slab);
                builder.readable(order, created_at);
            }
            Self::Unreadable(cause) => builder.unreadable(order, created_at, &cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Record, SequenceNumber, Unreadable};

    fn record(number: u64, seconds: i64) -> PageEntry {
        let sequence_number = SequenceNumber::parse(&number.to_string()).ok();
        PageEntry::Record(Box::new(Record {
            sequence_number,
            created_at: Timestamp::new(seconds, 0),
            ..Record::default()
        }))
    }

    fn undated(number: u64) -> PageEntry {
        let sequence_number = SequenceNumber::parse(&number.to_string()).ok();
        PageEntry::Unreadable(Unreadable { sequence_number, created_at: None, cause: "broken".into() })
    }

    fn read(entries: Vec<PageEntry>, drop_before: Option<i64>, most_bytes: usize) -> PageRead {
        let drop_before = drop_before.and_then(|seconds| Timestamp::new(seconds, 0));
        let cut = Cut { from: (None, 0), known: (None, 0), drop_before };
        encode(Page { entries, next_iterator: Some("next".into()) }, cut, most_bytes)
    }

    fn kept(read: &PageRead) -> Vec<String> {
        read.batch.entries().iter().map(|entry| entry.order.0.expect("numbered").to_string()).collect()
    }

    #[test]
    fn an_undated_entry_is_as_old_as_what_follows_it() {
        let entries = || vec![record(1, 10), undated(2), record(3, 20), undated(4), record(5, 30), record(6, 25)];
        assert_eq!(kept(&read(entries(), Some(30), 1 << 20)), ["4", "5", "6"]);
        assert_eq!(kept(&read(entries(), Some(99), 1 << 20)), Vec::<String>::new());
        assert_eq!(kept(&read(vec![record(1, 10), undated(2)], Some(30), 1 << 20)), ["2"]);
        assert_eq!(kept(&read(entries(), None, 1 << 20)).len(), 6);
    }

    #[test]
    fn a_page_is_cut_before_it_costs_too_much() {
        let all = read((1..=50).map(|number| record(number, 1)).collect(), None, 1 << 20);
        let most = all.batch.cost() / 3;
        let some = read((1..=50).map(|number| record(number, 1)).collect(), None, most);
        assert!(some.batch.cost() <= most);
        assert_eq!(some.cut_to, Some(some.batch.entries().len()));
        assert_eq!(some.tail, some.batch.entries().last().expect("one always fits").order);
    }
}
