//! Any bytes as the body of a page that comes after others, or as the choices of which page that
//! is: with learned shapes and without, every record is the same to the byte, and nothing panics.
//!
//! `cargo +nightly fuzz run shapes`, with cargo-fuzz installed.

#![no_main]
// Shared with the tests, which use all of it.
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

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let asked = both::wishes().swap_remove(body.len() % 5);
    shaped::check_shapes(body, asked.clone());
    let seed = body.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let mut page = shaped::page(&mut fastrand::Rng::with_seed(seed)).into_bytes();
    let (at, rest) = (body.get(8).copied().unwrap_or(0), body.get(9..).unwrap_or_default());
    // The fuzzer's bytes in the place of as many, somewhere in it.
    let place = (usize::from(at) * page.len() / 256).min(page.len().saturating_sub(rest.len()));
    let end = page.len().min(place + rest.len());
    page.splice(place..end, rest.iter().copied());
    shaped::check_shapes(&page, asked);
    // Pages of one world, the fuzzer's bytes in one after some that were learned.
    let mut joined = joined::Joined::new(seed);
    (0..20).for_each(|_| joined.page());
    joined.put_in(at, rest);
});
