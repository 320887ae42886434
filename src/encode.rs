//! Records to the protobuf bytes of `ChangeRecord`, written once for everybody.
//!
//! Here, and only here, model records and generated messages meet.

mod batch;
mod message;

use prost::Message;

use crate::model::{Page, PageEntry, Timestamp};

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
    let mut drop_before = asked.drop_before;
    let entries = page.entries.len();
    let mut cut_to = None;
    let mut misplaced = 0;
    for (index, entry) in page.entries.into_iter().enumerate() {
        let Some(next) = next_order(order, &entry) else {
            misplaced += 1;
            continue;
        };
        let created_at = entry.created_at();
        let too_old = drop_before.is_some_and(|before| created_at.is_some_and(|created| created < before));
        if next <= asked.known || too_old {
            order = next;
            continue;
        }
        if builder.cost() >= most_bytes && order.0.is_some() {
            cut_to = Some(index);
            break;
        }
        drop_before = None;
        add(&mut builder, next, entry, most_bytes);
        order = next;
    }
    PageRead { batch: builder.build(), tail: order, entries, misplaced, next_iterator: page.next_iterator, cut_to }
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

fn add(builder: &mut BatchBuilder, order: Order, entry: PageEntry, most_bytes: usize) {
    let created_at = entry.created_at();
    match entry {
        PageEntry::Record(record) => {
            let message = message::change_record(*record);
            let length = message.encoded_len();
            if length > most_bytes {
                let cause =
                    format!("the record is {length} bytes large, more than the {most_bytes} that are kept of a page");
                return builder.unreadable(order, created_at, &cause);
            }
            let slab = builder.slab();
            slab.push(RECORDS_TAG);
            prost::encoding::encode_varint(length as u64, slab);
            message.encode_raw(slab);
            builder.readable(order, created_at);
        }
        PageEntry::Unreadable(unreadable) => builder.unreadable(order, created_at, &unreadable.cause),
    }
}
