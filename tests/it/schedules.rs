//! Hundreds of random schedules against the real services: every promise is kept in each of them.
//!
//! All seeds run, and those that break a promise are listed; the first is printed with its plan. One seed alone:
//! `SHARDSTREAM_TEST_SEED=7 cargo test --test it every_promise -- --nocapture`; it prints every call and every
//! message. `SHARDSTREAM_TEST_SEED=500..1000` runs others than the usual.

use std::time::Duration;

use shardstream::limits::Limits;

use super::support::chosen::{self, Chosen};
use super::support::driver::{Servers, assert_kept, play, timeline};
use super::support::fake::FakeUpstream;
use super::support::guarantees::{Evidence, Unstalled, check_all};
use super::support::inprocess::InProcess;
use super::support::seeds::Plan;

/// One test run's seeds.
const SEEDS: u64 = 500;

/// Limits that make trouble likely: small windows and pages, few lanes.
fn limits(seed: u64) -> Limits {
    let mut limits = Limits::default();
    let (window, page) = [(8 << 20, 2 << 20), (256 << 10, 128 << 10), (100 << 10, 80 << 10)][(seed % 3) as usize];
    limits.reading.window_bytes_per_shard = window;
    limits.reading.page_bytes = page;
    limits.reading.lanes_per_shard = [16, 2][(seed / 3 % 2) as usize];
    limits
}

fn serve(seed: u64) -> impl FnOnce(FakeUpstream) -> std::future::Ready<Servers<InProcess>> {
    move |fake| {
        let many = if seed % 4 == 3 { 2 } else { 1 };
        std::future::ready(InProcess::servers(&fake, &limits(seed), many, seed))
    }
}

#[test]
fn every_promise_is_kept_in_every_schedule() {
    let seeds = match Chosen::or_first(SEEDS) {
        Chosen::Many(seeds) => seeds,
        Chosen::One(seed) => {
            let plan = Plan::wild(seed);
            // Shown when the test fails, or with `--nocapture`.
            println!("{plan}\n{}", timeline(&play(&plan, serve(seed))));
            assert_kept(&plan, serve(seed));
            return;
        }
    };
    // Each has a runtime and a clock of its own.
    let broken = chosen::broken(seeds, |seed| check_all(&play(&Plan::wild(seed), serve(seed))).err());
    for (seed, violation) in &broken {
        eprintln!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = broken.first() {
        eprintln!("{} seeds break a promise; the first:", broken.len());
        assert_kept(&Plan::wild(*seed), serve(*seed));
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

#[test]
fn stalled_clients_change_nothing_for_the_others() {
    for seed in 0..20 {
        let plan = Plan::crowd(seed);
        let serve = || |fake| std::future::ready(InProcess::servers(&fake, &Limits::default(), 1, seed));
        let history = play(&plan.without(&plan.stalled()), serve()).history;
        let unstalled = Unstalled { history, slack: Duration::from_secs(3) };
        let checked = check_all(&Evidence { unstalled: Some(unstalled), ..play(&plan, serve()) });
        assert_eq!(checked, Ok(()), "seed {seed}\n{plan}");
    }
}
