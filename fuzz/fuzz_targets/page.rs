//! Any bytes as the body of a page: both ways of reading say the same of them, and nothing panics.
//!
//! `cargo +nightly fuzz run page`, with cargo-fuzz installed. What it finds goes into
//! `corpus/page`, which the tests read too.

#![no_main]
// Shared with the tests, which use all of it.
#![allow(dead_code)]

#[path = "../../tests/it/support/both.rs"]
mod both;
#[path = "../../tests/it/support/shaped.rs"]
mod shaped;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    for asked in both::wishes().into_iter().take(1 + body.len() % 5) {
        both::check_as(body, asked);
    }
});
