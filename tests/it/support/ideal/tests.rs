//! The driver and the checks, tried on the model.

use super::super::driver::{Servers, assert_kept, play};
use super::super::fake::FakeUpstream;
use super::super::guarantees::{Bounds, Budget, Evidence, Guarantee, Unstalled, Violation, breaks};
use super::super::seeds::Plan;
use super::*;

/// As many as show every bug.
const SEEDS: u64 = 300;

/// As many as show that the checks do not cry wolf.
const SOUND_SEEDS: u64 = 100;

fn servers(bug: Option<Bug>, many: usize) -> impl FnOnce(FakeUpstream) -> std::future::Ready<Servers<Ideal>> {
    move |fake| {
        // One model several times: what is kept between calls is kept by none of them.
        let servers = (0..many).map(|_| Ideal::new(fake.clone(), bug)).collect();
        let bounds = Bounds { window_bytes: 1, shard_window_bytes: 1, sessions: 1, streams: 1, lanes: 1 };
        let budget = Budget { in_flight: 2, shard_calls: 5.0, describe_calls: 5.0, list_calls: 3.0 };
        std::future::ready(Servers { servers, bounds, budget })
    }
}

#[test]
fn every_seed_passes_without_a_bug() {
    let mut records = 0;
    for seed in 0..SOUND_SEEDS {
        let evidence = assert_kept(&Plan::wild(seed), servers(None, 1 + (seed % 2) as usize));
        records += evidence.history.items().filter(|(_, seen)| seen.what.token().is_some()).count();
    }
    assert!(records as u64 > SOUND_SEEDS * 20, "the plans are not idle: {records}");
}

#[test]
fn the_same_seed_gives_the_same_history_twice() {
    for seed in [3, 9, 14] {
        let plan = Plan::wild(seed);
        assert_eq!(plan, Plan::wild(seed));
        let (one, two) = (play(&plan, servers(None, 1)), play(&plan, servers(None, 1)));
        assert_eq!(one.history, two.history, "seed {seed}");
        assert_eq!(one.truth.calls, two.truth.calls, "seed {seed}");
    }
}

/// Whether some seed shows that promise broken.
fn found(bug: Bug, guarantee: Guarantee) -> bool {
    let broken = |evidence: &Evidence| breaks(evidence).iter().any(|violation| violation.guarantee == guarantee);
    (0..SEEDS).any(|seed| broken(&play(&Plan::wild(seed), servers(Some(bug), 1))))
}

#[test]
fn every_bug_is_found_by_the_check_it_concerns() {
    let missed: Vec<_> = [
        (Bug::DropsLastPage, Guarantee::Reliable),
        (Bug::SilentTrim, Guarantee::Honest),
        (Bug::ForgetsGrain, Guarantee::Reliable),
        (Bug::RefusesTimes, Guarantee::Honest),
        (Bug::FalseGap, Guarantee::Honest),
        (Bug::TokenAhead, Guarantee::Resumable),
        (Bug::TokenBehind, Guarantee::Bookmarkable),
        (Bug::Twice, Guarantee::Once),
        (Bug::Swaps, Guarantee::Ordered),
        (Bug::FatMessages, Guarantee::Bounded),
        (Bug::LatestAnew, Guarantee::Resumable),
        (Bug::ForgetsAnswers, Guarantee::Once),
        (Bug::HotLoop, Guarantee::Mannered),
        (Bug::Hoards, Guarantee::Bounded),
        (Bug::HidesBad, Guarantee::Reliable),
        (Bug::JumpsElsewhere, Guarantee::Reliable),
        (Bug::FallsAsleep, Guarantee::Reliable),
        (Bug::FallsAsleep, Guarantee::Honest),
        (Bug::Mute, Guarantee::Honest),
        (Bug::Disowns, Guarantee::Honest),
        (Bug::Hasty, Guarantee::Honest),
        (Bug::ReadsUnlisted, Guarantee::Honest),
    ]
    .into_iter()
    .filter(|(bug, guarantee)| !found(*bug, *guarantee))
    .collect();
    assert_eq!(missed, []);
}

fn crowd(seed: u64, bug: Option<Bug>) -> Vec<Violation> {
    let plan = Plan::crowd(seed);
    let alone = play(&plan.without(&plan.stalled()), servers(bug, 1));
    let unstalled = Unstalled { history: alone.history, slack: Duration::from_secs(2) };
    breaks(&Evidence { unstalled: Some(unstalled), ..play(&plan, servers(bug, 1)) })
}

#[test]
fn stalled_clients_hold_nobody_unless_there_is_a_bug() {
    for seed in 0..20 {
        assert_eq!(crowd(seed, None), [], "seed {seed}");
    }
    let mut convoy = (0..20).flat_map(|seed| crowd(seed, Some(Bug::Convoy)));
    assert!(convoy.any(|violation| violation.guarantee == Guarantee::Isolated));
}
