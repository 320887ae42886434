//! What it costs to make protobuf of a page: the SDK's parser, model records and prost, against the
//! one-pass transcoder.
//!
//! `cargo bench --bench transcode` prints a table. `SHARDSTREAM_MUTATIONS=10000000 cargo bench
//! --bench transcode` damages so many pages instead and compares both ways on each; then also every
//! byte of the corpus in every way. `SHARDSTREAM_PAGES=100` only transcodes so many pages, for a
//! profiler.

// A benchmark measures the machine's clock, and is steered by the environment.
#![allow(clippy::disallowed_methods)]
// The support is shared with the tests, which use all of it.
#![allow(dead_code)]

#[path = "../../tests/it/support/both.rs"]
mod both;
#[path = "../../tests/it/support/damage.rs"]
mod damage;

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Instant;

use both::{all, check, check_as, fast, told, wishes};
use bytes::Bytes;
use shardstream::encode::{PageRead, encode};
use shardstream::model::{Fetched, RawPage};
use shardstream::upstream::aws::read_page;

const RECORDS: usize = 1_000;
const ROUNDS: usize = 9;

fn main() {
    if let Ok(count) = std::env::var("SHARDSTREAM_MUTATIONS") {
        return damage_pages(count.parse().expect("a number"));
    }
    if let Ok(count) = std::env::var("SHARDSTREAM_PAGES") {
        let body = page(full);
        return (0..count.parse().expect("a number"))
            .for_each(|_: usize| drop(black_box(transcoded(black_box(&body)))));
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
    let records: Vec<String> = (0..RECORDS).map(record).collect();
    let next = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders/stream/2026|1|".to_owned()
        + &"A".repeat(200);
    format!(r#"{{"NextShardIterator":"{next}","Records":[{}]}}"#, records.join(",")).into()
}

fn typed(body: &Bytes) -> PageRead {
    encode(read_page(body).expect("a page").into(), all().0, all().1).expect("a page")
}

fn transcoded(body: &Bytes) -> PageRead {
    let raw = RawPage { body: body.clone(), date: None, reread: read_page };
    encode(Fetched::Raw(raw), all().0, all().1).expect("a page")
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
fn time(turns: usize, run: impl Fn()) -> f64 {
    let start = spent();
    for _ in 0..turns {
        run();
    }
    (spent() - start) as f64 / (turns * RECORDS) as f64
}

fn median(mut all: Vec<f64>) -> (f64, f64, f64) {
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[0], all[all.len() - 1])
}

fn measure() {
    println!(
        "{RECORDS} records a page; medians (and spread) of {ROUNDS} interleaved rounds, ns of CPU a record, one thread"
    );
    for (name, body) in [("1 KB", page(full)), ("keys only", page(keys_only))] {
        let (slow, quick) = (typed(&body), transcoded(&body));
        let (json, protobuf) = (body.len() / RECORDS, protobuf_bytes(&quick) / RECORDS);
        assert_eq!(quick.reread, 0);
        assert!(told(slow) == told(quick), "both ways say the same");
        let (mut before, mut parse, mut after) = (vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            // The system counts in steps of a few milliseconds.
            before.push(time(10, || drop(black_box(typed(black_box(&body))))));
            parse.push(time(10, || drop(black_box(read_page(black_box(&body))))));
            after.push(time(100, || drop(black_box(transcoded(black_box(&body))))));
        }
        let ratio =
            median(before.iter().zip(&after).map(|(before, after)| before / after).collect());
        println!("\n{name}: {json} bytes of JSON, {protobuf} of protobuf a record");
        for (what, times) in [
            ("SDK's parser and model records", parse),
            ("... and prost: the typed path", before),
            ("transcoder, whole path", after),
        ] {
            let (middle, least, most) = median(times);
            println!("  {what:<32} {middle:>8.0}  ({least:.0} to {most:.0})");
        }
        println!(
            "  {:<32} {:>8.1}  ({:.1} to {:.1})",
            "typed path / transcoder", ratio.0, ratio.1, ratio.2
        );
    }
}

fn protobuf_bytes(read: &PageRead) -> usize {
    let room = shardstream::encode::ReadLimit { records: RECORDS, bytes: usize::MAX, before: None };
    read.batch.cut(0, room).expect("readable").bytes.len()
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
