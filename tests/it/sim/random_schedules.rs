//! Hundreds of random schedules against the real services: every promise is kept in each of them,
//! by single shards and by whole streams.
//!
//! All seeds run, and those that break a promise are listed; the first is printed with its plan.
//! One seed alone: `SHARDSTREAM_TEST_SEED=7 cargo test --test it every_promise -- --nocapture`; it
//! prints every call and every message, and last a number by which two builds can be compared. `SHARDSTREAM_TEST_SEED=500..1000` runs others than the
//! usual.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use shardstream::limits::Limits;

use crate::sim::chosen::{self, Chosen};
use crate::sim::driver::{Servers, assert_kept, play, timeline};
use crate::sim::fake::FakeUpstream;
use crate::sim::guarantees::{Evidence, Unstalled, breaks, check_all};
use crate::sim::inprocess::InProcess;
use crate::sim::schedules::Plan;

/// One test run's seeds, of each kind.
const SEEDS: u64 = 500;

/// Limits that make trouble likely: small windows and pages, few lanes.
fn limits(plan: &Plan) -> Limits {
    let mut limits = Limits::default();
    let (window, page) = [(8 << 20, 2 << 20), (256 << 10, 128 << 10), (100 << 10, 80 << 10)]
        [(plan.seed % 3) as usize];
    limits.reading.window_bytes_per_shard = window;
    limits.reading.page_bytes = page;
    limits.reading.lanes_per_shard = [16, 2][(plan.seed / 3 % 2) as usize];
    limits.reading.idle_poll_interval = plan.idle;
    limits
}

fn serve(plan: &Plan) -> impl FnOnce(FakeUpstream) -> std::future::Ready<Servers<InProcess>> {
    let (limits, many, lives, seed) = (limits(plan), plan.servers, plan.lives(), plan.seed);
    move |fake| std::future::ready(InProcess::servers(&fake, &limits, many, lives, seed))
}

/// A number by which two builds can be compared: the same, if clients saw the same.
fn digest(evidence: &Evidence) -> u64 {
    let mut hash = DefaultHasher::new();
    format!("{:?}", evidence.history).hash(&mut hash);
    hash.finish()
}

fn every_promise_is_kept(plan: fn(u64) -> Plan) {
    let kept = |seed| assert_kept(&plan(seed), serve(&plan(seed)));
    let seeds = match Chosen::or_first(SEEDS) {
        Chosen::Many(seeds) => seeds,
        Chosen::One(seed) => {
            let plan = plan(seed);
            let evidence = play(&plan, serve(&plan));
            // Shown when the test fails, or with `--nocapture`.
            println!("{plan}\n{}\nhistory {:016x}", timeline(&evidence), digest(&evidence));
            breaks(&evidence).iter().for_each(|violation| println!("broken: {violation}"));
            kept(seed);
            return;
        }
    };
    // Each has a runtime and a clock of its own.
    let broken =
        chosen::broken(seeds, |seed| check_all(&play(&plan(seed), serve(&plan(seed)))).err());
    for (seed, violation) in &broken {
        eprintln!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = broken.first() {
        eprintln!("{} seeds break a promise; the first:", broken.len());
        kept(*seed);
    }
}

#[test]
fn every_promise_is_kept_in_every_schedule() {
    every_promise_is_kept(Plan::of_shards);
}

#[test]
fn every_promise_is_kept_in_every_schedule_of_whole_streams() {
    every_promise_is_kept(Plan::of_streams);
}

#[test]
fn the_same_seed_gives_the_same_history_twice() {
    for plan in [Plan::of_shards, Plan::of_streams] {
        for seed in 0..5 {
            let plan = plan(seed);
            let (one, two) = (play(&plan, serve(&plan)), play(&plan, serve(&plan)));
            assert_eq!(one.truth.calls, two.truth.calls, "seed {seed}");
            assert_eq!(one.history, two.history, "seed {seed}");
        }
    }
}

#[test]
fn stalled_clients_change_nothing_for_the_others() {
    for seed in 0..20 {
        let plan = Plan::crowd(seed);
        let serve =
            || |fake| std::future::ready(InProcess::servers(&fake, &Limits::default(), 1, 1, seed));
        let history = play(&plan.without(&plan.stalled()), serve()).history;
        let unstalled = Unstalled { history, slack: Duration::from_secs(3) };
        let checked = check_all(&Evidence { unstalled: Some(unstalled), ..play(&plan, serve()) });
        assert_eq!(checked, Ok(()), "seed {seed}\n{plan}");
    }
}
