//! Hundreds of random schedules of whole streams against the real Subscribe: every promise is kept in each of them.
//!
//! All seeds run, and those that break a promise are listed; the first is printed with its plan. One seed alone:
//! `SHARDSTREAM_TEST_SEED=7 cargo test --test it every_whole_promise -- --nocapture`; it prints every call and every
//! message. `SHARDSTREAM_TEST_SEED=500..1000` runs others than the usual.

use shardstream::limits::Limits;

use super::support::chosen::{self, Chosen};
use super::support::fake::FakeUpstream;
use super::support::inprocess::InProcess;
use super::support::whole::driver::{Servers, assert_kept, play};
use super::support::whole::inprocess::servers;
use super::support::whole::judge::{breaks, check_all};
use super::support::whole::plan::Plan;
use super::support::whole::timeline::timeline;

/// One test run's seeds.
const SEEDS: u64 = 500;

/// Limits that make trouble likely: small windows and pages, few lanes.
fn limits(plan: &Plan) -> Limits {
    let mut limits = Limits::default();
    let (window, page) = [(8 << 20, 2 << 20), (256 << 10, 128 << 10), (100 << 10, 80 << 10)][(plan.seed % 3) as usize];
    limits.reading.window_bytes_per_shard = window;
    limits.reading.page_bytes = page;
    limits.reading.lanes_per_shard = [16, 2][(plan.seed / 3 % 2) as usize];
    limits.reading.idle_poll_interval = plan.idle;
    limits
}

fn serve(plan: &Plan) -> impl FnOnce(FakeUpstream) -> std::future::Ready<Servers<InProcess>> {
    let (limits, many, lives, seed) = (limits(plan), plan.servers, plan.lives(), plan.seed);
    move |fake| std::future::ready(servers(&fake, &limits, many, lives, seed))
}

#[test]
fn every_whole_promise_is_kept_in_every_schedule() {
    let seeds = match Chosen::or_first(SEEDS) {
        Chosen::Many(seeds) => seeds,
        Chosen::One(seed) => return look_at(seed),
    };
    // Each has a runtime and a clock of its own.
    let broken = chosen::broken(seeds, |seed| {
        let plan = Plan::wild(seed);
        check_all(&play(&plan, serve(&plan))).err()
    });
    for (seed, violation) in &broken {
        eprintln!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = broken.first() {
        eprintln!("{} seeds break a promise; the first:", broken.len());
        let plan = Plan::wild(*seed);
        assert_kept(&plan, serve(&plan));
    }
}

/// Shows all of one seed, when the test fails or with `--nocapture`.
fn look_at(seed: u64) {
    let plan = Plan::wild(seed);
    let evidence = play(&plan, serve(&plan));
    println!("{plan}\n{}", timeline(&evidence));
    for violation in breaks(&evidence) {
        println!("broken: {violation}");
    }
    assert_kept(&plan, serve(&plan));
}

#[test]
fn the_same_seed_gives_the_same_whole_history_twice() {
    for seed in 0..5 {
        let plan = Plan::wild(seed);
        let (one, two) = (play(&plan, serve(&plan)), play(&plan, serve(&plan)));
        assert_eq!(one.truth.calls, two.truth.calls, "seed {seed}");
        assert_eq!(one.history, two.history, "seed {seed}");
    }
}
