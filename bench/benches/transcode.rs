//! What it costs to make protobuf of a page: the SDK's parser, model records and prost, against the
//! one-pass transcoder.
//!
//! `cargo bench --bench transcode` prints a table. `SHARDSTREAM_MUTATIONS=10000000 cargo bench
//! --bench transcode` damages so many pages instead and compares both ways on each; then also every
//! byte of the corpus in every way. `SHARDSTREAM_SHAPES=10000000` reads so many generated pages of two
//! kinds, a part of them damaged, with learned shapes and without, and compares to the byte.
//! `SHARDSTREAM_PAGES=100` only transcodes so many pages, for a profiler; `SHARDSTREAM_DATA` says
//! which ("1 KB", "keys only", ...), `SHARDSTREAM_PLAIN=1` does it without shapes.

// A benchmark measures the machine's clock, and is steered by the environment.
#![allow(clippy::disallowed_methods)]
// The support is shared with the tests, which use all of it.
#![allow(dead_code)]

#[path = "../../tests/it/support/both.rs"]
mod both;
#[path = "../../tests/it/support/damage.rs"]
mod damage;
#[path = "../../tests/it/support/joined.rs"]
mod joined;
#[path = "../../tests/it/support/marked.rs"]
mod marked;
#[path = "../../tests/it/support/shaped.rs"]
mod shaped;
#[path = "../../tests/it/support/world_values.rs"]
mod world_values;
#[path = "../../tests/it/support/worlds.rs"]
mod worlds;

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Instant;

use both::{all, check, check_as, fast, told, wishes};
use bytes::Bytes;
use shardstream::encode::{PageRead, Shapes, encode};
use shardstream::model::{Fetched, RawPage};
use shardstream::upstream::aws::read_page;

const RECORDS: usize = 1_000;
const ROUNDS: usize = 9;

fn main() {
    if let Ok(count) = std::env::var("SHARDSTREAM_MUTATIONS") {
        return damage_pages(count.parse().expect("a number"));
    }
    if let Ok(count) = std::env::var("SHARDSTREAM_SHAPES") {
        return join_shapes(count.parse().expect("a number"));
    }
    if let Ok(count) = std::env::var("SHARDSTREAM_PAGES") {
        return only_transcode(count.parse().expect("a number"));
    }
    measure();
}

/// A record with about a kilobyte of JSON: a dozen attributes, of which one in four has escapes,
/// often with the old image.
fn full(number: usize) -> String {
    let note = if number.is_multiple_of(4) {
        r#"said \"yes\"\nand \u00fc left"#
    } else {
        "said yes and left quietly"
    };
    let image = |version: usize| {
        format!(
            r#"{{"pk":{{"S":"customer#{number:08}"}},"sk":{{"S":"order#2026-01-02T03:04:05.678Z"}},"total":{{"N":"{number}.95"}},"version":{{"N":"{version}"}},"note":{{"S":"{note}"}},"paid":{{"BOOL":true}},"gone":{{"NULL":true}},"tags":{{"SS":["blue","green","red"]}},"address":{{"M":{{"street":{{"S":"Unter den Linden 77"}},"city":{{"S":"Berlin"}},"zip":{{"N":"10117"}}}}}},"lines":{{"L":[{{"S":"sku-1"}},{{"N":"2"}},{{"S":"sku-3"}}]}},"digest":{{"B":"q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="}}}}"#
        )
    };
    let old = if number % 5 < 2 { format!(r#""OldImage":{},"#, image(1)) } else { String::new() };
    let name = if old.is_empty() { "INSERT" } else { "MODIFY" };
    let images = format!(r#""NewImage":{},{old}"#, image(2));
    envelope(number, name, &images, "NEW_AND_OLD_IMAGES")
}

fn keys_only(number: usize) -> String {
    envelope(number, "MODIFY", "", "KEYS_ONLY")
}

fn envelope(number: usize, name: &str, images: &str, view: &str) -> String {
    format!(
        r#"{{"awsRegion":"eu-west-1","dynamodb":{{"ApproximateCreationDateTime":1.7676E9,"Keys":{{"pk":{{"S":"customer#{number:08}"}},"sk":{{"S":"order#2026-01-02T03:04:05.678Z"}}}},{images}"SequenceNumber":"44215845000000000174504{number:06}","SizeBytes":412,"StreamViewType":"{view}"}},"eventID":"7de3041dd709b024af6f29e4fa{number:06}","eventName":"{name}","eventSource":"aws:dynamodb","eventVersion":"1.1"}}"#
    )
}

fn page(record: impl Fn(usize) -> String) -> Bytes {
    few(record, RECORDS)
}

fn few(record: impl Fn(usize) -> String, count: usize) -> Bytes {
    let records: Vec<String> = (0..count).map(record).collect();
    let next = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders/stream/2026|1|".to_owned()
        + &"A".repeat(200);
    format!(r#"{{"NextShardIterator":"{next}","Records":[{}]}}"#, records.join(",")).into()
}

fn typed(body: &Bytes) -> PageRead {
    encode(read_page(body).expect("a page").into(), all().0, all().1, None).expect("a page")
}

fn transcoded(body: &Bytes) -> PageRead {
    shaped_by(body, None)
}

fn shaped_by(body: &Bytes, shapes: Option<&mut Shapes>) -> PageRead {
    let raw = RawPage { body: body.clone(), date: None, reread: read_page };
    encode(Fetched::Raw(raw), all().0, all().1, shapes).expect("a page")
}

fn only_transcode(pages: usize) {
    let data = std::env::var("SHARDSTREAM_DATA").unwrap_or("1 KB".into());
    let is_plain = std::env::var("SHARDSTREAM_PLAIN").is_ok();
    let (_, body, _) = kinds().into_iter().find(|(name, ..)| *name == data).expect("a name");
    let mut shapes = Shapes::default();
    for _ in 0..pages {
        let shapes = Some(&mut shapes).filter(|_| !is_plain);
        drop(black_box(shaped_by(black_box(&body), shapes)));
    }
}

/// Kinds of pages, and how many records each has.
fn kinds() -> Vec<(&'static str, Bytes, usize)> {
    let mut chance = fastrand::Rng::with_seed(5);
    let random = shuffled(&mut chance);
    let sparse = sparse(&mut chance);
    vec![
        ("1 KB", page(full), RECORDS),
        ("keys only", page(keys_only), RECORDS),
        ("1 KB, pages of 10", few(full, 10), 10),
        ("1 KB, pages of 1", few(full, 1), 1),
        ("random order", page(random), RECORDS),
        ("sparse", page(sparse), RECORDS),
    ]
}

/// Twelve attributes in another order in every record.
fn shuffled(chance: &mut fastrand::Rng) -> impl Fn(usize) -> String + use<> {
    let images: Vec<String> = (0..RECORDS)
        .map(|number| {
            let mut all: Vec<String> = (0..12)
                .map(|of| format!(r#""attribute{of}":{{"S":"text {number} of {of}"}}"#))
                .collect();
            chance.shuffle(&mut all);
            all.join(",")
        })
        .collect();
    move |number| {
        let images = format!(r#""NewImage":{{{}}},"#, images[number]);
        envelope(number, "INSERT", &images, "NEW_IMAGE")
    }
}

/// Each of thirty attributes in four of ten records.
fn sparse(chance: &mut fastrand::Rng) -> impl Fn(usize) -> String + use<> {
    let images: Vec<String> = (0..RECORDS)
        .map(|number| {
            let all = (0..30).filter(|_| chance.u32(0..10) < 4);
            let all = all.map(|of| format!(r#""attribute{of}":{{"S":"text {number} of {of}"}}"#));
            all.collect::<Vec<_>>().join(",")
        })
        .collect();
    move |number| {
        let images = format!(r#""NewImage":{{{}}},"#, images[number]);
        envelope(number, "INSERT", &images, "NEW_IMAGE")
    }
}

/// Nanoseconds that this thread has been on a processor; of wall time where the system does not
/// say.
fn spent() -> u64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_processor = said.and_then(|text| text.split(' ').next()?.parse().ok());
    on_processor.unwrap_or_else(|| BEGUN.elapsed().as_nanos() as u64)
}

/// Nanoseconds for each record.
fn time(turns: usize, records: usize, mut run: impl FnMut()) -> f64 {
    let start = spent();
    for _ in 0..turns {
        run();
    }
    (spent() - start) as f64 / (turns * records) as f64
}

fn median(mut all: Vec<f64>) -> (f64, f64, f64) {
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[0], all[all.len() - 1])
}

fn measure() {
    println!(
        "medians (and spread) of {ROUNDS} interleaved rounds, ns of CPU a record, one thread; pages of {RECORDS} records unless told"
    );
    for (name, body, records) in kinds() {
        let (slow, quick) = (typed(&body), transcoded(&body));
        let (json, protobuf) = (body.len() / records, protobuf_bytes(&quick) / records);
        assert_eq!(quick.reread, 0);
        assert!(told(slow) == told(quick), "both ways say the same");
        let mut shapes = Shapes::default();
        for _ in 0..2 * RECORDS / records {
            shaped_by(&body, Some(&mut shapes));
        }
        let known = shaped_by(&body, Some(&mut shapes)).known;
        let (mut before, mut parse, mut plain, mut shaped) = (vec![], vec![], vec![], vec![]);
        // The system counts in steps of a few milliseconds.
        let turns = RECORDS / records;
        for _ in 0..ROUNDS {
            before.push(time(10 * turns, records, || drop(black_box(typed(black_box(&body))))));
            parse.push(time(10 * turns, records, || drop(black_box(read_page(black_box(&body))))));
            plain
                .push(time(100 * turns, records, || drop(black_box(transcoded(black_box(&body))))));
            shaped.push(time(100 * turns, records, || {
                drop(black_box(shaped_by(black_box(&body), Some(&mut shapes))));
            }));
        }
        let ratio = |one: &[f64], other: &[f64]| {
            median(one.iter().zip(other).map(|(one, other)| one / other).collect())
        };
        let ratios = [ratio(&before, &plain), ratio(&plain, &shaped)];
        println!(
            "\n{name}: {json} bytes of JSON, {protobuf} of protobuf a record; {known} of {records} of known shapes"
        );
        for (what, times) in [
            ("SDK's parser and model records", parse),
            ("... and prost: the typed path", before),
            ("transcoder, whole path", plain),
            ("... with learned shapes", shaped),
        ] {
            let (middle, least, most) = median(times);
            println!("  {what:<32} {middle:>8.0}  ({least:.0} to {most:.0})");
        }
        for (what, (middle, least, most)) in
            ["typed path / transcoder", "without shapes / with them"].into_iter().zip(ratios)
        {
            println!("  {what:<32} {middle:>8.2}  ({least:.2} to {most:.2})");
        }
    }
}

fn protobuf_bytes(read: &PageRead) -> usize {
    let room = shardstream::encode::ReadLimit { records: RECORDS, bytes: usize::MAX, before: None };
    read.batch.cut(0, room).expect("readable").bytes.len()
}

fn join_shapes(count: usize) {
    let (corpus, wishes) = (damage::corpus(), wishes());
    let seed = std::env::var("SHARDSTREAM_SEED").map_or(1, |text| text.parse().expect("a number"));
    let mut chance = fastrand::Rng::with_seed(seed);
    let (mut shapes, mut known, start) = (Shapes::default(), 0, Instant::now());
    let mut joined = joined::Joined::new(seed);
    for turn in 0..count {
        joined.page();
        let mut page = shaped::page(&mut chance).into_bytes();
        if turn % 4 == 0 {
            damage::damage(&mut page, &corpus, &mut chance);
        }
        known += shaped::check_with(&page, wishes[turn % wishes.len()].clone(), &mut shapes);
        if turn % 1_000 == 999 {
            shapes = Shapes::default();
        }
        if (turn + 1) % 1_000_000 == 0 {
            let (pages, counts) = (turn + 1, joined.counts);
            println!(
                "{pages} pages of both kinds, seed {seed}: all the same; {known} records known, and {counts:?}, {:?}",
                start.elapsed()
            );
        }
    }
}

fn damage_pages(count: usize) {
    let (corpus, wishes) = (damage::corpus(), wishes());
    let seed = std::env::var("SHARDSTREAM_SEED").map_or(1, |text| text.parse().expect("a number"));
    let mut chance = fastrand::Rng::with_seed(seed);
    let (start, mut pages, mut again) = (Instant::now(), 0, 0);
    for turn in 0..count {
        let mut page = corpus[turn % corpus.len()].clone().into_bytes();
        damage::damage(&mut page, &corpus, &mut chance);
        again += usize::from(
            check_as(&page, wishes[turn / corpus.len() % wishes.len()].clone()).is_some(),
        );
        pages += usize::from(fast(&page, all()).is_ok());
        if (turn + 1) % 1_000_000 == 0 {
            println!(
                "{} damaged, seed {seed}: {pages} still pages, {again} of them with slow records, {:?}",
                turn + 1,
                start.elapsed()
            );
        }
    }
    let mut each = 0;
    for page in corpus {
        let mut page = page.into_bytes();
        for at in 0..page.len() {
            let whole = page[at];
            for byte in 0..=255 {
                page[at] = byte;
                check(&page);
                each += 1;
            }
            page[at] = whole;
        }
    }
    println!(
        "{count} pages damaged at random, seed {seed}, and {each} in one byte: all the same in both ways, {:?}",
        start.elapsed()
    );
}
