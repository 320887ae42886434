//! The driver and the checks, tried on the model.

use super::*;
use crate::sim::driver::{Servers, assert_kept, play};
use crate::sim::fake::FakeUpstream;
use crate::sim::guarantees::{
    Bounds, Budget, Evidence, Guarantee, Unstalled, Violation, breaks, check_all,
};
use crate::sim::schedules::Plan;

/// As many as show every bug, of single shards and of whole streams.
const SEEDS: [u64; 2] = [300, 400];

/// As many as show that the checks do not cry wolf.
const SOUND_SEEDS: [u64; 2] = [100, 150];

fn servers(
    bug: Option<Bug>,
    many: usize,
) -> impl FnOnce(FakeUpstream) -> std::future::Ready<Servers<Ideal>> {
    move |fake| {
        // One model several times: what is kept between calls is kept by none of them.
        let servers = (0..many).map(|_| Ideal::new(fake.clone(), bug)).collect();
        let bounds =
            Bounds { window_bytes: 1, shard_window_bytes: 1, sessions: 1, streams: 1, lanes: 16 };
        let budget =
            Budget { in_flight: 2, shard_calls: 5.0, describe_calls: 5.0, list_calls: 3.0 };
        // A model keeps nothing that could be lost.
        let replace = Box::new(|killed: &Ideal, _| killed.clone());
        std::future::ready(Servers { servers, bounds, budget, replace })
    }
}

#[test]
fn every_seed_of_single_shards_passes_without_a_bug() {
    let mut records = 0;
    for seed in 0..SOUND_SEEDS[0] {
        let evidence = assert_kept(&Plan::of_shards(seed), servers(None, 1 + (seed % 2) as usize));
        records += evidence.history.items().filter(|(_, seen)| seen.what.token().is_some()).count();
    }
    assert!(records as u64 > SOUND_SEEDS[0] * 20, "the plans are not idle: {records}");
}

#[test]
fn every_seed_of_whole_streams_passes_without_a_bug() {
    let (mut messages, mut broken) = (0, Vec::new());
    for seed in 0..SOUND_SEEDS[1] {
        let evidence = play(&Plan::of_streams(seed), servers(None, 1));
        messages +=
            evidence.history.runs().map(|(_, run)| run.messages.len()).sum::<usize>() as u64;
        broken.extend(check_all(&evidence).err().map(|violation| (seed, violation)));
    }
    for (seed, violation) in &broken {
        eprintln!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = broken.first() {
        assert_kept(&Plan::of_streams(*seed), servers(None, 1));
    }
    assert!(messages > SOUND_SEEDS[1] * 50, "the plans are not idle: {messages}");
}

#[test]
fn the_same_seed_gives_the_same_history_twice() {
    for plan in [Plan::of_shards, Plan::of_streams] {
        for seed in [3, 9, 14, 24] {
            assert_eq!(plan(seed), plan(seed));
            let (one, two) =
                (play(&plan(seed), servers(None, 1)), play(&plan(seed), servers(None, 1)));
            assert_eq!(one.history, two.history, "seed {seed}");
            assert_eq!(one.truth.calls, two.truth.calls, "seed {seed}");
        }
    }
}

/// Those whose bug no seed shows.
fn missed(plan: fn(u64) -> Plan, seeds: u64, bugs: &[(Bug, Guarantee)]) -> Vec<(Bug, Guarantee)> {
    let shows = |bug, guarantee, seed| {
        let evidence = play(&plan(seed), servers(Some(bug), 1));
        breaks(&evidence).iter().any(|violation| violation.guarantee == guarantee)
    };
    let found =
        |(bug, guarantee): (Bug, Guarantee)| (0..seeds).any(|seed| shows(bug, guarantee, seed));
    bugs.iter().copied().filter(|bug| !found(*bug)).collect()
}

#[test]
fn every_bug_of_single_shards_is_found_by_the_check_it_concerns() {
    let bugs = [
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
    ];
    assert_eq!(missed(Plan::of_shards, SEEDS[0], &bugs), []);
}

#[test]
fn every_bug_of_whole_streams_is_found_by_the_check_it_concerns() {
    let bugs = [
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
        (Bug::Mute, Guarantee::Honest),
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
    ];
    assert_eq!(missed(Plan::of_streams, SEEDS[1], &bugs), []);
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
