//! What a subscription does not read it says: shards over the server's limit, shards that are not
//! understood, shards that only a token names.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::future::{self, Either};
use shardstream::limits::Limits;
use shardstream::model::{Checkpoint, Position, ShardId};
use shardstream::token::stream::StreamToken;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::sim::fake::{Call, FakeUpstream, ShardRef, Split};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Start, Until, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{Client, horizon, hours, minutes, pass, refused, seconds, token};
use crate::support::watcher::Watcher;

/// A stream of so many shards with a record each, and a server that reads at most so many at one
/// time.
fn crowded(shards: usize, most: usize) -> (FakeUpstream, Vec<ShardRef>, InProcess) {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let shards: Vec<_> = (0..shards).map(|_| fake.add_shard(&stream, None)).collect();
    for shard in &shards {
        fake.write(shard, 1);
    }
    let mut limits = Limits::default();
    limits.reading.shards = most;
    let server = InProcess::new(&fake, limits, 1);
    (fake, shards, server)
}

/// What each heartbeat said: the tip, the shards over the limit, and those not understood; each
/// once in a row.
fn told(watcher: &Watcher) -> Vec<(bool, usize, usize)> {
    let beats = watcher.messages.iter().filter_map(|message| match &message.what {
        What::Heartbeat { at_tip, over_limit, not_understood, .. } => {
            Some((*at_tip, *over_limit, *not_understood))
        }
        _ => None,
    });
    let mut told: Vec<_> = beats.collect();
    told.dedup();
    told
}

#[tokio::test(start_paused = true)]
async fn shards_over_the_limit_are_told_at_once_and_read_when_there_is_room() {
    let (fake, shards, server) = crowded(5, 3);
    let begun = fake.now();
    let mut watcher = Watcher::start(&server, &fake, &Wish::default(), Start::Horizon).await;
    let unread = |what: &What| matches!(what, What::Heartbeat { at_tip: false, over_limit: 2, .. });
    assert!(watcher.until(unread).await.at - begun < seconds(3), "told at once");
    watcher.settle(seconds(15)).await;
    assert_eq!(watcher.records().len(), 3);
    assert!(told(&watcher).iter().all(|(at_tip, ..)| !at_tip), "{:?}", told(&watcher));
    // Two of those that are read come to their end.
    for shard in &shards[..2] {
        fake.close(shard);
    }
    watcher.settle(minutes(2)).await;
    assert_eq!(watcher.records().len(), 5);
    assert_eq!(told(&watcher).last(), Some(&(true, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn shards_over_the_limit_for_good_end_the_subscription() {
    let (fake, _, server) = crowded(3, 2);
    let wish = Wish { until: Until { at_tip: true, ..Until::default() }, ..Wish::default() };
    let mut watcher = Watcher::start(&server, &fake, &wish, Start::Horizon).await;
    watcher.settle(minutes(10)).await;
    assert_eq!(watcher.end(), Some(EndReason::ShardLimit));
    assert!(watcher.messages.last().is_some_and(|end| end.at > minutes(5) && end.at < minutes(6)));
    let resumed = InProcess::new(&fake, Limits::default(), 2);
    let start = Start::Token(watcher.token(), vec![]);
    let mut rest = Watcher::start(&resumed, &fake, &Wish::default(), start).await;
    rest.settle(seconds(30)).await;
    let both: Vec<_> = watcher.order().into_iter().chain(rest.order()).collect();
    assert_eq!(both.len(), 3, "nothing is lost and nothing repeated");
}

#[tokio::test(start_paused = true)]
async fn shards_that_are_not_understood_are_told_and_are_no_tip() {
    let client = Client::new();
    let fake = &client.fake;
    fake.write(&client.shard, 2);
    fake.listing(|listing| listing.unreadable = 1);
    let mut watcher = Watcher::start(&client.server, fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(minutes(1)).await;
    assert_eq!(watcher.records(), BTreeMap::from([(0, vec![0, 1])]));
    assert_eq!(told(&watcher), [(false, 0, 1)]);
    assert_eq!(client.list_shards("").await.expect("a page").shards_not_understood, 1);
    // They come to be understood.
    fake.listing(|listing| listing.unreadable = 0);
    watcher.settle(minutes(2)).await;
    assert_eq!(told(&watcher).last(), Some(&(true, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_does_not_end_while_a_shard_is_not_understood() {
    let client = Client::new();
    let fake = &client.fake;
    fake.write(&client.shard, 2);
    fake.listing(|listing| listing.unreadable = 1);
    fake.disable(&client.shard.stream);
    let wish = Wish { stream: client.shard.stream.to_string(), ..Wish::default() };
    let mut watcher = Watcher::start(&client.server, fake, &wish, Start::Horizon).await;
    watcher.settle(minutes(20)).await;
    assert!(watcher.messages.iter().all(|message| !matches!(message.what, What::StreamEnd { .. })));
    assert_eq!(watcher.end(), Some(EndReason::Upstream));
}

#[tokio::test(start_paused = true)]
async fn children_are_not_all_while_a_shard_is_not_understood() {
    let client = Client::new();
    let fake = &client.fake;
    let child = fake.split(&client.shard, Split { children: 1, ..Split::default() }).remove(0);
    for (unreadable, complete) in [(1, false), (0, true)] {
        fake.listing(|listing| listing.unreadable = unreadable);
        client.child_ids().await;
        pass(minutes(6)).await;
        assert_eq!(client.child_ids().await, (vec![child.shard.to_string()], complete));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_may_be_a_row_that_is_not_understood_is_neither_unknown_nor_expired() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let first =
        client.read_with(horizon(), |request| request.max_records = 1).await.expect("read").token;
    pass(hours(25)).await;
    client.fake.set_unlisted(&client.shard, true);
    client.fake.listing(|listing| listing.unreadable = 1);
    for start in [token(&first), horizon()] {
        refused(client.elsewhere().read(start).await, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
    }
    client.fake.listing(|listing| listing.unreadable = 0);
    refused(client.elsewhere().read(token(&first)).await, Code::OutOfRange, "RECORDS_TRIMMED");
    refused(client.elsewhere().read(horizon()).await, Code::NotFound, "SHARD_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn a_tokens_shard_that_may_be_a_row_that_is_not_understood_is_read() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let mut watcher =
        Watcher::start(&client.server, &client.fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(seconds(15)).await;
    let start = Start::Token(watcher.token(), vec![]);
    drop(watcher);
    pass(hours(25)).await;
    client.fake.set_unlisted(&client.shard, true);
    client.fake.listing(|listing| listing.unreadable = 1);
    client.fake.write(&client.shard, 1);
    let fresh = InProcess::new(&client.fake, Limits::default(), 2);
    let mut resumed = Watcher::start(&fresh, &client.fake, &Wish::default(), start).await;
    resumed.settle(minutes(1)).await;
    assert_eq!(resumed.records(), BTreeMap::from([(0, vec![2])]));
    assert_eq!(told(&resumed).last(), Some(&(false, 0, 1)));
}

/// A token of the client's stream that is at the beginning of these shards, too.
async fn token_with(client: &Client, shards: impl Iterator<Item = String>) -> String {
    let mut watcher =
        Watcher::start(&client.server, &client.fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(seconds(15)).await;
    let mut token = StreamToken::decode(&watcher.token(), client.fake.wall()).expect("a token");
    for shard in shards {
        let mark =
            Checkpoint { position: Position::TrimHorizon, skip: 0, time: Some(client.fake.wall()) };
        token.begun.insert(ShardId::parse(&shard).expect("an id"), mark);
    }
    token.encode()
}

/// Made so long ago, or of an upstream whose ids do not say it.
fn made_up(client: &Client, age: Option<Duration>, count: usize) -> impl Iterator<Item = String> {
    let base = client.fake.wall();
    (0..count).map(move |number| match age {
        Some(age) => format!("shardId-{:020}-{number:08x}", base.minus(age).millis()),
        None => format!("made-up-{number}"),
    })
}

#[tokio::test(start_paused = true)]
async fn made_up_shards_of_a_token_are_tried_one_by_one() {
    for age in [Some(hours(2)), Some(Duration::ZERO), None] {
        let client = Client::new();
        client.fake.write(&client.shard, 2);
        pass(minutes(10)).await;
        let token = token_with(&client, made_up(&client, age, 300)).await;
        let fresh = InProcess::new(&client.fake, Limits::default(), 2);
        client.fake.forget_calls();
        client.fake.write(&client.shard, 1);
        let mut watcher =
            Watcher::start(&fresh, &client.fake, &Wish::default(), Start::Token(token, vec![]))
                .await;
        let begun = client.fake.now();
        watcher.until(|what| matches!(what, What::Records { .. })).await;
        assert_eq!(watcher.order(), [(0, 2)], "what is there comes first");
        watcher.settle(minutes(4)).await;
        assert_eq!(watcher.gaps().len(), 300, "{age:?}: all are told as gone");
        let is_iterator = |call: &Call| call.operation == Operation::GetShardIterator;
        let early = |call: &Call| is_iterator(call) && call.started < begun + seconds(5);
        let asked = client.fake.all_calls().into_iter().filter(early).count();
        assert!(asked < 80, "{age:?}: {asked} iterators in five seconds");
        let in_all = client.fake.calls(Operation::DescribeStream);
        assert!(in_all < 1_000, "{age:?}: {in_all} listings and looks for children");
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_shards_of_one_peer_hold_up_no_other_peers() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let unlisted = client.fake.add_shard(&client.shard.stream, None);
    client.fake.write(&unlisted, 1);
    let honest = token_with(&client, std::iter::once(unlisted.shard.to_string())).await;
    let greedy = token_with(&client, made_up(&client, None, 300)).await;
    client.fake.set_unlisted(&unlisted, true);
    let fresh = InProcess::new(&client.fake, Limits::default(), 2);
    let mut crowd = vec![];
    for _ in 0..20 {
        let start = Start::Token(greedy.clone(), vec![]);
        crowd.push(Watcher::at(&fresh, &client.fake, 1, start).await);
    }
    let mut crowd =
        pin!(future::join_all(crowd.iter_mut().map(|watcher| watcher.settle(minutes(10)))));
    let busy = tokio::time::timeout(minutes(1), &mut crowd).await;
    assert!(busy.is_err(), "they have much to try");
    let begun = client.fake.now();
    let mut watcher = Watcher::at(&fresh, &client.fake, 2, Start::Token(honest, vec![])).await;
    let read = watcher.until(|what| matches!(what, What::Records { .. }));
    // They are asked first whenever something happens.
    let Either::Right((read, _)) = future::select(&mut crowd, pin!(read)).await else {
        panic!("never read")
    };
    assert!(read.at - begun < seconds(5), "read after {:?}", read.at - begun);
}
