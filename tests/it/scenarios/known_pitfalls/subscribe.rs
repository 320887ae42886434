//! The traps of whole streams: parents and children, late and lost ones, and the stream after the
//! stream.

use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::upstream::Operation;

use crate::sim::fake::{FakeUpstream, ListingOrder, ShardRef, Split};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Cause, Message, Start, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{hours, minutes, pass, seconds};
use crate::support::watcher::{Watcher, ordinal};

const QUIET: Duration = Duration::from_secs(20);

struct Scene {
    fake: FakeUpstream,
    server: InProcess,
    shard: ShardRef,
}

impl Scene {
    fn new() -> Self {
        let (fake, shard) = FakeUpstream::with_shard(1);
        Self { server: InProcess::new(&fake, Limits::default(), 1), fake, shard }
    }

    async fn watch(&self, start: Start) -> Watcher {
        Watcher::start(&self.server, &self.fake, &Wish::default(), start).await
    }

    async fn elsewhere(&self, token: &str) -> Watcher {
        let server = InProcess::new(&self.fake, Limits::default(), 2);
        Watcher::start(&server, &self.fake, &Wish::default(), Start::Token(token.into(), vec![]))
            .await
    }

    fn split(&self, shard: &ShardRef, children: usize) -> Vec<ShardRef> {
        self.fake.split(shard, Split { children, ..Split::default() })
    }
}

fn counted(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[tokio::test(start_paused = true)]
async fn children_begin_at_their_beginning_also_after_latest() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 5);
    pass(minutes(1)).await;
    let mut watcher = scene.watch(Start::Latest).await;
    watcher.settle(QUIET).await;
    let children = scene.split(&scene.shard, 2);
    // Written before anybody can have found them.
    for child in &children {
        scene.fake.write(child, 3);
    }
    assert_eq!(
        watcher.settle(minutes(1)).await.records(),
        [(1, counted(3)), (2, counted(3))].into()
    );
}

#[tokio::test(start_paused = true)]
async fn shards_beyond_the_first_page_of_a_listing_are_read() {
    for order in [ListingOrder::ById, ListingOrder::Reversed, ListingOrder::Mixed] {
        let scene = Scene::new();
        scene.fake.listing(|listing| listing.order = order);
        let mut line = vec![scene.shard.clone()];
        while line.len() < 250 {
            line.extend(scene.split(&line[line.len() - 1].clone(), 1));
        }
        scene.fake.write(&line[249], 2);
        let mut watcher = scene.watch(Start::Horizon).await;
        watcher.settle(minutes(2)).await;
        assert_eq!(watcher.records(), [(249, counted(2))].into(), "{order:?}");
        assert_eq!(watcher.ended().len(), 249, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn parent_and_child_are_not_read_together() {
    let scene = Scene::new();
    scene.fake.behave_all(|shard| shard.page_records = 1);
    scene.fake.write(&scene.shard, 20);
    let child = scene.split(&scene.shard, 1).remove(0);
    scene.fake.write(&child, 5);
    let mut watcher = scene.watch(Start::Horizon).await;
    watcher.settle(minutes(1)).await;
    let parent = (0..20).map(|index| (0, index));
    assert_eq!(watcher.order(), parent.chain((0..5).map(|index| (1, index))).collect::<Vec<_>>());
    assert_eq!(watcher.opened(), [scene.shard.shard.to_string(), child.shard.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn grandchildren_wait_for_an_empty_child() {
    let scene = Scene::new();
    scene.fake.behave(&scene.shard, |shard| shard.page_records = 1);
    scene.fake.write(&scene.shard, 10);
    let child = scene.split(&scene.shard, 1).remove(0);
    let grandchild = scene.split(&child, 1).remove(0);
    scene.fake.write(&grandchild, 2);
    let mut watcher = scene.watch(Start::Horizon).await;
    watcher.settle(minutes(1)).await;
    assert_eq!(watcher.order()[..10], (0..10).map(|index| (0, index)).collect::<Vec<_>>());
    assert_eq!(watcher.order()[10..], [(2, 0), (2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_listed_late_is_read_from_its_beginning() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 1);
    let mut watcher = scene.watch(Start::Horizon).await;
    watcher.settle(QUIET).await;
    let children =
        scene.fake.split(&scene.shard, Split { listed_after: seconds(100), ..Split::default() });
    scene.fake.write(&children[0], 2);
    let closed = scene.fake.now();
    let end = watcher.until(|what| matches!(what, What::ShardEnd { .. })).await;
    assert!(end.at - closed < seconds(5), "the end waits for no child: {:?}", end.at - closed);
    assert!(
        matches!(&end.what, What::ShardEnd { children, complete: false, .. } if children.is_empty())
    );
    watcher.settle(minutes(5)).await;
    assert_eq!(watcher.records(), [(0, counted(1)), (1, counted(2))].into());
    assert_eq!(watcher.opened().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_time_between_finds_the_late_child() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 1);
    let mut watcher = scene.watch(Start::Horizon).await;
    let children =
        scene.fake.split(&scene.shard, Split { listed_after: seconds(100), ..Split::default() });
    scene.fake.write(&children[1], 2);
    watcher.settle(QUIET).await;
    let token = watcher.token();
    drop(watcher);
    pass(hours(3)).await;
    let mut again = scene.elsewhere(&token).await;
    assert_eq!(again.settle(QUIET).await.records(), [(2, counted(2))].into());
}

#[tokio::test(start_paused = true)]
async fn an_open_parent_with_a_listed_child_is_read_to_its_end_first() {
    let scene = Scene::new();
    let child = scene
        .fake
        .split(&scene.shard, Split { children: 1, close: false, ..Split::default() })
        .remove(0);
    scene.fake.write(&child, 2);
    scene.fake.write(&scene.shard, 2);
    let mut watcher = scene.watch(Start::Horizon).await;
    assert_eq!(watcher.settle(QUIET).await.records(), [(0, counted(2))].into());
    scene.fake.write(&scene.shard, 1);
    scene.fake.close(&scene.shard);
    watcher.settle(QUIET).await;
    assert_eq!(watcher.order(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_parent_is_not_listed_is_a_root() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 2);
    let children = scene.split(&scene.shard, 2);
    scene.fake.write(&children[0], 2);
    scene.fake.set_unlisted(&scene.shard, true);
    for start in [Start::Horizon, Start::Since(scene.fake.wall())] {
        let mut watcher = scene.watch(start).await;
        assert_eq!(watcher.settle(QUIET).await.records(), [(1, counted(2))].into());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_covers_what_was_sent_of_every_shard_and_nothing_else() {
    let scene = Scene::new();
    let other = scene.fake.add_shard(&scene.shard.stream, None);
    scene.fake.write(&scene.shard, 6);
    scene.fake.write(&other, 6);
    let wish = Wish { records: 2, checkpoint: Duration::from_millis(100), ..Wish::default() };
    let mut watcher = Watcher::start(&scene.server, &scene.fake, &wish, Start::Horizon).await;
    watcher.settle(QUIET).await;
    let mut seen = [0u64; 2];
    for message in &watcher.messages {
        if let What::Records { records, .. } = &message.what {
            seen[records[0].id.shard as usize] += records.len() as u64;
        }
        if !message.token.is_empty() {
            let mut again = scene.elsewhere(&message.token).await;
            let records = again.settle(QUIET).await.records();
            let rest = |shard: usize| records.get(&(shard as u32)).cloned().unwrap_or_default();
            assert_eq!([rest(0), rest(1)], seen.map(|seen| (seen..6).collect::<Vec<_>>()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn newer_shard_tokens_beside_an_older_token_repeat_nothing() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 4);
    let child = scene.split(&scene.shard, 1).remove(0);
    scene.fake.write(&child, 4);
    let wish = Wish { records: 2, checkpoint: seconds(60), ..Wish::default() };
    let mut watcher = Watcher::start(&scene.server, &scene.fake, &wish, Start::Horizon).await;
    watcher.settle(seconds(5)).await;
    assert_eq!(watcher.order().len(), 8);
    let first =
        watcher.messages.iter().position(|message| !message.token.is_empty()).expect("a token");
    let mut newer: Vec<_> =
        watcher.messages[first..].iter().map(|message| message.shard_token.clone()).collect();
    newer.retain(|token| !token.is_empty());
    newer.reverse();
    let token = watcher.messages[first].token.clone();
    let mut again =
        Watcher::start(&scene.server, &scene.fake, &wish, Start::Token(token, newer)).await;
    assert_eq!(again.settle(QUIET).await.order(), []);
    scene.fake.write(&child, 1);
    assert_eq!(again.settle(QUIET).await.order(), [(1, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_shard_is_not_found_and_read_again() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 3);
    let children = scene.split(&scene.shard, 2);
    let mut watcher = scene.watch(Start::Horizon).await;
    watcher.settle(QUIET).await;
    assert_eq!(watcher.records(), [(0, counted(3))].into());
    // Whatever is listed, later, here or elsewhere, it stays finished.
    watcher.settle(minutes(20)).await;
    assert_eq!(watcher.records(), [(0, counted(3))].into());
    for wait in [seconds(1), minutes(10), hours(10)] {
        pass(wait).await;
        let mut again = scene.elsewhere(&watcher.token()).await;
        again.settle(QUIET).await;
        assert_eq!(again.order(), [], "after {wait:?}");
        assert!(!again.opened().contains(&scene.shard.shard.to_string()), "after {wait:?}");
    }
    scene.fake.write(&children[0], 1);
    assert_eq!(watcher.settle(QUIET).await.records(), [(0, counted(3)), (1, counted(1))].into());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_not_listed_the_children_yet_does_not_read_their_parent_again() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 3);
    let other = InProcess::new(&scene.fake, Limits::default(), 2);
    let wish = Wish { heartbeat: seconds(1), ..Wish::default() };
    let mut watcher = Watcher::start(&scene.server, &scene.fake, &wish, Start::Horizon).await;
    watcher.settle(QUIET).await;
    // The other server has a listing, and lists no sooner than it must.
    drop(Watcher::start(&other, &scene.fake, &Wish::default(), Start::Horizon).await);
    let children: [ShardRef; 2] = scene.split(&scene.shard, 2).try_into().expect("two");
    watcher.settle(seconds(3)).await;
    assert_eq!(watcher.opened().len(), 3, "the first server has found them");
    let token = Start::Token(watcher.token(), vec![]);
    let mut again = Watcher::start(&other, &scene.fake, &Wish::default(), token).await;
    again.settle(QUIET).await;
    assert_eq!(again.order(), []);
    let parent = Some(scene.shard.shard.to_string());
    let begun = |message: &Message| match &message.what {
        What::ShardOpen { shard } => Some((shard.shard.clone(), shard.parent.clone())),
        _ => None,
    };
    let begun: Vec<_> = again.messages.iter().filter_map(begun).collect();
    assert_eq!(begun, children.map(|child| (child.shard.to_string(), parent.clone())));
}

#[tokio::test(start_paused = true)]
async fn by_name_the_tables_next_stream_follows() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 2);
    let mut watcher = scene.watch(Start::Horizon).await;
    watcher.settle(QUIET).await;
    scene.fake.write(&scene.shard, 1);
    scene.fake.disable(&scene.shard.stream);
    let next = scene.fake.add_stream("Orders");
    let shard = scene.fake.add_shard(&next, None);
    scene.fake.write(&shard, 2);
    watcher.settle(minutes(2)).await;
    assert_eq!(watcher.order(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]);
    let mut ends = watcher.messages.iter().rev().filter_map(|message| match &message.what {
        What::StreamEnd { stream, next } => Some((stream.clone(), next.clone())),
        _ => None,
    });
    assert_eq!(ends.next(), Some((scene.shard.stream.clone(), Some(next))));
    assert_eq!(watcher.end(), None);
}

#[tokio::test(start_paused = true)]
async fn by_its_arn_a_stream_ends() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 2);
    let wish = Wish { stream: scene.shard.stream.to_string(), ..Wish::default() };
    let mut watcher = Watcher::start(&scene.server, &scene.fake, &wish, Start::Horizon).await;
    watcher.settle(QUIET).await;
    scene.fake.disable(&scene.shard.stream);
    let next = scene.fake.add_stream("Orders");
    scene.fake.write(&scene.fake.add_shard(&next, None), 2);
    watcher.settle(minutes(2)).await;
    assert_eq!(
        (watcher.records(), watcher.end()),
        ([(0, counted(2))].into(), Some(EndReason::StreamEnd))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_replaced_while_asleep_is_told() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 2);
    let mut watcher = scene.watch(Start::Horizon).await;
    watcher.settle(QUIET).await;
    let token = watcher.token();
    drop(watcher);
    scene.fake.write(&scene.shard, 3);
    scene.fake.delete_stream(&scene.shard.stream);
    pass(minutes(1)).await;
    let next = scene.fake.add_stream("Orders");
    let shard = scene.fake.add_shard(&next, None);
    scene.fake.write(&shard, 2);
    pass(minutes(1)).await;
    let mut watcher = scene.elsewhere(&token).await;
    watcher.settle(QUIET).await;
    assert_eq!(watcher.records(), [(ordinal(&scene.fake, &shard), counted(2))].into());
    let causes: Vec<_> = watcher.gaps().iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, [Cause::StreamReplaced]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_newer_stream_is_the_next_one() {
    let scene = Scene::new();
    scene.fake.write(&scene.shard, 1);
    let mut watcher = scene.watch(Start::Horizon).await;
    watcher.settle(QUIET).await;
    let token = watcher.token();
    drop(watcher);
    scene.fake.disable(&scene.shard.stream);
    for _ in 0..2 {
        pass(minutes(1)).await;
        let next = scene.fake.add_stream("Orders");
        scene.fake.write(&scene.fake.add_shard(&next, None), 2);
        pass(minutes(1)).await;
        scene.fake.disable(&next);
    }
    let mut watcher = scene.elsewhere(&token).await;
    watcher.settle(minutes(2)).await;
    assert_eq!(watcher.order(), [(1, 0), (1, 1), (2, 0), (2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn describe_stream_is_asked_no_more_often_for_many_subscribers_than_for_one() {
    let mut calls = Vec::new();
    for subscribers in [1, 20] {
        let scene = Scene::new();
        let mut watchers = Vec::new();
        for _ in 0..subscribers {
            watchers.push(scene.watch(Start::Horizon).await);
        }
        for watcher in &mut watchers {
            watcher.settle(seconds(2)).await;
        }
        let before = scene.fake.calls(Operation::DescribeStream);
        let children = scene.split(&scene.shard, 2);
        scene.fake.write(&children[0], 1);
        pass(minutes(30)).await;
        for watcher in &mut watchers {
            watcher.settle(seconds(2)).await;
            assert_eq!(watcher.records(), [(1, counted(1))].into());
        }
        calls.push(scene.fake.calls(Operation::DescribeStream) - before);
    }
    assert!(calls[1] <= calls[0] + 3, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_long_search_found_is_not_lost_to_those_who_wait_for_a_lane() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.set_traits(|traits| traits.at_timestamp = false);
    fake.behave_all(|shard| shard.page_records = 2);
    // Room for two lanes: one at the tip, and one for all who are behind.
    let mut limits = Limits::default();
    (limits.reading.window_bytes_per_shard, limits.reading.page_bytes) = (100 << 10, 80 << 10);
    let server = InProcess::new(&fake, limits, 1);
    fake.write(&shard, 200);
    pass(minutes(5)).await;
    let since = fake.wall();
    fake.write(&shard, 4);
    let by_time = Wish { by_time: true, ..Wish::default() };
    let slow_to_come = Wish { records: 2, ..Wish::default() };
    let mut searching = Watcher::start(&server, &fake, &by_time, Start::Since(since)).await;
    let mut reading = Watcher::start(&server, &fake, &slow_to_come, Start::Horizon).await;
    let mut tailing = Watcher::start(&server, &fake, &Wish::default(), Start::Latest).await;
    tokio::join!(
        searching.settle(minutes(2)),
        reading.settle(minutes(2)),
        tailing.settle(minutes(2))
    );
    assert_eq!(searching.records(), [(0, (200..204).collect())].into());
    assert_eq!(reading.records(), [(0, counted(204))].into());
}

#[tokio::test(start_paused = true)]
async fn searches_that_have_reached_the_tip_make_way_for_others() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.set_traits(|traits| traits.at_timestamp = false);
    let mut limits = Limits::default();
    limits.reading.lanes_per_shard = 2;
    let server = InProcess::new(&fake, limits, 1);
    fake.write(&shard, 10);
    pass(minutes(5)).await;
    let mut watchers = vec![Watcher::start(&server, &fake, &Wish::default(), Start::Latest).await];
    // More places by time, each with nothing behind it, than there are lanes.
    for ago in 1..4 {
        let since = Start::Since(fake.wall().minus(minutes(ago)));
        watchers.push(Watcher::start(&server, &fake, &Wish::default(), since).await);
    }
    let tips = watchers
        .iter_mut()
        .map(|watcher| watcher.until(|what| matches!(what, What::Heartbeat { at_tip: true, .. })));
    futures::future::join_all(tips).await;
    fake.write(&shard, 2);
    for watcher in &mut watchers {
        watcher.settle(minutes(1)).await;
        assert_eq!(watcher.records(), [(0, vec![10, 11])].into());
    }
}
