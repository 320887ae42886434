//! Damaged pages: an error or an equal result, and never a panic.

use super::*;
use crate::support::damage::{BYTES, corpus, damage};

#[test]
fn the_corpus_is_read() {
    for page in corpus() {
        for asked in wishes() {
            check_as(page.as_bytes(), asked);
        }
        fast(page.as_bytes(), all()).expect("a page");
    }
}

/// What the fuzzer begins with, and whatever it once found.
#[test]
fn the_fuzzers_corpus_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/page");
    let files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path())
        .collect();
    assert!(files.len() >= corpus().len());
    for file in files {
        let body = std::fs::read(file).expect("readable");
        for asked in wishes() {
            check_as(&body, asked);
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for page in corpus() {
        for length in 0..page.len() {
            // What the transcoder refuses the slow reader was asked for, so this is the error of
            // both.
            assert!(fast(&page.as_bytes()[..length], all()).is_err(), "{length} bytes of {page}");
        }
    }
}

#[test]
fn every_byte_may_be_damaged() {
    for page in corpus().into_iter().take(3) {
        let mut page = page.into_bytes();
        for at in 0..page.len() {
            let whole = page[at];
            // All of them at every seventh place; the benchmark tries all 256 everywhere.
            for &byte in BYTES.iter().skip(at % 7).step_by(if at % 7 == 0 { 1 } else { 7 }) {
                page[at] = byte;
                check(&page);
            }
            page[at] = whole;
        }
    }
}

/// How many pages are damaged at random: `SHARDSTREAM_MUTATIONS`, else a few.
#[test]
fn pages_are_damaged_in_several_places() {
    let count = std::env::var("SHARDSTREAM_MUTATIONS")
        .map_or(1_000, |text| text.parse().expect("a number"));
    let corpus = corpus();
    let wishes = wishes();
    let mut chance = fastrand::Rng::with_seed(7);
    for turn in 0..count {
        let mut page = corpus[turn % corpus.len()].clone().into_bytes();
        damage(&mut page, &corpus, &mut chance);
        check_as(&page, wishes[turn % wishes.len()].clone());
    }
}
