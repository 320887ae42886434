//! AWS's clock behind ours: what it still stamps before a time is older than that time.

use crate::support::client::{Client, horizon, minutes, pass, seconds, stamp};
use crate::support::fake::FakeUpstream;
use crate::support::history::EndReason;
use crate::support::whole::history::{Start, Until, Wish};
use crate::support::whole::watcher::Watcher;
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
    let until = pb::Until { time: Some(stamp(client.fake.wall().plus(minutes(1)))), ..Default::default() };
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
