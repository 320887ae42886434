//! Connections as those who mean ill use them, and those who merely stand still: what each may
//! hold, and for how long.
//!
//! Real sockets know no paused clock: what must come has a short deadline of the server's and a
//! long one here, and nothing sleeps.

use std::sync::Arc;
use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::pb::shard_service_client::ShardServiceClient;
use tokio::io::AsyncReadExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::contract::bad_input::fixture::{name, position};
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::raw::{self, GOAWAY, PREFACE, Raw, SETTINGS, frame};
use crate::support::server::{Server, in_time};

/// What must not end in a test does so long after it.
const LATER: Duration = Duration::from_secs(3_600);

const SOON: Duration = Duration::from_millis(500);

async fn serve(change: impl FnOnce(&mut Limits)) -> (Server, FakeUpstream, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 1_000.0;
    change(&mut limits);
    (Server::start(Arc::new(fake.clone()), limits).await, fake, shard)
}

/// Waits until the metrics have this line.
async fn told(server: &Server, line: &str) {
    in_time(line, async {
        while !server.metrics().await.lines().any(|told| told == line) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Beginnings that are none.
fn halves() -> Vec<Vec<u8>> {
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    [1, 20, 24, 24 + 5, 24 + 9, 24 + 14]
        .map(|bytes| [PREFACE, &settings].concat()[..bytes].to_vec())
        .into()
}

#[tokio::test]
async fn a_beginning_that_is_not_whole_holds_its_connection_until_the_deadline() {
    let (server, ..) = serve(|limits| limits.transport.first_byte = SOON).await;
    let mut whole = Raw::begin(server.address, &[]).await;
    let mut others = vec![];
    for half in halves() {
        let mut raw = Raw::connect(server.address).await;
        raw.send(&half).await;
        others.push((half.len(), raw));
    }
    for (bytes, mut raw) in others {
        // Answers nothing: that would make its beginning whole.
        let _ =
            in_time(&format!("the end after {bytes} bytes"), raw.socket.read_to_end(&mut vec![]))
                .await;
    }
    assert!(in_time("a ping", whole.lives()).await, "one that began has no such deadline");
    told(&server, "shardstream_connections_active 1").await;
    drop(whole);
    server.end().await;
}

#[tokio::test]
async fn a_beginning_that_is_not_whole_does_not_hold_the_drain() {
    let (server, ..) =
        serve(|limits| (limits.transport.first_byte, limits.transport.drain) = (LATER, LATER))
            .await;
    let mut halves_sent = vec![];
    for half in halves() {
        let mut raw = Raw::connect(server.address).await;
        raw.send(&half).await;
        halves_sent.push(raw);
    }
    told(&server, "shardstream_connections_active 6").await;
    in_time("the end", server.end()).await;
}

#[tokio::test]
async fn a_connection_without_calls_is_told_to_go_and_one_with_a_call_stays() {
    let (server, ..) = serve(|limits| limits.transport.idle = SOON).await;
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.expect("known").into_inner();
    watch.message().await.expect("told");
    let mut idle = Raw::begin(server.address, &[]).await;
    assert!(in_time("the end", idle.until(GOAWAY)).await.is_some(), "told before it is closed");
    in_time("the end", idle.rest()).await;
    told(&server, "shardstream_connections_active 1").await;
    health.check(HealthCheckRequest::default()).await.expect("the same connection is in use");
    drop((watch, health));
    server.end().await;
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_and_its_calls_go_on_until_their_grace_is_over() {
    for grace in [LATER, SOON] {
        let (server, ..) = serve(|limits| {
            (limits.transport.max_age, limits.transport.age_grace) = (Some(SOON), grace);
        })
        .await;
        let mut raw = Raw::begin(server.address, &[]).await;
        let watch = [
            raw::head(1, "/grpc.health.v1.Health/Watch", &[]),
            frame(raw::DATA, raw::END, 1, &raw::message(&[])),
        ];
        raw.send(&watch.concat()).await;
        assert!(in_time("GOAWAY", raw.until(GOAWAY)).await.is_some(), "told");
        if grace == SOON {
            in_time("the end", raw.rest()).await;
        } else {
            // Still a connection, whatever was said: its call goes on, and ends with its client.
            raw.send(&frame(raw::PING, 0, 0, b"8 bytes!")).await;
            let answered = in_time("a pong", async {
                while let Some((kind, flags, ..)) = raw.next().await {
                    if (kind, flags) == (raw::PING, raw::END) {
                        return true;
                    }
                }
                false
            });
            assert!(answered.await, "its call goes on");
            raw.send(&frame(raw::RESET, 0, 1, &8u32.to_be_bytes())).await;
            in_time("the end", raw.rest()).await;
        }
        let mut info = server.info().await;
        info.get_server_info(pb::GetServerInfoRequest {}).await.expect("newcomers are served");
        drop(info);
        server.end().await;
    }
}

#[tokio::test]
async fn a_stream_on_an_old_connection_ends_with_its_token_before_it_is_closed() {
    let (server, fake, shard) = serve(|limits| {
        (limits.transport.max_age, limits.transport.age_grace) = (Some(SOON), SOON);
    })
    .await;
    fake.write(&shard, 3);
    let source = Some(pb::stream_records_request::Source::Start(horizon(&shard)));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let opened = server.shards().await.stream_records(request).await;
    let mut records = opened.expect("streams").into_inner();
    let mut end = None;
    let status = loop {
        match in_time("the end", records.message()).await {
            Ok(Some(message)) => {
                if let Some(pb::stream_records_response::Event::End(told)) = message.event {
                    end = Some((told.reason(), message.token));
                }
            }
            Ok(None) => panic!("no status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let (reason, token) = end.expect("an end is told");
    assert_eq!(reason, pb::EndReason::Draining);
    assert!(!token.is_empty(), "without its token");
    server.end().await;
}

/// Calls of these numbers on their connection, each cancelled as soon as it is made.
fn cancelled(calls: std::ops::Range<u32>) -> Vec<u8> {
    let calls = calls.flat_map(|call| {
        let stream = 1 + 2 * call;
        let path = "/shardstream.v1.StreamService/ListStreams";
        [raw::head(stream, path, &[]), frame(raw::RESET, 0, stream, &8u32.to_be_bytes())].concat()
    });
    calls.collect()
}

const PAUSES: &str = "shardstream_cancellation_pauses_total";

/// A connection from the address with this last byte.
async fn from(address: u8, server: &Server) -> Raw {
    let mut raw = Raw::connect_from([127, 0, 0, address], server.address).await;
    raw.opening(&[]).await;
    raw
}

#[tokio::test]
async fn who_cancels_too_many_calls_is_read_later_and_nobody_else() {
    // A pause is a minute: in this test nobody is read again after one.
    let (server, ..) = serve(|limits| {
        limits.transport.cancellations_per_second = 1.0;
        (limits.transport.keepalive_timeout, limits.transport.drain) = (LATER, LATER);
    })
    .await;
    let mut greedy = from(2, &server).await;
    greedy.send(&cancelled(0..2)).await;
    assert!(in_time("a ping", greedy.lives()).await);
    assert_eq!(server.counted(PAUSES).await, 0, "as many as it may");
    greedy.send(&cancelled(2..100)).await;
    told(&server, &format!("{PAUSES} 1")).await;
    let unread = tokio::spawn(async move { greedy.lives().await });
    let (mut neighbour, mut other) = (from(2, &server).await, from(3, &server).await);
    other.send(&cancelled(0..2)).await;
    for _ in 0..10 {
        assert!(in_time("a ping", neighbour.lives()).await, "it cancels nothing");
        assert!(in_time("a ping", other.lives()).await, "it cancels no more than it may");
    }
    assert_eq!(server.counted(PAUSES).await, 1);
    let mut again = from(2, &server).await;
    again.send(&cancelled(0..1)).await;
    told(&server, &format!("{PAUSES} 2")).await;
    assert!(!unread.is_finished(), "its ping waits behind what it cancelled");
    told(&server, "shardstream_connections_active 4").await;
    in_time("the end of a drain", server.end()).await;
    assert!(!in_time("the end", unread).await.expect("no panic"));
}

/// Calls of these numbers on their connection, each of which the server has to reset: no window
/// grows by so much.
fn reset(calls: std::ops::Range<u32>) -> Vec<u8> {
    let calls = calls.flat_map(|call| {
        let stream = 1 + 2 * call;
        let path = "/shardstream.v1.StreamService/ListStreams";
        let more = frame(raw::WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
        [raw::head(stream, path, &[]), more].concat()
    });
    calls.collect()
}

#[tokio::test]
async fn calls_that_a_client_makes_the_server_reset_count_as_cancelled() {
    let (server, ..) = serve(|limits| {
        limits.transport.cancellations_per_second = 10.0;
        (limits.transport.keepalive_timeout, limits.transport.drain) = (LATER, LATER);
    })
    .await;
    // One connection after another, none of which has many.
    for connection in 0..3 {
        let mut greedy = from(2, &server).await;
        greedy.send(&reset(0..6)).await;
        for _ in 0..6 {
            assert!(in_time("a reset", greedy.until(raw::RESET)).await.is_some());
        }
        assert_eq!(server.counted(PAUSES).await, 0, "connection {connection}: as many as it may");
    }
    let mut greedy = from(2, &server).await;
    greedy.send(&reset(0..6)).await;
    told(&server, &format!("{PAUSES} 1")).await;
    let unread = tokio::spawn(async move { greedy.lives().await });
    let mut other = from(3, &server).await;
    for _ in 0..10 {
        assert!(in_time("a ping", other.lives()).await, "it made nothing be reset");
    }
    assert!(!unread.is_finished(), "its ping waits");
    in_time("the end of a drain", server.end()).await;
    assert!(!in_time("the end", unread).await.expect("no panic"));
}

#[tokio::test]
async fn who_cancels_too_many_calls_loses_none_of_its_others() {
    let (server, ..) = serve(|limits| limits.transport.cancellations_per_second = 200.0).await;
    let mut raw = from(2, &server).await;
    for burst in 0..6 {
        raw.send(&cancelled(burst * 100..burst * 100 + 100)).await;
        assert!(in_time("a ping", raw.lives()).await, "burst {burst}");
    }
    assert!(server.counted(PAUSES).await > 0);
    let (call, path) = (1 + 2 * 600, "/shardstream.v1.ServerService/GetServerInfo");
    raw.send(
        &[raw::head(call, path, &[]), frame(raw::DATA, raw::END, call, &raw::message(&[]))]
            .concat(),
    )
    .await;
    let answer = in_time("an answer", async {
        loop {
            match raw.until(raw::DATA).await {
                Some((.., stream, content)) if stream == call => return content,
                Some(_) => {}
                None => panic!("ended"),
            }
        }
    });
    assert!(answer.await.len() > 5);
    server.end().await;
}

#[tokio::test]
async fn a_burst_of_cancelled_calls_leaves_its_connection() {
    let (server, ..) = serve(|_| {}).await;
    let mut raw = Raw::begin(server.address, &[]).await;
    for burst in 0..3 {
        raw.send(&cancelled(burst * 100..burst * 100 + 100)).await;
        assert!(in_time("a ping", raw.lives()).await, "burst {burst}");
    }
    // Without end it is an attack.
    let calls = (300..10_000).flat_map(|call| {
        let stream = 1 + 2 * call;
        [raw::head(stream, "/a/b", &[]), frame(raw::RESET, 0, stream, &8u32.to_be_bytes())].concat()
    });
    let calls: Vec<u8> = calls.collect();
    raw.send(&calls).await;
    assert!(!in_time("a ping", raw.lives()).await, "told to calm down");
    server.end().await;
}

pub fn horizon(shard: &ShardRef) -> pb::ShardStart {
    let start = Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon)));
    pb::ShardStart { shard: Some(name(shard)), start }
}

/// A stream of the whole shard, over a connection whose windows are small, after its first message.
async fn standing(
    server: &Server,
    shard: &ShardRef,
) -> tonic::Streaming<pb::StreamRecordsResponse> {
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("an address");
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.expect("listens");
    let source = Some(pb::stream_records_request::Source::Start(horizon(shard)));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut client = ShardServiceClient::new(channel);
    let mut still = client.stream_records(request).await.expect("streams").into_inner();
    still.message().await.expect("well").expect("records");
    still
}

async fn last<M>(mut messages: tonic::Streaming<M>) -> Status {
    loop {
        match messages.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no status"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_ended_and_what_waits_for_records_is_not() {
    let (server, fake, shard) = serve(|limits| limits.transport.stall = SOON).await;
    let quiet = fake.add_shard(&shard.stream, None);
    fake.write(&shard, 20_000);
    let source = Some(pb::stream_records_request::Source::Start(horizon(&quiet)));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut waiting =
        server.shards().await.stream_records(request).await.expect("streams").into_inner();
    let still = standing(&server, &shard).await;
    told(&server, "shardstream_streams_active{rpc=\"StreamRecords\"} 1").await;
    assert_eq!(in_time("the end", last(still)).await.code(), Code::Cancelled);
    fake.write(&quiet, 1);
    let records = in_time("a record", async {
        loop {
            let message = waiting.message().await.expect("well").expect("not ended");
            if !message.records.is_empty() {
                return message.records.len();
            }
        }
    });
    assert_eq!(records.await, 1);
    drop(waiting);
    server.end().await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_does_not_hold_the_drain() {
    let (server, fake, shard) =
        serve(|limits| (limits.transport.stall, limits.transport.drain) = (LATER, LATER)).await;
    fake.write(&shard, 20_000);
    let still = standing(&server, &shard).await;
    in_time("the end", server.end()).await;
    drop(still);
}

#[tokio::test]
async fn those_who_are_sent_away_together_do_not_come_back_together() {
    let (server, fake, shard) = serve(|_| {}).await;
    fake.write(&shard, 1);
    let mut shards = server.shards().await;
    let mut streams = vec![];
    for _ in 0..20 {
        let source = Some(pb::stream_records_request::Source::Start(horizon(&shard)));
        let request = pb::StreamRecordsRequest { source, ..Default::default() };
        let mut opened = shards.stream_records(request).await.expect("streams").into_inner();
        opened.message().await.expect("well").expect("records");
        streams.push(opened);
    }
    let ended = tokio::spawn(server.end());
    let mut delays = vec![];
    for mut stream in streams {
        let mut told = None;
        let status = loop {
            match in_time("the end", stream.message()).await {
                Ok(Some(message)) => {
                    if let Some(pb::stream_records_response::Event::End(end)) = message.event {
                        told = end.retry_delay.and_then(|delay| Duration::try_from(delay).ok());
                    }
                }
                Ok(None) => panic!("no status"),
                Err(status) => break status,
            }
        };
        let of_status = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!((of_status, status.code()), (told, Code::Unavailable));
        delays.push(told.expect("a delay"));
    }
    delays.sort();
    let (first, last) = (delays[0], delays[19]);
    assert!(first >= Duration::from_millis(500) && last < Duration::from_secs(2), "{delays:?}");
    assert!(last - first > Duration::from_millis(200), "{delays:?}");
    in_time("the end", ended).await.expect("no panic");
}
