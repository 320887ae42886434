//! Where the tip is, and how far away.

use std::time::Duration;

use shardstream::clock::Clock;
use shardstream::limits::Limits;
use shardstream::pb;

use crate::sim::fake::{Answer, Empties, Fault};
use crate::sim::inprocess::InProcess;
use crate::support::client::{
    At, Client, horizon, hours, indexes, latest, minutes, pass, seconds, span,
};
use shardstream::upstream::Operation;

/// Three records, four empty pages before each of them.
fn sparse() -> Client {
    let client = Client::new();
    client.fake.behave(&client.shard, |shard| {
        shard.page_records = 1;
        shard.empties = Empties { chance: 1.0, most: 4, between: true };
    });
    client.fake.write(&client.shard, 3);
    client
}

#[tokio::test(start_paused = true)]
async fn empty_pages_are_not_the_tip_for_a_stream() {
    let client = sparse();
    client.fake.behave(&client.shard, |shard| shard.empties.between = false);
    let rest = client.live_with(horizon(), |request| {
        request.until = Some(pb::Until { at_tip: true, ..Default::default() });
    });
    let rest = rest.await.rest().await;
    assert_eq!((rest.records, rest.end), (vec![0, 1, 2], Some(pb::EndReason::Limit)));
}

#[tokio::test(start_paused = true)]
async fn empty_pages_are_not_the_tip_for_a_read() {
    let client = sparse();
    let lease = client.lease(horizon()).await;
    let mut seen = vec![];
    for _ in 0..3 {
        let answer = client
            .get_with(&lease, |request| request.wait = Some(span(seconds(30))))
            .await
            .expect("read");
        assert!(!answer.records.is_empty(), "gave up before the tip");
        seen.extend(indexes(&answer.records));
    }
    assert_eq!(seen, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_records_says_whether_nothing_is_there() {
    let client = Client::new();
    let lease = client.lease(horizon()).await;
    let empty = client.get(&lease).await.expect("read");
    assert_eq!((empty.records.len(), empty.exhausted, empty.at_tip), (0, false, true));
    assert_eq!(client.reads(), 5, "five empty answers in a row");

    client.fake.behave(&client.shard, |shard| shard.latency = (seconds(1), seconds(1)));
    let other = client.elsewhere();
    let empty = other.read(horizon()).await.expect("read");
    assert_eq!(
        (empty.records.len(), empty.exhausted, empty.at_tip),
        (0, false, false),
        "no time to find out"
    );
}

#[tokio::test(start_paused = true)]
async fn one_empty_page_after_a_record_is_the_tip_once_five_were() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [0]);
    // The first of the five may have come before.
    for reads in [2..=5, 1..=1, 1..=1] {
        client.forget_calls();
        let empty = client.get(&lease).await.expect("read");
        assert!(empty.at_tip && empty.records.is_empty());
        assert!(reads.contains(&client.reads()), "{} reads, {reads:?}", client.reads());
        pass(seconds(1)).await;
        client.fake.write(&client.shard, 1);
        assert_eq!(client.given(&lease).await.len(), 1);
    }
}

/// Six records of ten hours, an empty page before each of them.
fn history() -> Client {
    let client = Client::old(hours(11));
    client.fake.behave(&client.shard, |shard| {
        shard.page_records = 1;
        shard.empties = Empties { chance: 1.0, most: 1, between: true };
    });
    let ago = |ago| crate::sim::fake::Writing { count: 3, ago, ..Default::default() };
    client.fake.write_with(&client.shard, ago(hours(10)));
    client.fake.write_with(&client.shard, ago(minutes(1)));
    client
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_between_old_records_is_no_tip() {
    let client = history();
    let whole = client.live_with(horizon(), |request| {
        request.until = Some(pb::Until { at_tip: true, ..Default::default() });
    });
    let whole = whole.await.rest().await;
    assert_eq!((whole.records, whole.end), (vec![0, 1, 2, 3, 4, 5], Some(pb::EndReason::Limit)));

    // A read of a single record, and the next one after it.
    let client = history();
    let lease = client.lease(horizon()).await;
    for index in 0..6 {
        assert_eq!(client.given(&lease).await, [index], "nothing was called the tip");
    }
}

#[tokio::test(start_paused = true)]
async fn latest_is_not_anchored_at_an_empty_page_between_old_records() {
    let client = history();
    client.fake.behave(&client.shard, |shard| shard.latency = (seconds(1), seconds(1)));
    let mut behind = client.live(horizon()).await;
    behind.records(2).await;
    // The newest answer is an empty one.
    pass(seconds(3) / 2).await;
    let lease = client.lease(latest()).await;
    behind.records(4).await;
    client.fake.behave(&client.shard, |shard| shard.latency = (seconds(1) / 100, seconds(1) / 100));
    client.fake.write(&client.shard, 1);
    assert_eq!(client.given(&lease).await, [6]);
}

#[tokio::test(start_paused = true)]
async fn the_tip_is_earned_anew_by_who_was_kept_from_reading() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    let mut live = client.live(horizon()).await;
    live.records(1).await;
    live.heartbeat_that(|beat| beat.at_tip).await;
    client.fake.behave(&client.shard, |shard| {
        shard.page_records = 1;
        shard.empties = Empties { chance: 1.0, most: 4, between: true };
        shard.faults.unavailable = 1.0;
    });
    client.fake.write(&client.shard, 3);
    pass(minutes(1)).await;
    client.fake.behave(&client.shard, |shard| shard.faults.unavailable = 0.0);
    live.heartbeat_that(|beat| !beat.at_tip).await;
    let token = loop {
        let (beat, token) = live.heartbeat().await;
        if beat.at_tip {
            break token;
        }
    };
    assert_eq!(client.elsewhere().drain(At::Token(token)).await.0, [0; 0], "everything was given");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_makes_no_record_old() {
    let mut client = Client::new();
    let clock = Clock::starting_at(client.fake.wall().plus(minutes(2)));
    client.server = InProcess::with_clock(&client.fake, clock, Limits::default(), 1);
    client.fake.write(&client.shard, 3);
    let mut live = client.live(horizon()).await;
    live.records(3).await;
    live.heartbeat_that(|beat| beat.at_tip).await;
    let (fake, shard) = (client.fake.clone(), client.shard.clone());
    // Five answers in a row are never empty.
    let writing = tokio::spawn(async move {
        loop {
            fake.write(&shard, 1);
            pass(Duration::from_millis(700)).await;
        }
    });
    live.records(5).await;
    let tip = live.heartbeat_that(|beat| beat.at_tip);
    tokio::time::timeout(seconds(10), tip).await.expect("one empty answer shows the tip");
    writing.abort();
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_says_all_the_time_that_it_is_up_to_date() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut live = client.live(horizon()).await;
    live.records(3).await;
    live.heartbeat_that(|beat| beat.at_tip).await;
    for _ in 0..20 {
        let before = client.fake.now();
        let (beat, _) = live.heartbeat().await;
        assert_eq!((beat.at_tip, beat.lag), (true, Some(span(seconds(0)))));
        let observed = beat.observed_time.expect("an answer").seconds;
        assert!(client.fake.wall().seconds() - observed <= 2, "the figure is frozen");
        assert!(client.fake.now() - before <= seconds(11));
    }
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_stream_that_cannot_read_grows() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut live = client.live(horizon()).await;
    live.records(3).await;
    live.heartbeat_that(|beat| beat.at_tip).await;
    client.fake.script(
        &client.shard,
        Operation::GetRecords,
        vec![Answer::Fail(Fault::Unavailable); 200],
    );
    client.fake.write(&client.shard, 3);
    let told = live.heartbeat_that(|beat| !beat.at_tip).await;
    let mut lag = told.lag.expect("a lag").seconds;
    for _ in 0..6 {
        let (beat, _) = live.heartbeat().await;
        let now = beat.lag.expect("a lag").seconds;
        assert!(!beat.at_tip && now >= lag + 9, "{now} after {lag}");
        lag = now;
    }
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_a_stream_behind_is_the_age_of_its_next_record() {
    let client = Client::old(minutes(90));
    let ago = |count, ago| crate::sim::fake::Writing { count, ago, ..Default::default() };
    client.fake.write_with(&client.shard, ago(40, minutes(60)));
    client.fake.write_with(&client.shard, ago(2, minutes(0)));
    client.fake.behave(&client.shard, |shard| shard.page_records = 1);
    let mut live = client
        .live_with(horizon(), |request| request.heartbeat_interval = Some(span(seconds(1))))
        .await;
    let (beat, _) = live.heartbeat().await;
    let lag = beat.lag.expect("a lag").seconds;
    assert!(!beat.at_tip && (3_599..3_610).contains(&lag), "{beat:?}");
    let beat = live.heartbeat_that(|beat| beat.at_tip).await;
    assert_eq!(beat.lag, Some(span(seconds(0))));
}

#[tokio::test(start_paused = true)]
async fn the_tip_is_told_when_it_is_reached_and_when_it_is_left() {
    let client = Client::new();
    let mut live = client
        .live_with(latest(), |request| request.heartbeat_interval = Some(span(minutes(5))))
        .await;
    let begun = client.fake.now();
    live.heartbeat_that(|beat| beat.at_tip).await;
    assert!(client.fake.now() - begun < seconds(10), "the interval is not waited for");
    client.fake.write(&client.shard, 1);
    let (records, token) = live.records(1).await;
    assert_eq!(records, [0]);
    live.heartbeat_that(|beat| beat.at_tip).await;
    assert_eq!(client.elsewhere().drain(At::Token(token)).await.0, [0; 0]);
    pass(seconds(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_to_new_records_is_not_at_the_tip() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let (mut away, mut other) = (client.live(horizon()).await, client.live(horizon()).await);
    for live in [&mut away, &mut other] {
        live.records(3).await;
        live.heartbeat_that(|beat| beat.at_tip).await;
    }
    client.fake.write(&client.shard, 2);
    other.records(2).await;
    pass(seconds(30)).await;
    let (beat, _) = away.heartbeat().await;
    assert!(!beat.at_tip, "two records are there");
    assert_eq!(away.records(2).await.0, [3, 4]);
    let (beat, _) = away.heartbeat().await;
    assert!(beat.at_tip, "now it is");
}
