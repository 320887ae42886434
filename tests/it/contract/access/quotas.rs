//! Quotas: what one caller may take, by whatever connections it comes, and what is left to others
//! at its address.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use shardstream::upstream::Operation;

use super::*;
use crate::sim::fake::{Answer, Gate, Writing};
use crate::support::raw::{self, DATA, END, HEADERS, PING, RESET, Raw, frame};

const QUOTAS: &str = r#"
[[rule]]
principals = ["token:all"]
actions = ["list", "inspect", "read"]
streams = ["*"]
quota = "few"

[[rule]]
principals = ["token:reads"]
actions = ["read"]
streams = ["*"]

[quota.few]
streams = 2
sessions = 3
calls-per-second = 0.01
burst = 12
"#;

async fn bed() -> Bed {
    let bed = Bed::with(|folder, access| {
        access.policy = written(folder, "policy.toml", QUOTAS.to_owned());
    });
    bed.await
}

/// A server where `token:all` has this quota, and `token:reads` the usual one.
async fn bed_of(quota: &str, limits: impl FnOnce(&mut Limits)) -> Bed {
    let (rules, _) = QUOTAS.split_once("[quota.few]").expect("it is there");
    let policy = format!("{rules}[quota.few]\n{quota}\n");
    Bed::within(limits, |folder, access| {
        access.policy = written(folder, "policy.toml", policy);
    })
    .await
}

fn start(shard: &ShardRef) -> pb::ShardStart {
    at(shard, position(pb::IteratorType::TrimHorizon))
}

fn at(shard: &ShardRef, position: pb::Position) -> pb::ShardStart {
    let start = Some(pb::shard_start::Start::Position(position));
    pb::ShardStart { shard: Some(name(shard)), start }
}

fn reading(start: pb::ShardStart) -> Vec<u8> {
    let source = Some(pb::get_records_request::Source::Start(start));
    pb::GetRecordsRequest { source, ..Default::default() }.encode_to_vec()
}

/// A whole call of `caller`, as frames.
fn call(stream: u32, caller: &str, method: &str, request: &[u8]) -> Vec<u8> {
    let authorization = bearer(caller);
    let head = raw::head(stream, &format!("/{method}"), &[("authorization", &authorization)]);
    [head, frame(DATA, END, stream, &raw::message(request))].concat()
}

const GET: &str = "shardstream.v1.ShardService/GetRecords";
const PUSH: &str = "shardstream.v1.ShardService/StreamRecords";
const INFO: &str = "shardstream.v1.ServerService/GetServerInfo";

/// The number of HTTP/2's setting for the window of a stream.
const INITIAL_WINDOW: u16 = 4;

fn exhausted(reason: &str) -> (Code, String) {
    (Code::ResourceExhausted, reason.to_owned())
}

#[tokio::test]
async fn a_caller_has_so_many_streams_by_whatever_connections() {
    let bed = bed().await;
    // Each by a connection of its own.
    let held = [bed.streaming("all").await, bed.streaming("all").await];
    let source = Some(pb::stream_records_request::Source::Start(pb::ShardStart {
        shard: Some(name(&bed.orders)),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
    }));
    let request = pb::StreamRecordsRequest { source, ..Default::default() }.encode_to_vec();
    let stream = "shardstream.v1.ShardService/StreamRecords";
    let refused = bed.called_by("all", stream, request).await;
    assert_eq!(refused.map(drop), Err(exhausted("QUOTA_STREAMS")));
    // Others at the same address have their own.
    let others =
        (bed.streaming("reads").await, bed.streaming("reads").await, bed.streaming("reads").await);
    let rejections = "shardstream_limit_rejections_total{limit=\"quota\"}";
    assert_eq!(bed.server.counted(rejections).await, 1);
    drop((held, others));
}

#[tokio::test]
async fn a_caller_has_so_many_sessions() {
    let bed = bed().await;
    let leases = [bed.lease("all").await, bed.lease("all").await, bed.lease("all").await];
    let open = pb::OpenShardRequest { shard: Some(name(&bed.orders)), ..Default::default() };
    let (open, method) = (open.encode_to_vec(), "shardstream.v1.ShardService/OpenShard");
    let refused = bed.called_by("all", method, open.clone()).await;
    assert_eq!(refused.map(drop), Err(exhausted("QUOTA_SESSIONS")));
    assert!(!bed.lease("reads").await.is_empty(), "others have their own");
    let close = pb::CloseShardRequest { lease_id: leases[0].clone() }.encode_to_vec();
    let closed = bed.called_by("all", "shardstream.v1.ShardService/CloseShard", close).await;
    assert!(closed.is_ok());
    assert!(bed.called_by("all", method, open).await.is_ok(), "what it gave back");
}

#[tokio::test]
async fn a_caller_makes_so_many_calls_and_is_told_when_to_come_again() {
    let bed = bed().await;
    let info = "shardstream.v1.ServerService/GetServerInfo";
    for _ in 0..12 {
        assert!(bed.called_by("all", info, vec![]).await.is_ok());
    }
    let refused = bed.called_by("all", info, vec![]).await;
    assert_eq!(refused, Err(exhausted("QUOTA_CALLS")));
    let mut request = Request::new(pb::GetServerInfoRequest {});
    request.metadata_mut().append("authorization", bearer("all").parse().expect("a header"));
    let status = bed.server.info().await.get_server_info(request).await.expect_err("refused");
    let details = status.get_error_details();
    let wait = details.retry_info().and_then(|info| info.retry_delay).expect("when");
    assert!((50..=100).contains(&wait.as_secs()), "{wait:?}");
    for _ in 0..30 {
        assert!(bed.called_by("reads", info, vec![]).await.is_ok(), "others have their own");
    }
    // Who is nobody costs somebody nothing.
    for _ in 0..30 {
        let unknown = bed.call(&[&bearer("stranger")], info, vec![]).await;
        assert_eq!(unknown, Err((Code::Unauthenticated, "CREDENTIALS_INVALID".into())));
    }
}

#[tokio::test]
async fn a_caller_has_so_many_connections_and_its_neighbours_their_own() {
    let bed = bed_of("connections = 2", |_| {}).await;
    let call = async |channel: &tonic::transport::Channel, caller: &str| {
        let mut request = Request::new(pb::GetServerInfoRequest {});
        request.metadata_mut().append("authorization", bearer(caller).parse().expect("a header"));
        let mut client = pb::server_service_client::ServerServiceClient::new(channel.clone());
        client.get_server_info(request).await.map(drop).map_err(|status| {
            let details = status.get_error_details();
            details.error_info().map(|info| info.reason.clone()).unwrap_or_default()
        })
    };
    let mut channels = vec![];
    for _ in 0..3 {
        channels.push(bed.server.channel().await);
    }
    for _ in 0..3 {
        assert_eq!(call(&channels[0], "all").await, Ok(()), "one connection, however many calls");
    }
    assert_eq!(call(&channels[1], "all").await, Ok(()));
    assert_eq!(call(&channels[2], "all").await, Err("QUOTA_CONNECTIONS".into()));
    // By that connection, too: it is not the connection that is refused.
    assert_eq!(call(&channels[2], "reads").await, Ok(()));
    for _ in 0..5 {
        assert_eq!(call(&bed.server.channel().await, "reads").await, Ok(()));
    }
    assert_eq!(bed.server.counted("shardstream_limit_rejections_total{limit=\"quota\"}").await, 1);
    drop(channels.remove(0));
    let again = async { while call(&channels[1], "all").await.is_err() {} };
    in_time("the connection that was given back", again).await;
}

#[tokio::test]
async fn a_caller_has_so_many_shards_read_and_its_neighbours_their_own() {
    let bed = bed_of("shards = 1", |_| {}).await;
    let other = bed.fake.add_shard(&bed.orders.stream, None);
    bed.fake.write(&other, 2);
    let following = bed.streaming("all").await;
    let refused = bed.called_by("all", GET, reading(start(&other))).await;
    assert_eq!(refused.map(drop), Err(exhausted("QUOTA_SHARDS")));
    let same = bed.called_by("all", GET, reading(start(&bed.orders))).await;
    assert!(same.is_ok(), "a shard counts once: {same:?}");
    assert!(bed.called_by("reads", GET, reading(start(&other))).await.is_ok());
    drop(following);
    let free = async { while bed.called_by("all", GET, reading(start(&other))).await.is_err() {} };
    in_time("the shard that was given back", free).await;
}

#[tokio::test]
async fn a_subscription_past_the_quota_of_shards_reads_what_it_may() {
    let bed = bed_of("shards = 1", |limits| {
        limits.streams.max_upstream_outage = Duration::from_secs(1);
    })
    .await;
    let other = bed.fake.add_shard(&bed.orders.stream, None);
    bed.fake.write(&other, 2);
    let start = pb::subscribe_request::Start::Position(position(pb::IteratorType::TrimHorizon));
    let stream = bed.orders.stream.to_string();
    let mut request =
        Request::new(pb::SubscribeRequest { stream, start: Some(start), ..Default::default() });
    request.metadata_mut().append("authorization", bearer("all").parse().expect("a header"));
    let opened = bed.server.streams().await.subscribe(request).await;
    let mut messages = opened.expect("allowed").into_inner();
    let mut records = 0;
    let status = loop {
        match in_time("a message", messages.message()).await {
            Ok(message) => records += message.expect("a status").records.len(),
            Err(status) => break status,
        }
    };
    assert!(records == 2 || records == 3, "one of the shards: {records}");
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), reason), (Code::ResourceExhausted, Some("QUOTA_SHARDS".into())));
}

#[tokio::test]
async fn a_caller_has_so_many_places_behind_the_window() {
    let (mut lanes, calls) = (0, 8);
    let bed = bed_of("places = 1", |limits| {
        limits.reading.lanes_per_shard = 2;
        lanes = limits.reading.most_lanes();
    })
    .await;
    bed.fake.write(&bed.orders, calls + 1);
    // Nothing is answered, so that all have to wait: some on lanes, the others for one.
    let gate = Gate::closed();
    let waits = (0..lanes).map(|_| Answer::Wait(gate.clone()));
    bed.fake.script(&bed.orders, Operation::GetShardIterator, waits);
    let place = |nth: usize| {
        let number = bed.fake.entries(&bed.orders, nth..nth + 1)[0].number.to_string();
        let at_number = position(pb::IteratorType::AtSequenceNumber);
        reading(at(&bed.orders, pb::Position { sequence_number: number, ..at_number }))
    };
    let mut greedy: FuturesUnordered<_> =
        (0..calls).map(|nth| bed.called_by("all", GET, place(nth))).collect();
    for _ in 0..calls - lanes - 1 {
        let refused = in_time("a refusal", greedy.next()).await.expect("one of them");
        assert_eq!(refused.map(drop), Err(exhausted("CATCH_UP_LIMIT")));
    }
    let (waits, opens) = tokio::join!(bed.called_by("reads", GET, place(calls)), async {
        // The other's turn comes when the gate opens; it is not refused meanwhile.
        let seen = bed.called_by("reads", INFO, vec![]).await;
        gate.open();
        seen
    });
    assert!(waits.is_ok() && opens.is_ok(), "{waits:?} {opens:?}");
    while let Some(answer) = greedy.next().await {
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_caller_who_takes_no_answers_gets_no_more_and_its_neighbours_do() {
    let bed = bed_of("unread-bytes = 16384", |_| {}).await;
    let writing = Writing { count: 200, padding: 2_000, ..Writing::default() };
    bed.fake.write_with(&bed.orders, writing);
    let mut still = Raw::begin(bed.server.address, &[(INITIAL_WINDOW, 0)]).await;
    still.send(&call(1, "all", GET, &reading(start(&bed.orders)))).await;
    in_time("an answer", still.until(HEADERS)).await.expect("not closed");
    let mut waits = Box::pin(bed.called_by("all", GET, reading(start(&bed.orders))));
    // Meanwhile others are served, and so is what is small.
    let served = async {
        let others = bed.called_by("reads", GET, reading(start(&bed.orders))).await;
        assert!(others.is_ok_and(|answer| answer.len() > 100_000));
        assert!(bed.called_by("all", INFO, vec![]).await.is_ok());
    };
    tokio::select! {
        biased;
        answer = waits.as_mut() => panic!("it does not wait: {:?}", answer.map(drop)),
        () = served => {}
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let refused = in_time("a refusal", waits).await;
    assert_eq!(refused.map(drop), Err(exhausted("QUOTA_BYTES")));
    assert_eq!(bed.server.counted("shardstream_limit_rejections_total{limit=\"quota\"}").await, 1);
    drop(still);
    let again = in_time("its turn", bed.called_by("all", GET, reading(start(&bed.orders)))).await;
    assert!(again.is_ok(), "{:?}", again.map(drop));
}

#[tokio::test]
async fn a_callers_streams_wait_until_it_takes_what_it_has() {
    let bed = bed_of("unread-bytes = 16384", |_| {}).await;
    let writing = Writing { count: 200, padding: 2_000, ..Writing::default() };
    bed.fake.write_with(&bed.orders, writing);
    let source = Some(pb::stream_records_request::Source::Start(start(&bed.orders)));
    let push = pb::StreamRecordsRequest { source, ..Default::default() }.encode_to_vec();
    // A byte of each message is taken, and then no more.
    let mut greedy = Raw::begin(bed.server.address, &[(INITIAL_WINDOW, 1)]).await;
    let mut other = Raw::begin(bed.server.address, &[(INITIAL_WINDOW, 1)]).await;
    let data = async |raw: &mut Raw| in_time("data", raw.until(DATA)).await.map(|frame| frame.2);
    greedy.send(&call(1, "all", PUSH, &push)).await;
    assert_eq!(data(&mut greedy).await, Some(1));
    greedy.send(&call(3, "all", PUSH, &push)).await;
    in_time("its head", greedy.until(HEADERS)).await.expect("not closed");
    for stream in [1, 3] {
        other.send(&call(stream, "reads", PUSH, &push)).await;
        assert_eq!(data(&mut other).await, Some(stream), "others wait for nobody");
    }
    // By now its second stream would have come, too.
    greedy.send(&frame(PING, 0, 0, b"8 bytes!")).await;
    loop {
        let (kind, flags, stream, _) = in_time("a pong", greedy.next()).await.expect("not closed");
        assert_ne!(kind, DATA, "of stream {stream}");
        if (kind, flags) == (PING, END) {
            break;
        }
    }
    // Given up, the first one's bytes are free.
    greedy.send(&frame(RESET, 0, 1, &8u32.to_be_bytes())).await;
    assert_eq!(data(&mut greedy).await, Some(3), "its turn");
}
