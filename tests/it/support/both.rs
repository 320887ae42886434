//! A page read in both ways: as a raw body by the encoder, and as the page that the SDK's parser or
//! the lenient reader makes of it. They have to say the same.
//!
//! Stands alone: the fuzz target and the benchmark use it too.

use prost::Message;
use serde::Deserialize;
use serde_json::value::RawValue;
use shardstream::encode::{LogOffset, PageFilter, PageRead, ReadLimit, Stand, encode};
use shardstream::model::{Fetched, Page, RawPage, SequenceNumber, Timestamp};
use shardstream::pb;
use shardstream::upstream::aws::read_page;

/// Any answer with records, as a client reads it.
#[derive(Clone, PartialEq, Message)]
pub struct Records {
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<pb::ChangeRecord>,
}

/// Everything that clients and the hub see of a page.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub entries: Vec<(LogOffset, Option<Timestamp>, Result<pb::ChangeRecord, String>)>,
    tail: LogOffset,
    dropped: Option<LogOffset>,
    count: usize,
    misplaced: usize,
    next_iterator: Option<String>,
    cut_to: Option<usize>,
}

impl Told {
    fn is_all_readable(&self) -> bool {
        self.entries.iter().all(|(_, _, record)| record.is_ok())
    }
}

/// What is asked of a page, and how large it may become.
pub type Asked = (PageFilter, usize);

/// Everything.
pub fn all() -> Asked {
    (
        PageFilter {
            from: Stand::default(),
            known: (None, 0),
            drop_before: None,
            by_moment: false,
        },
        64 << 20,
    )
}

/// Several wishes: what came before and what is too old is dropped, and the page is cut.
pub fn wishes() -> Vec<Asked> {
    let number = |text: &str| (SequenceNumber::parse(text).ok(), 0);
    let (everything, enough) = all();
    vec![
        (everything.clone(), enough),
        (
            PageFilter {
                from: Stand::behind(number("2")),
                known: number("5"),
                ..everything.clone()
            },
            enough,
        ),
        (
            PageFilter { drop_before: Timestamp::new(1_700_000_000, 0), ..everything.clone() },
            enough,
        ),
        (everything.clone(), 1_500),
        (PageFilter { drop_before: Timestamp::new(5, 0), ..everything }, 150),
    ]
}

/// Reads the raw body.
pub fn fast(body: &[u8], (cut, most): Asked) -> Result<PageRead, &'static str> {
    let raw = RawPage { body: body.to_vec().into(), date: None, reread: read_page };
    encode(Fetched::Raw(raw), cut, most, None)
}

/// What came of a page.
pub fn told(read: PageRead) -> Told {
    let one = ReadLimit { records: 1, bytes: usize::MAX, before: None };
    let entries = read.batch.entries().iter().enumerate().map(|(at, entry)| {
        let record = match &entry.unreadable {
            Some(bad) => Err(bad.cause.clone()),
            None => {
                let chunk = read.batch.cut(at, one).expect("readable");
                let mut records = Records::decode(chunk.bytes).expect("protobuf").records;
                assert_eq!(records.len(), 1);
                Ok(records.remove(0))
            }
        };
        (entry.order, entry.created_at, record)
    });
    Told {
        entries: entries.collect(),
        tail: read.stands.order,
        dropped: read.dropped,
        count: read.entries,
        misplaced: read.misplaced,
        next_iterator: read.next_iterator,
        cut_to: read.cut_to,
    }
}

/// Fails unless both ways say the same of the body. Tells how many records were not understood at
/// once; `None`: all were, or there was no page.
pub fn check(body: &[u8]) -> Option<usize> {
    check_as(body, all())
}

/// As [`check`], for this wish.
pub fn check_as(body: &[u8], asked: Asked) -> Option<usize> {
    super::shaped::check_shapes(body, asked.clone());
    let read = fast(body, asked.clone());
    let reread = read.as_ref().ok().map(|read| read.reread).filter(|count| *count > 0);
    let ours = read.map(told);
    let slow = |page: Page| encode(page.into(), asked.0.clone(), asked.1, None).map(told);
    let whole = read_page(body).and_then(slow);
    if ours == whole {
        return reread;
    }
    let (everything, enough) = (asked.0.clone(), all().1);
    if asked.1 < enough && fast(body, (everything.clone(), enough)).is_ok_and(says_twice) {
        // The one thing that makes a record larger than the slow path's, so that less fits.
        check_as(body, (everything, enough));
        return reread;
    }
    let text = String::from_utf8_lossy(body);
    // One bad record makes the lenient reader read all others too, and it refuses a little of what
    // the SDK takes, such as a size of 26.0. The encoder asks for the one record alone.
    assert!(
        whole.as_ref().is_ok_and(|told| !told.is_all_readable()),
        "{text}\nours: {ours:#?}\nslow: {whole:#?}"
    );
    assert_eq!(ours, piecewise(body).and_then(slow), "{text}");
    reread
}

/// Whether a name comes twice in some map: the last counts, and the others are in the bytes still.
fn says_twice(read: PageRead) -> bool {
    let everything = ReadLimit { records: usize::MAX, bytes: usize::MAX, before: None };
    let mut chunks =
        (0..read.batch.entries().len()).filter_map(|at| read.batch.cut(at, everything));
    chunks.any(|chunk| {
        Records::decode(&*chunk.bytes).expect("protobuf").encoded_len() < chunk.bytes.len()
    })
}

/// The page of which every record is read alone.
fn piecewise(body: &[u8]) -> Result<Page, &'static str> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(rename = "Records", borrow)]
        records: Vec<&'a RawValue>,
        #[serde(rename = "NextShardIterator", default)]
        next: Option<String>,
    }
    let body: Body<'_> = serde_json::from_slice(body).map_err(|_| "no page")?;
    let alone = |record: &&RawValue| {
        let page = format!(r#"{{"Records":[{}]}}"#, record.get());
        let mut page = read_page(page.as_bytes()).expect("a page of one");
        assert_eq!(page.entries.len(), 1);
        page.entries.remove(0)
    };
    let next_iterator = body.next.filter(|next| !next.is_empty());
    Ok(Page { entries: body.records.iter().map(alone).collect(), next_iterator })
}
