//! What many want is asked for once, what is not there is remembered, and everybody gets a turn.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use shardstream::grpc::callers::Caller;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::pb;
use shardstream::upstream::Operation;
use tokio::time::Instant;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::sim::fake::{ChildShards, FakeUpstream, Rates, ShardRef, Split};
use crate::sim::history::subscribed::{Start, What, Wish};
use crate::support::client::{Client, horizon, minutes, pass, position, refused, seconds};
use crate::support::watcher::Watcher;

async fn describe_as(client: &Client, caller: &Caller, stream: &str) -> Result<(), Status> {
    let mut request = Request::new(pb::DescribeStreamRequest { stream: stream.into() });
    request.extensions_mut().insert(caller.clone());
    api(client).describe_stream(request).await.map(|_| ())
}

fn api(client: &Client) -> StreamApi {
    StreamApi::new(client.server.context.clone())
}

async fn describe(client: &Client, stream: &str) -> Result<(), Status> {
    api(client)
        .describe_stream(Request::new(pb::DescribeStreamRequest { stream: stream.into() }))
        .await
        .map(|_| ())
}

async fn subscribe(client: &Client, stream: &str) -> Result<(), Status> {
    let start =
        Some(pb::subscribe_request::Start::Position(position(pb::IteratorType::TrimHorizon)));
    let request = pb::SubscribeRequest { stream: stream.into(), start, ..Default::default() };
    api(client).subscribe(Request::new(request)).await.map(|_| ())
}

/// An ARN of a stream that is not there.
fn made_up(number: usize) -> String {
    format!(
        "arn:aws:dynamodb:us-east-1:123456789012:table/None{number}/stream/2024-06-01T00:00:00.{number:03}"
    )
}

async fn gone(client: &Client, number: usize) {
    let _ = describe(client, &made_up(number)).await;
}

/// An id of a shard that is not there, made an hour before the fake.
fn made_up_shard(client: &Client, number: usize) -> ShardRef {
    let millis = client.fake.base().minus(minutes(60)).millis();
    let id = format!("shardId-{millis:020}-{number:08x}");
    let shard = shardstream::model::ShardId::parse(&id).expect("an id");
    ShardRef { shard, ..client.shard.clone() }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("a reason").reason
}

/// A line of so many shards, of which all but the last are closed: the listing has a page for each
/// hundred.
fn long(shards: usize) -> Client {
    let (fake, first) = FakeUpstream::with_shard(1);
    let mut line = vec![first];
    while line.len() < shards {
        let split = Split { children: 1, ..Split::default() };
        line.extend(fake.split(line.last().expect("a shard"), split));
    }
    Client::over(fake, line[shards - 1].clone(), |_| {})
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_missing_is_asked_for_once_in_ten_seconds() {
    let client = Client::new();
    let missing =
        async || refused(describe(&client, "Nothing").await, Code::NotFound, "STREAM_NOT_FOUND");
    join_all((0..100).map(|_| missing())).await;
    for _ in 0..50 {
        missing().await;
        pass(Duration::from_millis(150)).await;
    }
    assert_eq!(client.fake.calls(Operation::ListStreams), 1);
    client.fake.add_stream("Nothing");
    pass(seconds(10)).await;
    describe(&client, "Nothing").await.expect("made meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_missing_is_asked_for_once_in_ten_seconds() {
    let client = Client::new();
    for _ in 0..5 {
        let tries = (0..20).map(|_| async {
            refused(describe(&client, &made_up(1)).await, Code::NotFound, "STREAM_NOT_FOUND");
            refused(subscribe(&client, &made_up(1)).await, Code::NotFound, "STREAM_NOT_FOUND");
        });
        join_all(tries).await;
        pass(seconds(1)).await;
    }
    assert!(
        client.fake.calls(Operation::DescribeStream) <= 2,
        "{}",
        client.fake.calls(Operation::DescribeStream)
    );
}

#[tokio::test(start_paused = true)]
async fn shards_that_are_missing_cost_one_listing() {
    let client = long(500);
    let missing = async |number| {
        let shard = made_up_shard(&client, number);
        refused(client.on(&shard).open(Some(horizon())).await, Code::NotFound, "SHARD_NOT_FOUND");
    };
    join_all((0..50).map(missing)).await;
    missing(100).await;
    assert_eq!(client.fake.calls(Operation::DescribeStream), 5, "one listing of five pages");
    pass(seconds(7)).await;
    missing(7).await;
    assert_eq!(client.fake.calls(Operation::DescribeStream), 5, "remembered");
}

#[tokio::test(start_paused = true)]
async fn a_shard_born_a_moment_ago_is_found_beside_a_fresh_listing() {
    let client = Client::new();
    client.list_shards("").await.expect("listed");
    pass(seconds(1)).await;
    let born = client.fake.add_shard(&client.shard.stream, None);
    client.on(&born).open(Some(horizon())).await.expect("opened");
    let child = client.fake.split(&born, Split { children: 1, ..Split::default() }).remove(0);
    assert_eq!(client.on(&born).child_ids().await.0, [child.shard.to_string()]);
    client.on(&child).open(Some(horizon())).await.expect("told of, so known");
}

#[tokio::test(start_paused = true)]
async fn fifty_callers_share_one_long_listing() {
    let client = long(2_000);
    let begun = Instant::now();
    let mut calls = FuturesUnordered::new();
    for number in 0..50 {
        let client = &client;
        calls.push(async move {
            pass(Duration::from_millis(60) * number).await;
            client.list_shards("").await.map(|page| page.shards.len())
        });
    }
    while let Some(rows) = calls.next().await {
        assert_eq!(rows.expect("a page"), 100);
    }
    assert_eq!(client.fake.calls(Operation::DescribeStream), 20);
    assert!(begun.elapsed() < seconds(6), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn callers_share_a_failure() {
    let client = Client::new();
    client.fake.listing(|listing| {
        listing.faults = Rates { unavailable: 1.0, ..Rates::NONE };
        listing.latency = (seconds(1), seconds(1));
    });
    let begun = Instant::now();
    let calls = (0..30).map(|_| async {
        refused(client.list_shards("").await, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
        begun.elapsed()
    });
    let slowest = join_all(calls).await.into_iter().max().expect("some");
    assert!(slowest < seconds(2), "{slowest:?}");
    assert_eq!(client.fake.calls(Operation::DescribeStream), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_gone_leave_the_queue() {
    let client = Client::new();
    {
        let gone: FuturesUnordered<_> =
            (0..40).map(|number| gone(&client, number).boxed_local()).collect();
        let _ = tokio::time::timeout(seconds(1), gone.collect::<Vec<_>>()).await;
    }
    let (before, begun) = (client.fake.calls(Operation::DescribeStream), Instant::now());
    refused(describe(&client, &made_up(99)).await, Code::NotFound, "STREAM_NOT_FOUND");
    assert!(begun.elapsed() < seconds(1), "{:?}", begun.elapsed());
    assert_eq!(client.fake.calls(Operation::DescribeStream), before + 1);
}

#[tokio::test(start_paused = true)]
async fn made_up_names_are_turned_away_and_keep_nobody_waiting() {
    for children in [ChildShards::Known, ChildShards::Ignored] {
        let client = Client::new();
        let fake = &client.fake;
        fake.listing(|listing| listing.children = children);
        let wish = Wish { stream: client.shard.stream.to_string(), ..Wish::default() };
        let mut watcher = Watcher::start(&client.server, fake, &wish, Start::Horizon).await;
        watcher.settle(seconds(5)).await;

        let attack = async {
            let calls: FuturesUnordered<_> = (0..300)
                .map(|number| {
                    let client = &client;
                    async move {
                        match number % 3 {
                            0 => describe(client, &made_up(number)).await,
                            1 => subscribe(client, &made_up(number)).await,
                            _ => describe(client, &format!("None{number}")).await,
                        }
                    }
                    .boxed_local()
                })
                .collect();
            let refused: Vec<_> = calls
                .filter_map(async |answer| answer.err())
                .map(|status| reason(&status))
                .collect()
                .await;
            assert_eq!(refused.len(), 300);
            let limited = refused.iter().filter(|reason| *reason == "LISTING_LIMIT").count();
            assert!(limited > 200, "{limited}: the queue is bounded");
            assert!(refused.iter().all(|reason| {
                ["LISTING_LIMIT", "STREAM_NOT_FOUND"].contains(&reason.as_str())
            }));
        };
        let bystander = async {
            pass(Duration::from_millis(100)).await;
            let begun = Instant::now();
            let split = fake.split(&client.shard, Split::default());
            fake.write(&split[0], 1);
            watcher.until(|what| matches!(what, What::Records { .. })).await;
            assert!(begun.elapsed() < seconds(3), "{:?}: news of a split", begun.elapsed());
            let begun = Instant::now();
            pass(seconds(6)).await;
            describe(&client, client.shard.stream.as_str()).await.expect("described");
            assert!(begun.elapsed() < seconds(7), "{:?}: a stream that is known", begun.elapsed());
        };
        tokio::join!(attack, bystander);
    }
}

#[tokio::test(start_paused = true)]
async fn one_peer_that_makes_up_names_holds_up_no_other() {
    let client = Client::new();
    let (greedy, other) = (client.server.caller(1), client.server.caller(2));
    let attack = async |first: usize| {
        for round in 0.. {
            let number = first * 100_000 + round;
            let name =
                if number.is_multiple_of(2) { made_up(number) } else { format!("None{number}") };
            if let Err(status) = describe_as(&client, &greedy, &name).await
                && reason(&status) == "LISTING_LIMIT"
            {
                pass(Duration::from_millis(50)).await;
            }
        }
    };
    let bystander = async {
        pass(seconds(2)).await;
        for number in 0..10 {
            let stream = client.fake.add_stream(&format!("New{number}"));
            let name = if number % 2 == 0 { stream.as_str() } else { stream.resource() };
            let begun = Instant::now();
            let described = describe_as(&client, &other, name).await;
            assert!(described.is_ok(), "{described:?}: the first look at {name}");
            assert!(
                begun.elapsed() < Duration::from_millis(1_200),
                "{:?}: {name}",
                begun.elapsed()
            );
            pass(Duration::from_millis(300)).await;
        }
    };
    let attack = join_all((0..60).map(attack)).boxed_local();
    futures::future::select(attack, bystander.boxed_local()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_greedy_peer_waits_for_comes_in_the_turn_of_whoever_joins() {
    let client = Client::new();
    let (greedy, other) = (client.server.caller(1), client.server.caller(2));
    let stream = client.fake.add_stream("New");
    let names: Vec<_> = (0..15).map(made_up).collect();
    let waiting: FuturesUnordered<_> =
        names.iter().map(|name| describe_as(&client, &greedy, name).boxed_local()).collect();
    let last = async {
        // After all of those.
        tokio::task::yield_now().await;
        describe_as(&client, &greedy, stream.as_str()).await.expect("described");
    };
    let joins = async {
        pass(Duration::from_millis(10)).await;
        describe_as(&client, &other, stream.as_str()).await.expect("described");
    };
    let begun = Instant::now();
    let joined = async {
        tokio::join!(last, joins);
        begun.elapsed()
    };
    let (_, joined) = tokio::join!(waiting.collect::<Vec<_>>(), joined);
    assert!(joined * 2 < begun.elapsed(), "{joined:?} of {:?}", begun.elapsed());
    assert_eq!(client.fake.calls(Operation::DescribeStream), 16, "one call for both");
}
