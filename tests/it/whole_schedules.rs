//! Hundreds of random schedules of whole streams against the real Subscribe: every promise is kept in each of them.
//!
//! All seeds run, and those that break a promise are listed; the first is printed with its plan. One seed alone:
//! `SHARDSTREAM_TEST_SEED=7 cargo test --test it every_whole_promise -- --nocapture`; it prints every call and every message.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use shardstream::limits::Limits;

use super::support::fake::FakeUpstream;
use super::support::inprocess::InProcess;
use super::support::whole::driver::{Servers, assert_kept, play};
use super::support::whole::inprocess::servers;
use super::support::whole::judge::{Violation, breaks, check_all};
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
    limits.reading.idle_interval = plan.idle;
    limits
}

fn serve(plan: &Plan) -> impl FnOnce(FakeUpstream) -> std::future::Ready<Servers<InProcess>> {
    let (limits, many, lives, seed) = (limits(plan), plan.servers, plan.lives(), plan.seed);
    move |fake| std::future::ready(servers(&fake, &limits, many, lives, seed))
}

/// The seeds whose schedules break a promise, each on a thread of its own with a runtime and a clock of its own.
fn broken_seeds() -> Vec<(u64, Violation)> {
    let (next, broken) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    let plan = Plan::wild(seed);
                    if let Err(violation) = check_all(&play(&plan, serve(&plan))) {
                        broken.lock().expect("no holder panics").push((seed, violation));
                    }
                }
            });
        }
    });
    let mut broken = broken.into_inner().expect("no holder panics");
    broken.sort_by_key(|(seed, _)| *seed);
    broken
}

#[test]
#[allow(clippy::disallowed_methods, reason = "which seed to look at is the developer's word, not the program's")]
fn every_whole_promise_is_kept_in_every_schedule() {
    if let Ok(seed) = std::env::var("SHARDSTREAM_TEST_SEED") {
        let plan = Plan::wild(seed.parse().expect("SHARDSTREAM_TEST_SEED is a number"));
        let evidence = play(&plan, serve(&plan));
        // Shown when the test fails, or with `--nocapture`.
        println!("{plan}\n{}", timeline(&evidence));
        for violation in breaks(&evidence) {
            println!("broken: {violation}");
        }
        assert_kept(&plan, serve(&plan));
        return;
    }
    let broken = broken_seeds();
    for (seed, violation) in &broken {
        eprintln!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = broken.first() {
        eprintln!("{} of {SEEDS} seeds break a promise; the first:", broken.len());
        let plan = Plan::wild(*seed);
        assert_kept(&plan, serve(&plan));
    }
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
