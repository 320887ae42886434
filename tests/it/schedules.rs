//! Hundreds of random schedules against the real services: every promise is kept in each of them.
//!
//! A failing seed is printed with its plan; `SHARDSTREAM_TEST_SEED=7 cargo test --test it schedules` runs that one.

use shardstream::limits::Limits;

use super::support::driver::{Servers, assert_kept, play};
use super::support::fake::FakeUpstream;
use super::support::inprocess::InProcess;
use super::support::seeds::Plan;

/// One test run's seeds.
const SEEDS: u64 = 500;

/// Limits that make trouble likely: small windows and few lanes.
fn limits(seed: u64) -> Limits {
    let mut limits = Limits::default();
    limits.reading.window_bytes_per_shard = [8 << 20, 64 << 10, 4 << 10][(seed % 3) as usize];
    limits.reading.lanes_per_shard = [16, 2][(seed / 3 % 2) as usize];
    limits
}

fn serve(seed: u64) -> impl FnOnce(FakeUpstream) -> std::future::Ready<Servers<InProcess>> {
    move |fake| {
        let many = if seed % 4 == 3 { 2 } else { 1 };
        std::future::ready(InProcess::servers(&fake, &limits(seed), many, seed))
    }
}

/// The seeds to run: all, or the one asked for.
fn seeds() -> Vec<u64> {
    match std::env::var("SHARDSTREAM_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("SHARDSTREAM_TEST_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

#[test]
fn every_promise_is_kept_in_every_schedule() {
    for seed in seeds() {
        assert_kept(&Plan::wild(seed), serve(seed));
    }
}

#[test]
fn the_same_seed_gives_the_same_history_twice() {
    for seed in 0..5 {
        let plan = Plan::wild(seed);
        let (one, two) = (play(&plan, serve(seed)), play(&plan, serve(seed)));
        assert_eq!(one.truth.calls, two.truth.calls, "seed {seed}");
        assert_eq!(one.history, two.history, "seed {seed}");
    }
}
