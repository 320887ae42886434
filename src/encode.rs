//! Records to the protobuf bytes of `ChangeRecord`, written once for everybody.
//!
//! Here, and only here, model records and generated messages meet. A page comes as model records,
//! which are encoded by prost, or as the JSON that the upstream sent, which [`transcode`] writes
//! anew without building either. Which entries of a page are kept is decided once for both.

mod alike;
mod batch;
mod entry;
mod message;
mod transcode;

use crate::model::{Fetched, Page, SequenceNumber, Timestamp};

pub use batch::{Batch, Chunk, Entry, LogOffset, ReadLimit};
pub use message::{timestamp, view_type};

use alike::Alike;
use batch::{BatchBuilder, Placing};
use entry::{EntryContent, IntoEntry};

/// The tag of field 1, length-delimited: `records` in every answer that has them.
const RECORDS_TAG: u8 = 0x0a;

/// What to make of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFilter {
    /// Where the iterator stood.
    pub from: Stand,
    /// Entries up to here came before and are dropped.
    pub known: LogOffset,
    /// Entries created before this are dropped, until one is not.
    pub drop_before: Option<Timestamp>,
    /// Numbers of one moment are one ([`SequenceNumber::moment`]).
    pub by_moment: bool,
}

/// Where an iterator stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// Behind this entry.
    pub order: LogOffset,
    /// It was asked for at the entry's number, so that nothing of that number is passed over: the
    /// first of them comes again.
    again: bool,
    /// What it met of the entry's number.
    alike: Alike,
}

/// How an entry follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryNumbering {
    /// It has a number of its own.
    New,
    /// It has the number of the one before.
    Alike,
    /// It has none.
    Unnumbered,
}

/// A page that was read.
#[derive(Debug)]
pub struct PageRead {
    /// What it added.
    pub batch: Batch,
    /// Where the iterator stands now: behind the newest entry of the page, dropped ones included.
    pub stands: Stand,
    /// The newest entry that was dropped for its time.
    pub dropped: Option<LogOffset>,
    /// How many entries the upstream sent.
    pub entries: usize,
    /// How many of them came before, or were numbered lower than one before them, which no upstream
    /// should do; they are dropped.
    pub misplaced: usize,
    /// Where the next page is; `None`: the shard is closed and this was its last.
    pub next_iterator: Option<String>,
    /// The page was larger than may be kept: how many entries of it were used.
    pub cut_to: Option<usize>,
    /// How many entries of a raw page were not understood at once, and read again in the slow way.
    pub reread: usize,
    /// The `Date` of the upstream's answer, where it had one.
    pub date: Option<Timestamp>,
}

impl Stand {
    /// Behind an entry, where what follows it comes next.
    pub fn behind(order: LogOffset) -> Self {
        Self { order, ..Self::default() }
    }

    /// Behind the first entry with this number, which comes again.
    pub fn at(number: SequenceNumber) -> Self {
        Self { order: (Some(number), 0), again: true, ..Self::default() }
    }

    /// How the entry with this number follows, and where it lies; `None` for one that came before,
    /// which no upstream should send.
    fn next(&self, number: Option<SequenceNumber>) -> Option<(EntryNumbering, LogOffset)> {
        let (newest, count) = self.order;
        let after = (newest, count.saturating_add(1));
        match number {
            None => Some((EntryNumbering::Unnumbered, after)),
            Some(number) if newest.is_some_and(|newest| number < newest) => None,
            Some(number) if newest != Some(number) || self.again => {
                Some((EntryNumbering::New, (Some(number), 0)))
            }
            Some(_) => Some((EntryNumbering::Alike, after)),
        }
    }
}

/// Encodes a page into a batch, in the upstream's order. `Err` says why a raw body is no page of
/// records.
///
/// Entries that came before (after a renewed iterator) and those older than the time looked for are
/// dropped. A page that costs more than `most_bytes` is cut there, if it can be read on from the
/// last entry kept. A record that alone is larger than that is unreadable.
pub fn encode(
    fetched: Fetched,
    asked: PageFilter,
    most_bytes: usize,
) -> Result<PageRead, &'static str> {
    let date = fetched.date();
    let raw = match fetched {
        Fetched::Page(page, _) => {
            return Ok(PageRead { date, ..encode_page(page, asked, most_bytes) });
        }
        Fetched::Raw(raw) => raw,
    };
    let Ok(read) = transcode::page(&raw) else {
        let page = (raw.reread)(&raw.body)?;
        let reread = page.entries.len();
        return Ok(PageRead { reread, date, ..encode_page(page, asked, most_bytes) });
    };
    let builder = BatchBuilder::over(read.slab);
    Ok(PageRead {
        reread: read.reread,
        date,
        ..choose(read.entries, read.next_iterator, builder, asked, most_bytes)
    })
}

fn encode_page(page: Page, asked: PageFilter, most_bytes: usize) -> PageRead {
    choose(page.entries, page.next_iterator, BatchBuilder::default(), asked, most_bytes)
}

/// Puts those entries into the batch that are to be kept.
fn choose<E: IntoEntry>(
    all: Vec<E>,
    next_iterator: Option<String>,
    mut builder: BatchBuilder,
    asked: PageFilter,
    most_bytes: usize,
) -> PageRead {
    let mut stands = asked.from;
    let entries = all.len();
    let too_old = asked.drop_before.map_or(0, |before| too_old(&all, before));
    let mut cut_to = None;
    let mut misplaced = 0;
    let mut dropped = None;
    builder.reserve(entries);
    let number_of = |entry: &E| match entry.sequence_number() {
        Some(number) if asked.by_moment => Some(number.moment()),
        number => number,
    };
    let mut rest = all.into_iter().enumerate().peekable();
    while let Some((index, entry)) = rest.next() {
        let (own, number) = (entry.sequence_number(), number_of(&entry));
        let Some((step, next)) = stands.next(number) else {
            misplaced += 1;
            continue;
        };
        // Only where another record of its number comes, or may come on the next page, is it asked
        // who a record is.
        let meets_alike = rest.peek().is_none_or(|(_, next)| number_of(next) == number);
        let is_asked = step == EntryNumbering::Alike || step == EntryNumbering::New && meets_alike;
        let is_dropped = next <= asked.known || index < too_old;
        let created_at = entry.created_at();
        let ready = (is_asked || !is_dropped).then(|| EntryContent::new(entry, most_bytes));
        let who = ready.as_ref().filter(|_| is_asked).map(|ready| ready.identity(&builder));
        match step {
            EntryNumbering::Alike if who.is_some_and(|who| !stands.alike.admit(who)) => {
                misplaced += 1;
                continue;
            }
            EntryNumbering::New => stands.alike.begin(who),
            EntryNumbering::Alike | EntryNumbering::Unnumbered => {}
        }
        match ready.filter(|_| !is_dropped) {
            None => dropped = (next > asked.known).then_some(next).or(dropped),
            Some(ready) => {
                let is_full = !builder.is_empty() && builder.cost_with(ready.len()) > most_bytes;
                if is_full && stands.order.0.is_some() {
                    cut_to = Some(index);
                    break;
                }
                ready.add(
                    &mut builder,
                    Placing { order: next, alike: step == EntryNumbering::Alike, created_at },
                    own,
                );
            }
        }
        (stands.order, stands.again) = (next, false);
    }
    stands.alike.carry();
    let batch = builder.build();
    PageRead {
        batch,
        stands,
        dropped,
        entries,
        misplaced,
        next_iterator,
        cut_to,
        reread: 0,
        date: None,
    }
}

/// How many entries at the beginning of the page come before the first that is new enough. One
/// without a time is as old as what follows it, so that nothing is kept before something that is
/// dropped.
fn too_old<E: IntoEntry>(entries: &[E], before: Timestamp) -> usize {
    let first_new = entries
        .iter()
        .position(|entry| entry.created_at().is_some_and(|created| created >= before));
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
        PageEntry::Unreadable(Unreadable {
            sequence_number,
            created_at: None,
            cause: "broken".into(),
        })
    }

    fn read(entries: Vec<PageEntry>, drop_before: Option<i64>, most_bytes: usize) -> PageRead {
        let drop_before = drop_before.and_then(|seconds| Timestamp::new(seconds, 0));
        let cut =
            PageFilter { from: Stand::default(), known: (None, 0), drop_before, by_moment: false };
        encode(Page { entries, next_iterator: Some("next".into()) }.into(), cut, most_bytes)
            .expect("a page")
    }

    fn kept(read: &PageRead) -> Vec<String> {
        read.batch
            .entries()
            .iter()
            .map(|entry| entry.order.0.expect("numbered").to_string())
            .collect()
    }

    #[test]
    fn an_undated_entry_is_as_old_as_what_follows_it() {
        let entries = || {
            vec![record(1, 10), undated(2), record(3, 20), undated(4), record(5, 30), record(6, 25)]
        };
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
        assert_eq!(some.stands.order, some.batch.entries().last().expect("one always fits").order);
    }
}
