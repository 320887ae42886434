//! Encodes records as the protobuf bytes of `ChangeRecord`, once for all clients.
//!
//! Model records and generated messages meet only here. A page comes as model records, which prost
//! encodes, or as the JSON that the upstream sent, which [`transcode`] converts directly, without
//! building either. Both share the code that decides which entries of a page are kept.

mod batch;
mod entry;
mod record_message;
mod repeats;
mod transcode;

use crate::model::{Fetched, Page, SequenceNumber, Timestamp};

pub use batch::{Batch, Chunk, Entry, LogOffset, ReadLimit, Unread};
pub use record_message::{timestamp, view_type};
pub use transcode::Shapes;

use batch::{BatchBuilder, Placing};
use entry::{EntryContent, IntoEntry};
use repeats::RepeatFilter;

/// The tag of field 1, length-delimited: `records` in every response that has them.
const RECORDS_TAG: u8 = 0x0a;

/// Where a page begins, and which of its entries are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFilter {
    /// The iterator's position before the page.
    pub from: Stand,
    /// Entries up to this one came before and are dropped.
    pub known: LogOffset,
    /// Entries created before this are dropped, up to the first that is not; `None`: none are.
    pub drop_before: Option<Timestamp>,
    /// Sequence numbers of one moment count as the same ([`SequenceNumber::moment`]).
    pub by_moment: bool,
}

/// The position of an iterator in its shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The iterator is behind this entry.
    pub order: LogOffset,
    /// The iterator was requested at the entry's number, so that nothing of that number is skipped:
    /// the first entry with that number comes again.
    again: bool,
    /// The records with the entry's number that were seen.
    alike: RepeatFilter,
}

/// How an entry's number relates to that of the entry before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryNumbering {
    /// It has a new number.
    New,
    /// It has the same number as the entry before it.
    Alike,
    /// It has no number.
    Unnumbered,
}

/// The result of encoding a page.
#[derive(Debug)]
pub struct PageRead {
    /// The entries of the page that were kept.
    pub batch: Batch,
    /// The iterator's position after the page: after its newest entry, dropped ones included.
    pub stands: Stand,
    /// The newest entry that was dropped for its creation time; `None`: none was.
    pub dropped: Option<LogOffset>,
    /// How many entries the upstream sent.
    pub entries: usize,
    /// How many of them came before, or have a lower number than an entry before them, which no
    /// upstream should send; they are dropped.
    pub misplaced: usize,
    /// The iterator of the next page; `None`: the shard is closed and this was its last page.
    pub next_iterator: Option<String>,
    /// How many entries were used of a page larger than the limit; `None`: it was not cut.
    pub cut_to: Option<usize>,
    /// How many entries of a raw page the transcoder refused; they were read by the slow reader.
    pub reread: usize,
    /// How many entries of a raw page were written by a shape that was known.
    pub known: usize,
    /// The `Date` header of the upstream's response; `None`: it had none.
    pub date: Option<Timestamp>,
}

impl Stand {
    /// An iterator after an entry: the entries that follow it come next.
    pub fn behind(order: LogOffset) -> Self {
        Self { order, ..Self::default() }
    }

    /// An iterator at this number: the first entry with this number comes again.
    pub fn at(number: SequenceNumber) -> Self {
        Self { order: (Some(number), 0), again: true, ..Self::default() }
    }

    /// How an entry with this number follows, and its order; `None` for an entry that came before,
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

/// Encodes a page into a batch, in the upstream's order. `Err` says why a raw body is not a page of
/// records.
///
/// Entries that came before (after a renewed iterator) and entries older than the requested time
/// are dropped. A page that costs more than `most_bytes` is cut there, if reading can resume at the
/// last entry kept. A record that alone is larger than `most_bytes` becomes unreadable.
///
/// `shapes` is what is known of the records of the page's stream, and takes up what is learned; it
/// makes a raw page cheaper, and never another one.
pub fn encode(
    fetched: Fetched,
    asked: PageFilter,
    most_bytes: usize,
    shapes: Option<&mut Shapes>,
) -> Result<PageRead, &'static str> {
    let date = fetched.date();
    let raw = match fetched {
        Fetched::Page(page, _) => {
            return Ok(PageRead { date, ..encode_page(page, asked, most_bytes) });
        }
        Fetched::Raw(raw) => raw,
    };
    let Ok(read) = transcode::page(&raw, shapes) else {
        let page = (raw.reread)(&raw.body)?;
        let reread = page.entries.len();
        return Ok(PageRead { reread, date, ..encode_page(page, asked, most_bytes) });
    };
    let builder = BatchBuilder::over(read.slab);
    Ok(PageRead {
        reread: read.reread,
        known: read.known,
        date,
        ..choose(read.entries, read.next_iterator, builder, asked, most_bytes)
    })
}

fn encode_page(page: Page, asked: PageFilter, most_bytes: usize) -> PageRead {
    choose(page.entries, page.next_iterator, BatchBuilder::default(), asked, most_bytes)
}

/// Puts the entries to be kept into the batch.
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
        // A record's identity is computed only if another record with its number follows, or may
        // follow on the next page.
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
                let alike = step == EntryNumbering::Alike;
                ready.add(&mut builder, Placing { order: next, alike, created_at }, own);
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
        known: 0,
        date: None,
    }
}

/// How many entries precede the first one that is new enough. An entry without a time counts as old
/// as the entry that follows it, so that none is kept before one that is dropped.
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
        let page = Page { entries, next_iterator: Some("next".into()) };
        encode(page.into(), cut, most_bytes, None).expect("a page")
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
