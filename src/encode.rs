//! Records to the protobuf bytes of `ChangeRecord`, written once for everybody.
//!
//! Here, and only here, model records and generated messages meet. A page comes as model records, which are encoded by
//! prost, or as the JSON that the upstream sent, which [`transcode`] writes anew without building either. Which entries of
//! a page are kept is decided once for both.

mod batch;
mod message;
mod ready;
mod transcode;

use crate::model::{Fetched, Page, SequenceNumber, Timestamp};

pub use batch::{Batch, Chunk, Entry, Order, Room};
pub use message::{timestamp, view_type};

use batch::BatchBuilder;
use ready::{Placed, Ready};

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
    /// How many entries of a raw page were not understood at once, and read again in the slow way.
    pub reread: usize,
}

/// Encodes a page into a batch, in the upstream's order. `Err` says why a raw body is no page of records.
///
/// Entries that came before (after a renewed iterator) and those older than the time looked for are dropped. A page that
/// costs more than `most_bytes` is cut there, if it can be read on from the last entry kept. A record that alone is
/// larger than that is unreadable.
pub fn encode(fetched: Fetched, asked: Cut, most_bytes: usize) -> Result<PageRead, &'static str> {
    let raw = match fetched {
        Fetched::Page(page) => return Ok(encode_page(page, asked, most_bytes)),
        Fetched::Raw(raw) => raw,
    };
    let Ok(read) = transcode::page(&raw) else {
        let page = (raw.reread)(&raw.body)?;
        let reread = page.entries.len();
        return Ok(PageRead { reread, ..encode_page(page, asked, most_bytes) });
    };
    let builder = BatchBuilder::over(read.slab);
    Ok(PageRead { reread: read.reread, ..choose(read.entries, read.next_iterator, builder, asked, most_bytes) })
}

fn encode_page(page: Page, asked: Cut, most_bytes: usize) -> PageRead {
    choose(page.entries, page.next_iterator, BatchBuilder::default(), asked, most_bytes)
}

/// Puts those entries into the batch that are to be kept.
fn choose<E: Placed>(
    all: Vec<E>,
    next_iterator: Option<String>,
    mut builder: BatchBuilder,
    asked: Cut,
    most_bytes: usize,
) -> PageRead {
    let mut order = asked.from;
    let entries = all.len();
    let too_old = asked.drop_before.map_or(0, |before| too_old(&all, before));
    let mut cut_to = None;
    let mut misplaced = 0;
    let mut dropped = None;
    builder.reserve(entries);
    for (index, entry) in all.into_iter().enumerate() {
        let Some(next) = next_order(order, entry.sequence_number()) else {
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
    PageRead { batch: builder.build(), tail: order, dropped, entries, misplaced, next_iterator, cut_to, reread: 0 }
}

/// Where the entry with this number lies; `None` for a number that came before, which no upstream should send.
fn next_order(order: Order, number: Option<SequenceNumber>) -> Option<Order> {
    match number {
        Some(number) if order.0.is_some_and(|newest| number < newest) => None,
        Some(number) if order.0 == Some(number) => Some(order).filter(|order| order.1 == 0),
        Some(number) => Some((Some(number), 0)),
        None => Some((order.0, order.1.saturating_add(1))),
    }
}

/// How many entries at the beginning of the page come before the first that is new enough. One without a time is as old as
/// what follows it, so that nothing is kept before something that is dropped.
fn too_old<E: Placed>(entries: &[E], before: Timestamp) -> usize {
    let first_new = entries.iter().position(|entry| entry.created_at().is_some_and(|created| created >= before));
    let upto = &entries[..first_new.unwrap_or(entries.len())];
    upto.iter().rposition(|entry| entry.created_at().is_some()).map_or(0, |last_old| last_old + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PageEntry, Record, SequenceNumber, Unreadable};

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
        encode(Page { entries, next_iterator: Some("next".into()) }.into(), cut, most_bytes).expect("a page")
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
