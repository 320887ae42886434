//! LATEST: nothing written after the answer is missed, whatever the clocks say, and what was there
//! before does not come again.

use std::time::Duration;

use shardstream::clock::Clock;
use shardstream::limits::Limits;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::sim::fake::{Answer, FakeUpstream, Fault, Writing};
use crate::sim::history::subscribed::{Start, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{
    At, Client, horizon, hours, latest, minutes, pass, refused, seconds, since, token,
};
use crate::support::watcher::Watcher;

/// The client of a server whose clock is so far ahead of AWS's.
fn ahead(fake: &FakeUpstream, by: Duration) -> Client {
    let shard = fake.shards().remove(0);
    let clock = Clock::starting_at(fake.wall().plus(by));
    Client::of(InProcess::with_clock(fake, clock, Limits::default(), 1), fake.clone(), shard)
}

/// An hour-old shard with three old records.
fn with_a_past() -> Client {
    let client = Client::old(hours(1));
    client
        .fake
        .write_with(&client.shard, Writing { count: 3, ago: minutes(30), ..Writing::default() });
    client
}

#[tokio::test(start_paused = true)]
async fn a_clock_ahead_of_awss_loses_nothing_where_a_reader_has_met_nothing_yet() {
    let (fake, _) = FakeUpstream::with_shard(1);
    pass(hours(1)).await;
    let client = ahead(&fake, minutes(10));
    let mut other = client.live(horizon()).await;
    other.heartbeat_that(|beat| beat.at_tip).await;
    let session = client.open(Some(latest())).await.expect("opened");
    pass(seconds(1)).await;
    fake.write(&client.shard, 3);
    drop(other);
    pass(minutes(30)).await;
    assert_eq!(ahead(&fake, minutes(10)).drain(At::Token(session.token)).await.0, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_date_ahead_of_ours_loses_nothing() {
    for by in [minutes(10), hours(24 * 365 * 70)] {
        let client = with_a_past();
        client.fake.behave(&client.shard, |shard| shard.date_ahead = by);
        let session = client.open(Some(latest())).await.expect("opened");
        pass(seconds(1)).await;
        client.fake.write(&client.shard, 2);
        pass(minutes(30)).await;
        assert_eq!(client.elsewhere().drain(At::Token(session.token)).await.0, [3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn latest_that_is_not_found_in_passing_is_not_the_horizon() {
    for not_found in 1..4 {
        let client = with_a_past();
        let faults = vec![Answer::Fail(Fault::NotFound); not_found];
        client.fake.script(&client.shard, Operation::GetShardIterator, faults);
        let lease = client.lease(latest()).await;
        pass(seconds(10)).await;
        client.fake.write(&client.shard, 2);
        assert_eq!(client.given(&lease).await, [3, 4], "{not_found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_at_latest_that_is_not_found_in_passing_does_not_begin_at_the_horizon() {
    let client = with_a_past();
    client.fake.script(&client.shard, Operation::GetShardIterator, [Answer::Fail(Fault::NotFound)]);
    let mut live =
        Watcher::start(&client.server, &client.fake, &Wish::default(), Start::Latest).await;
    live.settle(seconds(10)).await;
    client.fake.write(&client.shard, 2);
    assert_eq!(live.settle(seconds(20)).await.records(), [(0, vec![3, 4])].into());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_at_latest_reads_an_open_shard_that_is_listed_with_an_end() {
    let client = with_a_past();
    client.fake.listing(|listing| listing.all_end = true);
    let mut live =
        Watcher::start(&client.server, &client.fake, &Wish::default(), Start::Latest).await;
    live.settle(seconds(10)).await;
    client.fake.write(&client.shard, 2);
    assert_eq!(live.settle(seconds(20)).await.records(), [(0, vec![3, 4])].into());
}

/// A client of an upstream that stamps records in steps of so many seconds, half a step past the
/// last full one.
async fn stamped(grain: u64) -> Client {
    let client = with_a_past();
    client.fake.set_traits(|traits| {
        traits.at_timestamp = false;
        traits.grain = seconds(grain.max(1));
    });
    client.fake.behave(&client.shard, |shard| shard.grain = grain);
    let (step, now) = (grain.max(1) as i64, client.fake.wall().seconds());
    pass(seconds((step - now.rem_euclid(step) + step / 2) as u64)).await;
    // The upstream says what it is when the server begins.
    client.elsewhere()
}

#[tokio::test(start_paused = true)]
async fn latest_by_time_allows_for_coarse_stamps() {
    let client = stamped(60).await;
    let session = client.open(Some(latest())).await.expect("opened");
    pass(seconds(10)).await;
    client.fake.write(&client.shard, 2);
    pass(minutes(5)).await;
    assert_eq!(client.elsewhere().drain(token(&session.token)).await.0, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_time_allows_for_coarse_stamps() {
    let client = stamped(60).await;
    let from = client.fake.wall();
    client.fake.write(&client.shard, 2);
    pass(minutes(5)).await;
    assert_eq!(client.drain(since(from)).await.0, [3, 4]);
    assert_eq!(client.elsewhere().seek_shard(from).await.expect("found").records.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_time_among_records_without_times_is_refused_and_not_everything() {
    let client = stamped(0).await;
    let session = client.open(Some(latest())).await.expect("opened");
    client.fake.write(&client.shard, 2);
    pass(minutes(5)).await;
    let resumed = client.elsewhere().read(token(&session.token)).await;
    refused(resumed, Code::InvalidArgument, "POSITION_MALFORMED");
    // Nor where somebody else has read all of it.
    let other = client.elsewhere();
    assert_eq!(other.drain(horizon()).await.0.len(), 5);
    refused(other.read(token(&session.token)).await, Code::InvalidArgument, "POSITION_MALFORMED");
}
