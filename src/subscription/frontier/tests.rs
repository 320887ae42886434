use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::{SequenceNumber, StreamArn};

const NOW: i64 = 1_700_000_000;

const LISTED: Option<fn(&ShardId) -> Option<bool>> = Some(|_| Some(true));
const UNREAD: Option<fn(&ShardId) -> Option<bool>> = Some(|_| None);
const UNLISTED: Option<fn(&ShardId) -> Option<bool>> = Some(|_| Some(false));

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 0).expect("in range")
}

fn stream() -> StreamArn {
    StreamArn::parse("arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2023-11-14T00:00:00.000")
        .expect("an ARN")
}

fn id(name: usize) -> ShardId {
    ShardId::parse(&format!("s{name:03}")).expect("an id")
}

/// The id of a shard in AWS's form, created `hours` before `NOW`.
fn born(hours: i64, name: u32) -> ShardId {
    ShardId::parse(&format!("shardId-{:020}-{name:08x}", (NOW - hours * 3_600) * 1_000))
        .expect("an id")
}

fn shard(id: &ShardId, parent: Option<&ShardId>, closed: bool) -> Shard {
    let ending = closed.then(|| SequenceNumber::parse("9").expect("digits"));
    Shard { id: id.clone(), parent: parent.cloned(), starting: None, ending }
}

fn graph(shards: &[Shard]) -> Graph {
    let mut graph = Graph::default();
    graph.merge(shards);
    graph
}

fn known(graph: &Graph, complete: bool) -> impl Fn(&ShardId) -> ChildrenKnown {
    move |id| {
        let shards: Vec<_> = graph.children(id).cloned().collect();
        ChildrenKnown { full: shards.len() >= 2, shards, complete, looked: true }
    }
}

fn enter(entry: FrontierStart, graph: &Graph) -> (Frontier, Vec<Lost>) {
    let mut frontier = Frontier::enter(stream(), entry, Some(at(NOW)), graph, at(NOW));
    let lost = tell(&mut frontier, graph);
    (frontier, lost)
}

/// Reports all known losses.
fn tell(frontier: &mut Frontier, graph: &Graph) -> Vec<Lost> {
    std::iter::from_fn(|| frontier.tell_lost(graph, at(NOW))).collect()
}

fn all(graph: &Graph) -> BTreeSet<ShardId> {
    graph.shards().map(|shard| shard.id.clone()).collect()
}

/// Opens everything that is due.
fn open(frontier: &mut Frontier) -> Vec<ShardId> {
    std::iter::from_fn(|| frontier.open_next().or_else(|| frontier.try_next()).map(|(id, _)| id))
        .collect()
}

/// The token of a frontier whose open shards are all at TRIM_HORIZON.
fn token(frontier: &Frontier, graph: &Graph) -> StreamToken {
    let checkpoint = Checkpoint::new(Position::TrimHorizon, Some(at(NOW)));
    let checkpoints: Vec<_> =
        frontier.ledger.open.iter().map(|id| (id.clone(), checkpoint)).collect();
    frontier.token(checkpoints, graph, &[], at(NOW))
}

#[test]
fn a_child_waits_for_its_parent_and_begins_at_its_beginning() {
    let (a, b, c) = (id(1), id(2), id(3));
    let graph =
        graph(&[shard(&a, None, true), shard(&b, Some(&a), true), shard(&c, Some(&b), false)]);
    let (mut frontier, lost) = enter(FrontierStart::Horizon, &graph);
    assert!(lost.is_empty());
    assert_eq!(open(&mut frontier), std::slice::from_ref(&a));
    frontier.finish(&a, Some(at(NOW)), &graph, at(NOW));
    let (next, position) = frontier.open_next().expect("due");
    assert_eq!(
        (next, position.base.position(), position.time),
        (b, Position::TrimHorizon, Some(at(NOW)))
    );
    assert!(frontier.open_next().is_none());
}

#[test]
fn a_late_child_is_found_and_an_orphan_is_read() {
    let (a, b, orphan) = (id(1), id(2), id(3));
    let mut graph = graph(&[shard(&a, None, true), shard(&orphan, Some(&id(9)), false)]);
    let (mut frontier, _) = enter(FrontierStart::Horizon, &graph);
    assert_eq!(open(&mut frontier), [a.clone(), orphan]);
    frontier.finish(&a, None, &graph, at(NOW));
    assert!(open(&mut frontier).is_empty());
    graph.merge([shard(&b, Some(&a), false)]);
    frontier.grow(&graph);
    assert_eq!(open(&mut frontier), [b]);
}

#[test]
fn a_finished_shard_is_remembered_until_its_children_are_tracked() {
    let (a, b) = (id(1), id(2));
    let mut graph = graph(&[shard(&a, None, true)]);
    let (mut frontier, _) = enter(FrontierStart::Horizon, &graph);
    open(&mut frontier);
    frontier.finish(&a, Some(at(NOW)), &graph, at(NOW));
    assert!(token(&frontier, &graph).finished.contains_key(&a));
    graph.merge([shard(&b, Some(&a), false)]);
    frontier.grow(&graph);
    assert!(token(&frontier, &graph).finished.contains_key(&a), "another child may come");
    frontier.settle(known(&graph, true), LISTED, at(NOW));
    assert!(tell(&mut frontier, &graph).is_empty());
    let token = token(&frontier, &graph);
    assert!(token.finished.is_empty() && token.begun.contains_key(&b));

    let (mut restored, _) = enter(FrontierStart::Token(Box::new(token)), &graph);
    assert_eq!(open(&mut restored), [b], "the parent is passed");
}

#[test]
fn a_leaf_that_ended_for_good_is_not_read_again() {
    let a = id(1);
    let graph = graph(&[shard(&a, None, true)]);
    let (mut frontier, _) = enter(FrontierStart::Horizon, &graph);
    open(&mut frontier);
    frontier.finish(&a, Some(at(NOW)), &graph, at(NOW));
    frontier.settle(known(&graph, true), LISTED, at(NOW));
    assert!(frontier.is_drained());
    let (mut restored, lost) =
        enter(FrontierStart::Token(Box::new(token(&frontier, &graph))), &graph);
    assert!(open(&mut restored).is_empty() && lost.is_empty());
}

#[test]
fn a_time_is_where_shards_of_before_are_entered_and_younger_ones_begin() {
    let (old, young) = (born(9, 1), born(1, 2));
    let graph = graph(&[shard(&old, None, true), shard(&young, Some(&old), false)]);
    let since = at(NOW - 4 * 3_600);
    let (mut frontier, _) = enter(FrontierStart::Since(since), &graph);
    let (first, position) = frontier.open_next().expect("due");
    assert_eq!((first.clone(), position.base.position()), (old, Position::AtTimestamp(since)));
    frontier.finish(&first, Some(at(NOW)), &graph, at(NOW));
    let (second, position) = frontier.open_next().expect("due");
    assert_eq!((second, position.base.position()), (young, Position::TrimHorizon));
}

#[test]
fn what_is_born_while_latest_is_asked_for_is_read_from_its_beginning() {
    let (parent, child) = (id(1), id(2));
    let graph = graph(&[shard(&parent, None, true), shard(&child, Some(&parent), false)]);
    let position =
        ReadPosition::restored(Checkpoint::new(Position::AtTimestamp(at(NOW)), Some(at(NOW))));
    let (mut frontier, _) = enter(
        FrontierStart::Latest([(parent.clone(), position)].into(), [parent.clone()].into()),
        &graph,
    );
    assert_eq!(open(&mut frontier), std::slice::from_ref(&parent));
    frontier.finish(&parent, Some(at(NOW)), &graph, at(NOW));
    let (next, position) = frontier.open_next().expect("due");
    assert_eq!((next, position.base.position()), (child, Position::TrimHorizon));
}

#[test]
fn a_closed_child_of_an_open_parent_does_not_hide_it_from_its_own_children() {
    let (parent, child, grandchild) = (id(1), id(2), id(3));
    let rows = [
        shard(&parent, None, false),
        shard(&child, Some(&parent), true),
        shard(&grandchild, Some(&child), false),
    ];
    let graph = graph(&rows);
    let position =
        ReadPosition::restored(Checkpoint::new(Position::AtTimestamp(at(NOW)), Some(at(NOW))));
    let positions = [&parent, &grandchild].map(|id| (id.clone(), position.clone())).into();
    let (mut frontier, _) = enter(FrontierStart::Latest(positions, all(&graph)), &graph);
    assert_eq!(open(&mut frontier), std::slice::from_ref(&parent));
    frontier.finish(&parent, Some(at(NOW)), &graph, at(NOW));
    assert_eq!(open(&mut frontier), [grandchild]);
}

#[test]
fn a_child_of_a_shard_that_expired_is_as_old_as_it_is() {
    let (gone, child) = (born(60, 1), born(42, 2));
    let graph = graph(&[shard(&child, Some(&gone), false)]);
    let checkpoint = Checkpoint::new(Position::TrimHorizon, Some(at(NOW - 50 * 3_600)));
    let token = StreamToken {
        stream: stream(),
        by_table: false,
        made: at(NOW - 50 * 3_600),
        asked: Some(at(NOW - 50 * 3_600)),
        since: None,
        ended: false,
        begun: [(gone, checkpoint)].into(),
        finished: Default::default(),
    };
    let (mut frontier, _) = enter(FrontierStart::Token(Box::new(token)), &graph);
    let (_, position) = frontier.open_next().expect("due");
    assert!(!position.is_safe(at(NOW)), "what of it is gone is told of it, too");
}

#[test]
fn latest_enters_open_shards_and_awaits_the_children_of_closed_ones() {
    let (root, leaf, live, child) = (id(1), id(2), id(3), id(4));
    let rows = [
        shard(&root, None, true),
        shard(&leaf, Some(&root), true),
        shard(&live, Some(&root), false),
        shard(&child, Some(&live), false),
    ];
    let mut graph = graph(&rows);
    let position = |position| ReadPosition::restored(Checkpoint::new(position, Some(at(NOW))));
    let positions =
        [&live, &child].map(|id| (id.clone(), position(Position::AtTimestamp(at(NOW))))).into();
    let (mut frontier, _) = enter(FrontierStart::Latest(positions, all(&graph)), &graph);
    assert_eq!(
        open(&mut frontier),
        std::slice::from_ref(&live),
        "its child waits, with the place it was given"
    );
    let token = token(&frontier, &graph);
    assert_eq!(token.begun[&child].position, Position::AtTimestamp(at(NOW)));
    assert!(token.finished.contains_key(&leaf) && !token.finished.contains_key(&root));
    let late = id(5);
    graph.merge([shard(&late, Some(&leaf), false)]);
    frontier.grow(&graph);
    assert_eq!(open(&mut frontier), [late]);
    frontier.finish(&live, None, &graph, at(NOW));
    assert_eq!(open(&mut frontier), [child]);
}

#[test]
fn what_expired_unread_is_told_and_what_descends_from_it_is_read() {
    let (gone, child, young) = (born(60, 1), born(10, 2), born(1, 3));
    let graph = graph(&[shard(&child, Some(&gone), false)]);
    let checkpoint =
        |hours: i64| Checkpoint::new(Position::TrimHorizon, Some(at(NOW - hours * 3_600)));
    let begun = [(gone.clone(), checkpoint(50)), (young.clone(), checkpoint(1))].into();
    let token = StreamToken {
        stream: stream(),
        by_table: false,
        made: at(NOW - 50 * 3_600),
        asked: Some(at(NOW - 50 * 3_600)),
        since: None,
        ended: false,
        begun,
        finished: Default::default(),
    };
    let (mut frontier, lost) = enter(FrontierStart::Token(Box::new(token)), &graph);
    let told: Vec<_> =
        lost.iter().map(|lost| (&lost.shard, lost.gap.certain, lost.gap.cause)).collect();
    assert_eq!(told, [(&gone, false, GapCause::ShardExpired)]);
    assert_eq!(
        open(&mut frontier),
        [child, young],
        "a young one cannot have expired, whatever is listed"
    );
}

#[test]
fn descendants_that_may_have_come_and_gone_are_told_once() {
    let parent = born(60, 1);
    let empty = Graph::default();
    let finished =
        [(parent.clone(), Finished { time: Some(at(NOW - 40 * 3_600)), told: false })].into();
    let token = StreamToken {
        stream: stream(),
        by_table: false,
        made: at(NOW - 40 * 3_600),
        asked: Some(at(NOW - 70 * 3_600)),
        since: None,
        ended: false,
        begun: Default::default(),
        finished,
    };
    let (mut frontier, lost) = enter(FrontierStart::Token(Box::new(token)), &empty);
    assert!(lost.is_empty());
    frontier.settle(known(&empty, true), UNREAD, at(NOW));
    assert!(
        tell(&mut frontier, &empty).is_empty() && frontier.unsettled().count() == 1,
        "it may be listed after all"
    );
    frontier.settle(known(&empty, false), UNLISTED, at(NOW));
    let (mut untold, _) =
        enter(FrontierStart::Token(Box::new(frontier.token([], &empty, &[], at(NOW)))), &empty);
    untold.settle(known(&empty, false), UNLISTED, at(NOW));
    assert_eq!(
        tell(&mut untold, &empty).len(),
        1,
        "a token of before it was told does not hide it"
    );
    let lost = tell(&mut frontier, &empty);
    assert_eq!(
        lost.iter().map(|lost| (&lost.shard, lost.gap.certain)).collect::<Vec<_>>(),
        [(&parent, false)]
    );
    frontier.settle(known(&empty, false), UNLISTED, at(NOW));
    assert!(tell(&mut frontier, &empty).is_empty());
    let again = frontier.token([], &empty, &[], at(NOW));
    let (mut restored, _) = enter(FrontierStart::Token(Box::new(again)), &empty);
    restored.settle(known(&empty, false), UNLISTED, at(NOW));
    assert!(tell(&mut restored, &empty).is_empty(), "a token behind it does not tell it again");
}

#[test]
fn a_token_hides_no_loss_that_was_not_told() {
    let (lost, child) = ([born(60, 1), born(59, 2), born(58, 3)], born(10, 4));
    let graph = graph(&[shard(&child, Some(&lost[2]), false)]);
    let checkpoint = Checkpoint::new(Position::TrimHorizon, Some(at(NOW - 50 * 3_600)));
    let token = StreamToken {
        stream: stream(),
        by_table: false,
        made: at(NOW - 50 * 3_600),
        asked: Some(at(NOW - 50 * 3_600)),
        since: None,
        ended: false,
        begun: lost.iter().map(|id| (id.clone(), checkpoint)).collect(),
        finished: Default::default(),
    };
    let mut frontier =
        Frontier::enter(stream(), FrontierStart::Token(Box::new(token)), None, &graph, at(NOW));
    for told in 0..=lost.len() {
        let token = frontier.token([], &graph, &[], at(NOW));
        let (_, again) = enter(FrontierStart::Token(Box::new(token)), &graph);
        let again: Vec<_> = again.into_iter().map(|lost| lost.shard).collect();
        assert_eq!(again, lost[told..], "{told} are told");
        assert_eq!(
            frontier.open_next().is_some(),
            told == lost.len(),
            "no child before all above it is told"
        );
        assert_eq!(
            frontier.tell_lost(&graph, at(NOW)).map(|lost| lost.shard),
            lost.get(told).cloned()
        );
    }
}

/// Forests: each shard's parent is an earlier shard, or absent, or one that is not listed.
fn forest() -> impl Strategy<Value = Vec<Option<usize>>> {
    proptest::collection::vec(proptest::option::weighted(0.8, 0usize..60), 1..40).prop_map(
        |parents| {
            let behind = |(at, parent): (usize, Option<usize>)| {
                parent.map(|parent| if parent < 50 { parent % at.max(1) } else { 900 })
            };
            parents.into_iter().enumerate().map(behind).collect()
        },
    )
}

proptest! {
    /// Whatever the tree, in whatever parts it is listed and wherever the client resumes: every
    /// shard is begun, none before its parent is finished, and none again after it was finished.
    #[test]
    fn every_shard_is_begun_once_and_after_its_parent(
        parents in forest(),
        listed in 1usize..40,
        picks in proptest::collection::vec((any::<usize>(), any::<bool>()), 0..80),
    ) {
        let parent_of = |at: usize| parents[at].filter(|parent| *parent == 900 || *parent < at);
        let rows: Vec<Shard> = (0..parents.len())
            .map(|at| shard(&id(at), parent_of(at).map(id).as_ref(), true))
            .collect();
        let (first, rest) = rows.split_at(listed.min(rows.len()));
        let mut graph = graph(first);
        let (mut frontier, _) = enter(FrontierStart::Horizon, &graph);
        let mut finished = BTreeSet::new();
        let mut picks = picks.into_iter();
        let mut rest = rest.iter();
        loop {
            for begun in open(&mut frontier) {
                prop_assert!(!finished.contains(&begun), "{begun:?} again");
                let parent = graph.parent(&begun).filter(|parent| graph.get(parent).is_some());
                prop_assert!(parent.is_none_or(|parent| finished.contains(parent)), "{begun:?} before its parent");
            }
            let (pick, resume) = picks.next().unwrap_or_default();
            if resume {
                let token =
                    StreamToken::decode(&token(&frontier, &graph).encode(), at(NOW)).expect("our own");
                frontier = enter(FrontierStart::Token(Box::new(token)), &graph).0;
                continue;
            }
            let open: Vec<_> = frontier.ledger.open.iter().cloned().collect();
            if !open.is_empty() {
                let ended = open[pick % open.len()].clone();
                frontier.finish(&ended, Some(at(NOW)), &graph, at(NOW));
                finished.insert(ended);
            } else if let Some(row) = rest.next() {
                graph.merge([row]);
                frontier.grow(&graph);
            } else {
                break;
            }
        }
        prop_assert_eq!(finished.len(), rows.len());
    }
}
