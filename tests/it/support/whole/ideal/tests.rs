//! The driver and the checks, tried on the model.

use std::future::Ready;

use super::super::super::guarantees::{Bounds, Budget, Gauge, Guarantee};
use super::super::driver::{Servers, assert_kept, play};
use super::super::judge::{breaks, check_all};
use super::super::plan::Plan;
use super::*;

/// As many as show every bug.
const SEEDS: u64 = 400;

/// As many as show that the checks do not cry wolf.
const SOUND_SEEDS: u64 = 150;

fn servers(bug: Option<Bug>) -> impl FnOnce(FakeUpstream) -> Ready<Servers<Ideal>> {
    move |fake| {
        let bounds = Bounds { window_bytes: 1, shard_window_bytes: 1, sessions: 1, streams: 1, lanes: 16 };
        let budget = Budget { in_flight: 2, shard_calls: 5.0, describe_calls: 5.0, list_calls: 3.0 };
        let gauge = |_: &Ideal| Gauge::default();
        // A model keeps nothing that could be lost.
        let replace = Box::new(|killed: &Ideal, _| killed.clone());
        std::future::ready(Servers { servers: vec![Ideal::new(fake, bug)], bounds, budget, gauge, replace })
    }
}

#[test]
fn every_seed_passes_without_a_bug() {
    let (mut messages, mut broken) = (0, Vec::new());
    for seed in 0..SOUND_SEEDS {
        let evidence = play(&Plan::wild(seed), servers(None));
        messages += evidence.history.runs().map(|(_, run)| run.messages.len()).sum::<usize>() as u64;
        broken.extend(check_all(&evidence).err().map(|violation| (seed, violation)));
    }
    for (seed, violation) in &broken {
        eprintln!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = broken.first() {
        assert_kept(&Plan::wild(*seed), servers(None));
    }
    assert!(messages > SOUND_SEEDS * 50, "the plans are not idle: {messages}");
}

#[test]
fn the_same_seed_gives_the_same_history_twice() {
    for seed in [3, 9, 14, 24] {
        let plan = Plan::wild(seed);
        assert_eq!(plan, Plan::wild(seed));
        let (one, two) = (play(&plan, servers(None)), play(&plan, servers(None)));
        assert_eq!(one.history, two.history, "seed {seed}");
    }
}

/// Whether some seed shows that promise broken.
fn found(bug: Bug, guarantee: Guarantee) -> bool {
    (0..SEEDS).any(|seed| {
        breaks(&play(&Plan::wild(seed), servers(Some(bug)))).iter().any(|broken| broken.guarantee == guarantee)
    })
}

#[test]
fn every_bug_is_found_by_the_check_it_concerns() {
    let missed: Vec<_> = [
        (Bug::DropsLastPage, Guarantee::Reliable),
        (Bug::ChildrenAtLatest, Guarantee::Reliable),
        (Bug::ParentAndChild, Guarantee::Lineage),
        (Bug::ForgetsFinished, Guarantee::Bookmarkable),
        (Bug::TokenBehind, Guarantee::Bookmarkable),
        (Bug::TokenAhead, Guarantee::Resumable),
        (Bug::SilentTrim, Guarantee::Honest),
        (Bug::SilentExpiry, Guarantee::Honest),
        (Bug::RefusesTimes, Guarantee::Honest),
        (Bug::FalseGap, Guarantee::Honest),
        (Bug::SilentReplacement, Guarantee::Honest),
        (Bug::EndsEarly, Guarantee::Honest),
        (Bug::NoShardEnd, Guarantee::Honest),
        (Bug::LateShardEnd, Guarantee::Honest),
        (Bug::TokensAlways, Guarantee::Mannered),
        (Bug::TokensNever, Guarantee::Bookmarkable),
        (Bug::NoHeartbeats, Guarantee::Honest),
        (Bug::LyingTip, Guarantee::Honest),
        (Bug::NeverTip, Guarantee::Honest),
        (Bug::OneMore, Guarantee::Reliable),
        (Bug::LatestFromTheHorizon, Guarantee::Reliable),
        (Bug::IgnoresUntilTime, Guarantee::Reliable),
        (Bug::EndsByOurClock, Guarantee::Reliable),
        (Bug::Swaps, Guarantee::Ordered),
        (Bug::Twice, Guarantee::Once),
        (Bug::WrongStatus, Guarantee::Honest),
        (Bug::IgnoresOrder, Guarantee::Ordered),
        (Bug::NextStreamAtLatest, Guarantee::Reliable),
        (Bug::LateChildLost, Guarantee::Reliable),
        (Bug::IgnoresShardTokens, Guarantee::Bookmarkable),
        (Bug::LatestAnew, Guarantee::Resumable),
        (Bug::FatMessages, Guarantee::Bounded),
        (Bug::OpensTwice, Guarantee::Once),
        (Bug::IgnoresGapPolicy, Guarantee::Honest),
        (Bug::HotLoop, Guarantee::Mannered),
    ]
    .into_iter()
    .filter(|(bug, guarantee)| !found(*bug, *guarantee))
    .collect();
    assert_eq!(missed, []);
}
