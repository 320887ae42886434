//! What is asked of the upstream, however many ask for it: so many calls a second, whatever fails,
//! and so many at one time.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::pb;
use shardstream::pb::subscribe_response::Event;
use shardstream::upstream::Operation;
use tonic::{Code, Request};

use crate::sim::fake::{Answer, Call, FakeUpstream, Fault, Rates, ShardRef};
use crate::support::client::{
    Client, after, decode, horizon, indexes, pass, position, refused, seconds,
};

/// The most calls that began in any second.
fn busiest_second(mut begun: Vec<Duration>) -> usize {
    begun.sort_unstable();
    let within = |(first, at): (usize, &Duration)| {
        begun[first..].partition_point(|call| *call < *at + seconds(1))
    };
    begun.iter().enumerate().map(within).max().unwrap_or(0)
}

fn begun(calls: impl IntoIterator<Item = Call>, counts: impl Fn(&Call) -> bool) -> Vec<Duration> {
    calls.into_iter().filter(|call| counts(call)).map(|call| call.started).collect()
}

/// The most calls under way at one moment.
fn most_at_once(calls: &[Call]) -> usize {
    let ends = calls.iter().filter_map(|call| Some((call.ended?, -1)));
    let mut edges: Vec<(Duration, isize)> =
        calls.iter().map(|call| (call.started, 1)).chain(ends).collect();
    edges.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, edge) in edges {
        now += edge;
        most = most.max(now);
    }
    most as usize
}

#[tokio::test(start_paused = true)]
async fn in_no_second_a_shard_sees_more_calls_than_configured() {
    for faults in [Rates::NONE, Rates { unavailable: 0.4, throttle: 0.2, ..Rates::NONE }] {
        let client = Client::new();
        client
            .fake
            .behave(&client.shard, |shard| (shard.page_records, shard.faults) = (10, faults));
        client.fake.write(&client.shard, 2_000);
        let numbers = client.numbers();
        let streams = join_all((0..8).map(|place| client.live(after(numbers[place * 200])))).await;
        let reading = streams.into_iter().map(async |mut live| {
            // Until the time is over.
            while let Ok(Some(_)) = tokio::time::timeout(seconds(30), live.next()).await {}
        });
        let reading = tokio::time::timeout(seconds(60), join_all(reading)).await;
        assert!(reading.is_err(), "it reads on");
        let begun = begun(client.fake.all_calls(), |call| call.shard.is_some());
        assert!(
            begun.len() > 50 && busiest_second(begun.clone()) <= 5,
            "{} in a second",
            busiest_second(begun)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_waited_for_room_do_not_come_together() {
    // One call at a time over all shards, each of a second and a half: grants pile up.
    let (fake, stream) = shards(7);
    fake.behave_all(|shard| {
        shard.latency = (Duration::from_millis(1_500), Duration::from_millis(1_500))
    });
    let client = Client::over(fake.clone(), fake.shards()[0].clone(), |limits| {
        limits.reading.calls_in_flight = 1;
        limits.reading.shard_calls_per_second = 1.0;
    });
    let mut live = subscribe(&client, &stream, pb::RecordOrder::PerShard).await;
    let reading = async { while live.next().await.is_some() {} };
    tokio::time::timeout(seconds(60), reading).await.expect_err("it reads on");
    for shard in fake.shards() {
        let begun = begun(fake.all_calls(), |call| call.shard.as_ref() == Some(&shard));
        assert!(begun.len() > 3 && busiest_second(begun.clone()) <= 1, "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_of_a_listing_is_paid_for() {
    let client = Client::new();
    client.fake.set_traits(|traits| traits.attempts = 3);
    client.fake.listing(|listing| listing.faults = Rates { unavailable: 1.0, ..Rates::NONE });
    // Those who ask at one moment share one call and its attempts.
    for _ in 0..4 {
        for answer in join_all((0..12).map(|_| client.list_shards(""))).await {
            refused(answer, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
        }
    }
    let begun = begun(client.fake.all_calls(), |call| call.operation == Operation::DescribeStream);
    assert_eq!(begun.len(), 4 * 3);
    assert!(busiest_second(begun.clone()) <= 5, "{} in a second", busiest_second(begun));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_at_once_is_borne_for_the_client() {
    let client = Client::new();
    client.fake.set_traits(|traits| traits.attempts = 3);
    client.fake.write(&client.shard, 3);
    let blip = || [Answer::Fail(Fault::Unavailable), Answer::Fail(Fault::Throttle)];
    client.fake.script_listing(Operation::DescribeStream, blip());
    client.fake.script(&client.shard, Operation::GetShardIterator, blip());
    client.fake.script(&client.shard, Operation::GetRecords, blip());
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [0, 1, 2]);
    assert_eq!(client.fake.calls(Operation::DescribeStream), 3);
    // One that does not pass is told, and so is one of another kind, at once.
    client.fake.write(&client.shard, 1);
    client.fake.script(
        &client.shard,
        Operation::GetRecords,
        vec![Answer::Fail(Fault::Unavailable); 3],
    );
    refused(client.get(&lease).await, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
    pass(seconds(10)).await;
    client.fake.script(&client.shard, Operation::GetRecords, [Answer::Fail(Fault::Denied)]);
    refused(client.get(&lease).await, Code::FailedPrecondition, "UPSTREAM_ACCESS_DENIED");
    pass(seconds(10)).await;
    assert_eq!(client.given(&lease).await, [3]);
}

/// A stream with so many shards, each with a record of its own second.
fn shards(count: usize) -> (FakeUpstream, shardstream::model::StreamArn) {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    for _ in 0..count {
        fake.add_old_shard(&stream, None, seconds(3_600));
    }
    (fake, stream)
}

async fn subscribe(
    client: &Client,
    stream: &shardstream::model::StreamArn,
    order: pb::RecordOrder,
) -> futures::stream::BoxStream<'static, pb::SubscribeResponse> {
    let start =
        Some(pb::subscribe_request::Start::Position(position(pb::IteratorType::TrimHorizon)));
    let request = pb::SubscribeRequest {
        stream: stream.to_string(),
        start,
        order: order.into(),
        ..Default::default()
    };
    let api = StreamApi::new(client.server.context.clone());
    let answers = api.subscribe(Request::new(request)).await.expect("a subscription").into_inner();
    answers.map(|answer| decode(&answer.expect("goes on"))).boxed()
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_many_shards_has_few_calls_under_way_and_leaves_room_for_others() {
    let (fake, stream) = shards(400);
    fake.behave_all(|shard| {
        shard.latency = (Duration::from_millis(100), Duration::from_millis(100))
    });
    let alone = fake.add_stream("Bystanders");
    let alone: ShardRef = fake.add_shard(&alone, None);
    fake.write(&alone, 1);
    let client = Client::over(fake.clone(), alone, |limits| limits.reading.calls_in_flight = 16);
    let mut live = subscribe(&client, &stream, pb::RecordOrder::PerShard).await;
    let (opened, bystander) = tokio::join!(
        async {
            let mut opened = 0;
            while opened < 400 {
                let message: pb::SubscribeResponse = live.next().await.expect("goes on");
                opened += usize::from(matches!(message.event, Some(Event::ShardOpen(_))));
            }
            fake.now()
        },
        async {
            pass(seconds(1)).await;
            let begun = fake.now();
            let lease = client.lease(horizon()).await;
            assert_eq!(indexes(&client.get(&lease).await.expect("read").records), [0]);
            fake.now() - begun
        }
    );
    assert!(opened < seconds(30), "all opened after {opened:?}");
    assert!(bystander < seconds(3), "a bystander was answered after {bystander:?}");
    let calls: Vec<Call> =
        fake.all_calls().into_iter().filter(|call| call.shard.is_some()).collect();
    assert!(
        calls.len() > 400 && most_at_once(&calls) <= 16,
        "{} at one time",
        most_at_once(&calls)
    );
}

#[tokio::test(start_paused = true)]
async fn one_order_by_time_holds_over_more_shards_than_are_opened_at_one_time() {
    let (fake, stream) = shards(300);
    let mut shards = fake.shards();
    // Which shard has the older record has nothing to do with which is opened first.
    fastrand::Rng::with_seed(7).shuffle(&mut shards);
    for (ago, shard) in shards.iter().enumerate() {
        let ago = seconds(3_000 - ago as u64);
        fake.write_with(shard, crate::sim::fake::Writing { ago, ..Default::default() });
    }
    let client = Client::over(fake, shards[0].clone(), |_| {});
    let mut live = subscribe(&client, &stream, pb::RecordOrder::ByTime).await;
    let mut order = vec![];
    while order.len() < 300 {
        let message: pb::SubscribeResponse = live.next().await.expect("goes on");
        order.extend(message.records.iter().map(|_| message.shard_id.clone()));
    }
    assert!(
        order.iter().zip(&shards).all(|(seen, shard)| *seen == shard.shard.as_str()),
        "out of order"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_leave_half_of_the_calls_to_others() {
    let (fake, stream) = shards(20);
    let alone = fake.add_stream("Bystanders");
    let alone: ShardRef = fake.add_shard(&alone, None);
    let client = Client::over(fake.clone(), alone, |limits| limits.reading.calls_in_flight = 8);
    for shard in fake.shards().iter().filter(|shard| shard.stream == stream) {
        fake.script(shard, Operation::GetRecords, vec![Answer::Fail(Fault::Hang); 1_000]);
    }
    let mut hung = subscribe(&client, &stream, pb::RecordOrder::PerShard).await;
    let mut live = client.live(horizon()).await;
    tokio::join!(
        async {
            let told = async { while hung.next().await.is_some() {} };
            tokio::time::timeout(seconds(280), told).await.expect_err("it goes on");
        },
        async {
            // By then each of them has been found out once.
            pass(seconds(200)).await;
            for _ in 0..20 {
                pass(seconds(3)).await;
                let written = fake.now();
                client.fake.write(&client.shard, 1);
                live.records(1).await;
                assert!(fake.now() - written < seconds(3), "after {:?}", fake.now() - written);
            }
        }
    );
    let calls: Vec<Call> =
        fake.all_calls().into_iter().filter(|call| call.shard.is_some()).collect();
    assert!(most_at_once(&calls) <= 8, "{} at one time", most_at_once(&calls));
}
