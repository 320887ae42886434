//! AWS's clock behind ours: what it still stamps before a time is older than that time.

use crate::sim::fake::{FakeUpstream, Split};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Start, Until, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{Client, horizon, minutes, pass, seconds, stamp};
use crate::support::watcher::Watcher;
use shardstream::clock::Clock;
use shardstream::limits::Limits;
use shardstream::pb;

/// The client of a server whose clock is five minutes ahead of AWS's.
fn ahead() -> Client {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.set_ours_ahead(minutes(5));
    fake.write(&shard, 2);
    Client::over(fake, shard, |_| {})
}

#[tokio::test(start_paused = true)]
async fn a_stream_up_to_a_time_gives_what_aws_still_stamps_before_it() {
    let client = ahead();
    let until =
        pb::Until { time: Some(stamp(client.fake.wall().plus(minutes(1)))), ..Default::default() };
    let live = client.live_with(horizon(), |request| request.until = Some(until)).await;
    let rest = tokio::spawn(live.rest());
    pass(seconds(30)).await;
    client.fake.write(&client.shard, 3);
    pass(seconds(60)).await;
    let rest = rest.await.expect("an end");
    assert_eq!((rest.records, rest.end), (vec![0, 1, 2, 3, 4], Some(pb::EndReason::Limit)));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_up_to_a_time_gives_what_aws_still_stamps_before_it() {
    let client = ahead();
    let until = Until { time: Some(client.fake.wall().plus(minutes(1))), ..Until::default() };
    let wish = Wish { until, ..Wish::default() };
    let mut watcher = Watcher::start(&client.server, &client.fake, &wish, Start::Horizon).await;
    watcher.settle(seconds(30)).await;
    client.fake.write(&client.shard, 3);
    watcher.settle(seconds(60)).await;
    assert_eq!(watcher.records(), [(0, vec![0, 1, 2, 3, 4])].into());
    assert_eq!(watcher.end(), Some(EndReason::Limit));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_without_open_shards_waits_for_awss_clock_too() {
    let client = ahead();
    let until = Until { time: Some(client.fake.wall().plus(minutes(1))), ..Until::default() };
    client.fake.close(&client.shard);
    let wish = Wish { until, ..Wish::default() };
    let mut watcher = Watcher::start(&client.server, &client.fake, &wish, Start::Horizon).await;
    watcher.settle(seconds(30)).await;
    assert_eq!(watcher.end(), None, "a shard may come and hold what is older");
    let late = client.fake.add_shard(&client.shard.stream, Some(&client.shard));
    client.fake.write(&late, 3);
    watcher.settle(seconds(100)).await;
    assert_eq!(watcher.records(), [(0, vec![0, 1]), (1, vec![0, 1, 2])].into());
    assert_eq!(watcher.end(), Some(EndReason::Limit));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_has_read_no_shard_knows_awss_clock_by_the_listing() {
    let fake = FakeUpstream::new(1);
    fake.set_ours_ahead(minutes(5));
    let stream = fake.add_stream("Orders");
    let server = InProcess::new(&fake, Limits::default(), 1);
    let until = Until { time: Some(fake.wall().plus(minutes(2))), ..Until::default() };
    let wish = Wish { until, ..Wish::default() };
    let mut watcher = Watcher::start(&server, &fake, &wish, Start::Horizon).await;
    watcher.settle(seconds(30)).await;
    assert_eq!(watcher.end(), None, "a shard may come and hold what is older");
    let late = fake.add_shard(&stream, None);
    fake.write(&late, 3);
    watcher.settle(seconds(200)).await;
    assert_eq!(watcher.records(), [(0, vec![0, 1, 2])].into());
    assert_eq!(watcher.end(), Some(EndReason::Limit));
}

#[tokio::test(start_paused = true)]
async fn a_shard_made_a_moment_ago_is_found_whichever_clock_is_ahead() {
    for (ahead, behind) in [(minutes(10), minutes(0)), (minutes(0), minutes(10))] {
        let (fake, shard) = FakeUpstream::with_shard(1);
        let clock = Clock::starting_at(fake.wall().plus(ahead).minus(behind));
        let server = InProcess::with_clock(&fake, clock, Limits::default(), 1);
        let client = Client::of(server, fake, shard);
        client.list_shards("").await.expect("a page");
        pass(seconds(1)).await;
        let child =
            client.fake.split(&client.shard, Split { children: 1, ..Split::default() }).remove(0);
        client.fake.write(&child, 2);
        let read = client.on(&child).read(horizon()).await;
        assert_eq!(read.expect("found").records.len(), 2, "ahead {ahead:?}, behind {behind:?}");
    }
}
