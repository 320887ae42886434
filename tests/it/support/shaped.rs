//! Pages written with known shapes and without any: the same to the byte.
//!
//! Stands alone, but for `both`: the fuzz targets and the benchmark use it too.

use std::cell::RefCell;

use bytes::Bytes;
use shardstream::encode::{LogOffset, PageRead, ReadLimit, Shapes, Stand, Unread, encode};
use shardstream::model::{Fetched, RawPage, Timestamp};
use shardstream::upstream::aws::read_page;

use super::both::Asked;

/// Where an entry stands, whether it has the number of the one before it, when it was created, and
/// its bytes.
type Entry = (LogOffset, bool, Option<Timestamp>, Result<Bytes, Unread>);

/// All that a page came to, and its bytes.
#[derive(Debug, PartialEq)]
pub struct Exact {
    entries: Vec<Entry>,
    stands: Stand,
    dropped: Option<LogOffset>,
    count: usize,
    misplaced: usize,
    next_iterator: Option<String>,
    cut_to: Option<usize>,
    reread: usize,
}

/// Reads the raw body with these shapes; also how many of its records they knew.
pub fn read(
    body: &[u8],
    (cut, most): Asked,
    shapes: Option<&mut Shapes>,
) -> (Result<Exact, &'static str>, usize) {
    let raw = RawPage { body: Bytes::copy_from_slice(body), date: None, reread: read_page };
    let read = encode(Fetched::Raw(raw), cut, most, shapes);
    let known = read.as_ref().map_or(0, |read| read.known);
    (read.map(exact), known)
}

fn exact(read: PageRead) -> Exact {
    let one = ReadLimit { records: 1, bytes: usize::MAX, before: None };
    let entries = read.batch.entries().iter().enumerate().map(|(at, entry)| {
        let record = match &entry.unreadable {
            Some(bad) => Err(Unread::clone(bad)),
            None => Ok(read.batch.cut(at, one).expect("readable").bytes),
        };
        (entry.order, entry.alike, entry.created_at, record)
    });
    Exact {
        entries: entries.collect(),
        stands: read.stands,
        dropped: read.dropped,
        count: read.entries,
        misplaced: read.misplaced,
        next_iterator: read.next_iterator,
        cut_to: read.cut_to,
        reread: read.reread,
    }
}

/// Fails unless the page is the same with these shapes as with none. Tells how many of its records
/// they knew.
pub fn check_with(body: &[u8], asked: Asked, shapes: &mut Shapes) -> usize {
    // However little they were good for before.
    shapes.keep_only_pace(Shapes::default());
    let (plain, none) = read(body, asked.clone(), None);
    assert_eq!(none, 0);
    let (shaped, known) = read(body, asked, Some(shapes));
    assert!(
        plain == shaped,
        "{}\nplain: {plain:?}\nshaped: {shaped:?}",
        String::from_utf8_lossy(body)
    );
    known
}

/// Fails unless the page is the same without shapes, with those that are learned of it, and with
/// those that were learned of the pages before.
pub fn check_shapes(body: &[u8], asked: Asked) {
    thread_local! {
        static TAUGHT: RefCell<(Shapes, u32)> = RefCell::default();
    }
    let mut own = Shapes::default();
    check_with(body, asked.clone(), &mut own);
    check_with(body, asked.clone(), &mut own);
    TAUGHT.with_borrow_mut(|(shapes, pages)| {
        check_with(body, asked, shapes);
        *pages += 1;
        // Where nothing more can be learned, joining is no longer tried.
        if *pages % 100 == 0 {
            *shapes = Shapes::default();
        }
    });
}

/// A record of few names and kinds, in AWS's form, so that shapes meet again in ever new orders.
pub fn record(number: u32, chance: &mut fastrand::Rng) -> String {
    let images = [("Keys", 8), ("NewImage", 7), ("OldImage", 5)]
        .map(|(name, often)| (chance.u32(0..10) < often).then(|| (name, item(chance, 0))));
    let mut change: Vec<String> =
        images.into_iter().flatten().map(|(name, item)| format!("\"{name}\":{item}")).collect();
    change.push(format!(
        "\"SequenceNumber\":\"{}{number:06}\"",
        ["", "1", "000"][chance.usize(0..3)]
    ));
    let more = [
        format!(
            "\"ApproximateCreationDateTime\":{}",
            ["1.7676E9", "1767600000", "1.7676e+09", "0", "1e300", "-1.5", "1767600000.123"]
                [chance.usize(0..7)]
        ),
        format!(
            "\"SizeBytes\":{}",
            ["0", "26", "412", "1000000", "-1", "012", "26.0"][up_to(chance, 4, 8, 7)]
        ),
        format!(
            "\"StreamViewType\":\"{}\"",
            ["NEW_AND_OLD_IMAGES", "KEYS_ONLY", "ODD", ""][up_to(chance, 2, 8, 4)]
        ),
    ];
    change.extend(more.into_iter().filter(|_| chance.u8(0..10) > 0));
    let mut fields = vec![format!("\"dynamodb\":{{{}}}", shuffled(change, chance))];
    let more = [
        format!(
            "\"eventID\":\"{}{number:06}\"",
            ["", "7de3041dd709b024af6f29e4fa", "é"][chance.usize(0..3)]
        ),
        format!(
            "\"eventName\":\"{}\"",
            ["INSERT", "MODIFY", "REMOVE", "UPSERT", ""][up_to(chance, 3, 8, 5)]
        ),
        format!("\"eventVersion\":\"{}\"", ["1.1", "1.0", ""][up_to(chance, 1, 20, 3)]),
        "\"eventSource\":\"aws:dynamodb\"".to_owned(),
        format!("\"awsRegion\":\"{}\"", ["eu-west-1", ""][up_to(chance, 1, 20, 2)]),
        r#""userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#.to_owned(),
    ];
    fields.extend(more.into_iter().filter(|_| chance.u8(0..10) > 0));
    if chance.u8(0..40) == 0 {
        fields.push(
            ["\"more\":1", "\"eventID\":null", "\"awsRegion\":\"twice\""][chance.usize(0..3)]
                .to_owned(),
        );
    }
    format!("{{{}}}", shuffled(fields, chance))
}

/// An index below `usual`; once in `rarely` times below `all`.
fn up_to(chance: &mut fastrand::Rng, usual: usize, rarely: u8, all: usize) -> usize {
    let most = if chance.u8(0..rarely) == 0 { all } else { usual };
    chance.usize(0..most)
}

/// In any order, or mostly in their own.
fn shuffled(mut fields: Vec<String>, chance: &mut fastrand::Rng) -> String {
    if chance.u8(0..3) == 0 {
        chance.shuffle(&mut fields);
    }
    fields.join(",")
}

fn item(chance: &mut fastrand::Rng, level: u32) -> String {
    let entries = (0..chance.usize(0..5)).map(|_| {
        let names = [
            "a",
            "b",
            "c",
            "pk",
            "d_name_that_is_longer_than_one_step_of_a_shape",
            "é",
            "x\\n",
            "",
        ];
        let name = names[up_to(chance, 5, 20, 8)];
        format!("\"{name}\":{}", value(chance, level))
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

fn value(chance: &mut fastrand::Rng, level: u32) -> String {
    let list = |chance: &mut fastrand::Rng, one: &dyn Fn(&mut fastrand::Rng) -> String| {
        (0..chance.usize(0..4)).map(|_| one(chance)).collect::<Vec<_>>().join(",")
    };
    let kinds = if level < 4 { 10 } else { 8 };
    match chance.u32(0..kinds) {
        0 | 1 => format!("{{\"S\":{}}}", text(chance)),
        2 => format!("{{\"N\":\"{}\"}}", chance.u32(..)),
        3 => format!("{{\"B\":{}}}", base64(chance)),
        4 => format!("{{\"BOOL\":{}}}", chance.bool()),
        5 => format!("{{\"NULL\":{}}}", chance.u8(0..9) > 0),
        6 => format!("{{\"SS\":[{}]}}", list(chance, &text)),
        7 => format!("{{\"BS\":[{}]}}", list(chance, &base64)),
        8 => format!("{{\"L\":[{}]}}", list(chance, &|chance| value(chance, level + 1))),
        _ => format!("{{\"M\":{}}}", item(chance, level + 1)),
    }
}

/// Of every length around those that matter, with escapes, and sometimes broken.
fn text(chance: &mut fastrand::Rng) -> String {
    let around = [0, 1, 15, 16, 17, 31, 33, 80, 112, 118, 121, 127, 128, 200, 400];
    let length = around[up_to(chance, 6, 4, 15)];
    let mut text = "x".repeat(length);
    if chance.u8(0..3) == 0 {
        let at = chance.usize(0..=length);
        let pieces =
            ["\\n", "\\\"", "\\u00e9", "\\ud83d\\ude00", "é", "\\/", "\\ud800", "\\x", "\u{1}"];
        text.insert_str(at, pieces[up_to(chance, 6, 20, 9)]);
    }
    format!("\"{text}\"")
}

fn base64(chance: &mut fastrand::Rng) -> String {
    let all = [
        "",
        "AQ==",
        "AAE=",
        "AAEC",
        "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=",
        "AQ",
        "AR==",
        "====",
    ];
    let one = all[up_to(chance, 5, 20, 8)];
    format!("\"{}{one}\"", "AAEC".repeat([0, 0, 0, 50][chance.usize(0..4)]))
}

/// A page of such records.
pub fn page(chance: &mut fastrand::Rng) -> String {
    let records: Vec<String> = (0..chance.u32(1..6)).map(|number| record(number, chance)).collect();
    let next = ["", "\"NextShardIterator\":\"n\","][chance.usize(0..2)];
    format!("{{{next}\"Records\":[{}]}}", records.join(","))
}
