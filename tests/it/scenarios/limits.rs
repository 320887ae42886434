//! What clients may make the server hold for them, and what becomes of everybody else meanwhile:
//! small versions of attacks, each with the pool's own figures. `docs/limits.md` has the table.
//!
//! Real sockets know no paused clock: what must come has a short deadline of the server's and a
//! long one here, and nothing sleeps.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::Method;
use shardstream::limits::Limits;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::stream_service_client::StreamServiceClient;
use shardstream::pb::{self, get_records_request, stream_records_request};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tower::{Service as _, ServiceExt as _};

use crate::contract::bad_input::fixture::{check, name, position};
use crate::sim::fake::{FakeUpstream, ShardRef, Writing};
use crate::support::raw::{self, DATA, END, HEADERS, Raw, frame};
use crate::support::server::{Server, in_time};

/// What must not end in a test does so long after it.
const LATER: Duration = Duration::from_secs(3_600);

const MIB: usize = 1 << 20;

/// The most that one more answer adds to a pool that was not quite full.
const ONE_MORE: usize = MIB;

/// Records of the shard: four times what the pool holds.
const RECORDS: usize = 4_000;

/// An update of a window, a setting: HTTP/2's numbers.
const WINDOW_UPDATE: u8 = 8;
const INITIAL_WINDOW: u16 = 4;

async fn serve(
    records: usize,
    change: impl FnOnce(&mut Limits),
) -> (Server, FakeUpstream, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write_with(&shard, Writing { count: records, padding: 2_000, ..Writing::default() });
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 1_000.0;
    limits.reading.held_bytes = 4 * MIB;
    limits.transport.stall = LATER;
    change(&mut limits);
    (Server::start(Arc::new(fake.clone()), limits).await, fake, shard)
}

async fn held(server: &Server) -> usize {
    server.counted("shardstream_held_bytes").await as usize
}

/// Waits until nothing is held any more.
async fn all_back(server: &Server) {
    in_time("the last byte", async {
        while held(server).await > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn start(shard: &ShardRef, position: pb::Position) -> pb::ShardStart {
    pb::ShardStart {
        shard: Some(name(shard)),
        start: Some(pb::shard_start::Start::Position(position)),
    }
}

fn horizon(shard: &ShardRef) -> pb::ShardStart {
    start(shard, position(pb::IteratorType::TrimHorizon))
}

fn streaming(start: pb::ShardStart) -> pb::StreamRecordsRequest {
    pb::StreamRecordsRequest {
        source: Some(stream_records_request::Source::Start(start)),
        ..Default::default()
    }
}

/// One of forty places all over the shard.
fn nth(fake: &FakeUpstream, shard: &ShardRef, nth: usize) -> pb::Position {
    let at = RECORDS / 40 * nth;
    let number = fake.entries(shard, at..at + 1)[0].number.to_string();
    pb::Position { sequence_number: number, ..position(pb::IteratorType::AtSequenceNumber) }
}

/// A whole call of one message.
fn call(stream: u32, path: &str, request: &impl prost::Message) -> Vec<u8> {
    let message = raw::message(&request.encode_to_vec());
    [raw::head(stream, path, &[]), frame(DATA, END, stream, &message)].concat()
}

/// Reads until so many calls were answered, or begun to be.
async fn answered(raw: &mut Raw, calls: usize) {
    for _ in 0..calls {
        in_time("an answer", raw.until(HEADERS)).await.expect("not closed");
    }
}

/// Everything a shard has, as a client reads it that takes what it gets.
async fn read_all(server: &Server, shard: &ShardRef) -> usize {
    let until = Some(pb::Until { at_tip: true, ..Default::default() });
    let request = pb::StreamRecordsRequest { until, ..streaming(horizon(shard)) };
    let mut messages =
        server.shards().await.stream_records(request).await.expect("streams").into_inner();
    let mut records = 0;
    while let Some(message) = in_time("a message", messages.message()).await.expect("well") {
        records += message.records.len();
    }
    records
}

#[tokio::test]
async fn answers_that_nobody_reads_fill_the_pool_and_no_more() {
    let (server, fake, shard) = serve(RECORDS, |_| {}).await;
    let mut push = server
        .shards()
        .await
        .stream_records(streaming(horizon(&shard)))
        .await
        .expect("streams")
        .into_inner();
    let mut pushed = 0;
    while pushed < RECORDS {
        pushed += in_time("a message", push.message())
            .await
            .expect("well")
            .expect("no end")
            .records
            .len();
    }
    let mut still = Raw::begin(server.address, &[(INITIAL_WINDOW, 0)]).await;
    for number in 0..40 {
        // Each another page, or another piece of one.
        let source = Some(get_records_request::Source::Start(start(
            &shard,
            nth(&fake, &shard, number as usize),
        )));
        let request = pb::GetRecordsRequest { source, max_bytes: 3 << 20, ..Default::default() };
        still
            .send(&call(1 + 2 * number, "/shardstream.v1.ShardService/GetRecords", &request))
            .await;
    }
    answered(&mut still, 40).await;
    let now = held(&server).await;
    assert!((MIB..4 * MIB + ONE_MORE).contains(&now), "{now} bytes are held");
    // Everybody else goes on.
    server
        .info()
        .await
        .get_server_info(pb::GetServerInfoRequest {})
        .await
        .expect("small answers always fit");
    fake.write(&shard, 1);
    while in_time("the record", push.message())
        .await
        .expect("well")
        .expect("no end")
        .records
        .is_empty()
    {}
    assert_eq!(read_all(&server, &shard).await, RECORDS + 1);
    drop((still, push));
    all_back(&server).await;
    server.end().await;
}

#[tokio::test]
async fn pages_that_stalled_streams_keep_fill_the_pool_and_no_more() {
    let (server, fake, shard) = serve(RECORDS, |_| {}).await;
    // All of it is in the window: nobody waits for a turn to read.
    assert_eq!(read_all(&server, &shard).await, RECORDS);
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("an address");
    let endpoint =
        endpoint.initial_stream_window_size(65_535).initial_connection_window_size(1 << 30);
    let mut client = ShardServiceClient::new(endpoint.connect().await.expect("listens"));
    let mut still = vec![];
    for number in 0..40 {
        let request = streaming(start(&shard, nth(&fake, &shard, number)));
        let opened = in_time("an answer", client.stream_records(request)).await;
        let mut opened =
            opened.unwrap_or_else(|status| panic!("stream {number}: {status:?}")).into_inner();
        // From here on nobody takes anything.
        in_time(&format!("the first message of stream {number}"), opened.message())
            .await
            .expect("well");
        still.push(opened);
    }
    assert_eq!(read_all(&server, &shard).await, RECORDS);
    let now = held(&server).await;
    assert!((MIB..4 * MIB + ONE_MORE).contains(&now), "{now} bytes are held");
    drop((still, client));
    all_back(&server).await;
    server.end().await;
}

#[tokio::test]
async fn requests_that_do_not_come_whole_are_bounded_and_end() {
    let (server, ..) = serve(5, |limits| {
        limits.reading.held_bytes = 256 << 10;
        limits.transport.request = Duration::from_secs(3);
    })
    .await;
    let mut slow = Raw::begin(server.address, &[]).await;
    // The server's window for all of them.
    in_time("a window", slow.until(WINDOW_UPDATE)).await.expect("not closed");
    for number in 0..30 {
        let stream = 1 + 2 * number;
        slow.send(&raw::head(stream, "/shardstream.v1.StreamService/Subscribe", &[])).await;
        let part = [&[0, 0, 16, 0, 0][..], &[7; 16_000]].concat();
        slow.send(&frame(DATA, 0, stream, &part)).await;
    }
    // There is room for a third of them; the others wait for it in vain.
    in_time("the most", async { while held(&server).await < 128 << 10 {} }).await;
    server
        .info()
        .await
        .get_server_info(pb::GetServerInfoRequest {})
        .await
        .expect("others are served");
    let now = held(&server).await;
    assert!(now <= 256 << 10, "{now} bytes are held");
    answered(&mut slow, 30).await;
    all_back(&server).await;
    drop(slow);
    server.end().await;
}

#[tokio::test]
async fn a_request_that_does_not_come_whole_is_told_so() {
    let (server, ..) =
        serve(5, |limits| limits.transport.request = Duration::from_millis(100)).await;
    let mut channel = server.channel().await;
    let request = http::Request::post(format!(
        "http://{}/shardstream.v1.StreamService/Subscribe",
        server.address
    ))
    .header("content-type", "application/grpc")
    .body(Body::new(Silent))
    .expect("a request");
    let answer = in_time("an answer", channel.ready().await.expect("connected").call(request))
        .await
        .expect("answered");
    let status = Status::from_header_map(answer.headers()).expect("a status");
    check(&status, Code::DeadlineExceeded, "REQUEST_TIMEOUT");
    drop(channel);
    server.end().await;
}

/// A body that never comes.
struct Silent;

impl http_body::Body for Silent {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
        std::task::Poll::Pending
    }
}

/// A connection from another address of this machine.
async fn from(last: u8, server: &Server) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("an address");
    endpoint
        .local_address(Some(IpAddr::from([127, 0, 0, last])))
        .connect()
        .await
        .expect("the server listens")
}

#[tokio::test]
async fn reflection_is_for_a_few_at_a_time_and_for_a_few_questions() {
    let (server, ..) = serve(5, |_| {}).await;
    let mut client = ServerReflectionClient::new(from(1, &server).await);
    let mut open = vec![];
    let refused = loop {
        match client.server_reflection_info(futures::stream::pending()).await {
            Ok(answers) => open.push(answers),
            Err(status) => break status,
        }
        assert!(open.len() <= 16, "more than there are");
    };
    check(&refused, Code::ResourceExhausted, "PEER_LIMIT");
    assert_eq!(open.len(), 12);
    let mut other = ServerReflectionClient::new(from(2, &server).await);
    let question = ServerReflectionRequest {
        host: "x".repeat(40_000),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let questions = futures::stream::iter([question.clone(), question]);
    let mut answers = other
        .server_reflection_info(questions)
        .await
        .expect("there is room for others")
        .into_inner();
    let first = in_time("an answer", answers.message()).await.expect("well");
    assert!(first.is_some(), "the first question is answered");
    let second = in_time("an end", answers.message()).await;
    assert!(!matches!(second, Ok(Some(_))), "too many bytes: {second:?}");
    server.info().await.get_server_info(pb::GetServerInfoRequest {}).await.expect("still answers");
    drop((open, client, other, answers));
    server.end().await;
}

#[tokio::test]
async fn no_address_takes_all_of_anything() {
    let (server, _, shard) = serve(5, |limits| {
        (limits.sessions.sessions, limits.streams.streams, limits.transport.connections) =
            (8, 8, 16);
    })
    .await;
    let mut greedy = ShardServiceClient::new(from(1, &server).await);
    let mut other = ShardServiceClient::new(from(2, &server).await);
    let opening = pb::OpenShardRequest { shard: Some(name(&shard)), ..Default::default() };
    let mut leases = vec![];
    let refused = loop {
        match greedy.open_shard(opening.clone()).await {
            Ok(opened) => leases.push(opened),
            Err(status) => break status,
        }
    };
    check(&refused, Code::ResourceExhausted, "PEER_LIMIT");
    assert_eq!(leases.len(), 6);
    other.open_shard(opening).await.expect("there is room for others");
    let mut streams = vec![];
    let refused = loop {
        match greedy.stream_records(streaming(horizon(&shard))).await {
            Ok(opened) => streams.push(opened),
            Err(status) => break status,
        }
    };
    check(&refused, Code::ResourceExhausted, "PEER_LIMIT");
    assert_eq!(streams.len(), 6);
    other.stream_records(streaming(horizon(&shard))).await.expect("there is room for others");
    streams.pop();
    in_time("a stream that was given back", async {
        while greedy.stream_records(streaming(horizon(&shard))).await.is_err() {}
    })
    .await;
    // Connections past the share are closed, those of others are not.
    let mut connections = vec![];
    for _ in 0..16 {
        let mut raw = Raw::connect_from([127, 0, 0, 3], server.address).await;
        raw.opening(&[]).await;
        connections.push(raw);
    }
    let mut alive = 0;
    for raw in &mut connections {
        alive += usize::from(in_time("a ping", raw.lives()).await);
    }
    assert!((6..=11).contains(&alive), "{alive} of 14");
    let mut late = ShardServiceClient::new(from(4, &server).await);
    late.close_shard(pb::CloseShardRequest::default()).await.expect("there is room for others");
    drop((connections, greedy, other, late, streams));
    server.end().await;
}

#[tokio::test]
async fn made_up_names_of_one_address_keep_no_other_from_a_stream() {
    let (server, _, shard) = serve(5, |_| {}).await;
    let greedy = StreamServiceClient::new(from(1, &server).await);
    let describe = |stream: String| {
        let mut client = greedy.clone();
        async move { client.describe_stream(pb::DescribeStreamRequest { stream }).await }
    };
    let made_up = |number| format!("arn:aws:dynamodb:us-east-1:1:table/None/stream/{number}");
    let mut asked: FuturesUnordered<_> = (0..40).map(|number| describe(made_up(number))).collect();
    while let Some(answer) = asked.next().await {
        let status = answer.expect_err("there is no such stream");
        if status.code() == Code::ResourceExhausted {
            check(&status, Code::ResourceExhausted, "LISTING_LIMIT");
            break;
        }
    }
    let mut other = StreamServiceClient::new(from(2, &server).await);
    let request = pb::DescribeStreamRequest { stream: shard.stream.to_string() };
    in_time("a description", other.describe_stream(request))
        .await
        .expect("there is room for others");
    drop((asked, greedy, other));
    server.end().await;
}

#[tokio::test]
async fn what_is_no_grpc_is_told_so_in_the_words_of_http() {
    let (server, ..) = serve(5, |_| {}).await;
    let mut channel = server.channel().await;
    let path = format!("http://{}/shardstream.v1.ServerService/GetServerInfo", server.address);
    let mut ask = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = http::Request::builder().method(method).uri(&path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        channel.ready().await.expect("connected").call(request).await.expect("answered")
    };
    let grpc = ("content-type", "application/grpc");
    assert_eq!(ask(Method::GET, &[grpc]).await.status(), 405);
    for kind in ["application/json", "application/grpc-web", "application/grpc+json", "text/plain"]
    {
        assert_eq!(ask(Method::POST, &[("content-type", kind)]).await.status(), 415, "{kind}");
    }
    for kind in ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"] {
        let answer = ask(Method::POST, &[("content-type", kind)]).await;
        assert_eq!(answer.status(), 200, "{kind}");
    }
    let packed = ask(Method::POST, &[grpc, ("grpc-encoding", "gzip")]).await;
    let status = Status::from_header_map(packed.headers()).expect("a status");
    check(&status, Code::Unimplemented, "COMPRESSION_UNSUPPORTED");
    assert_eq!(packed.headers()["grpc-accept-encoding"], "identity");
    drop(channel);
    server.end().await;
}

#[tokio::test]
async fn calls_that_come_at_one_moment_wait_for_room_and_are_not_refused() {
    let (server, fake, shard) = serve(RECORDS, |_| {}).await;
    assert_eq!(read_all(&server, &shard).await, RECORDS);
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("an address");
    let channel =
        endpoint.initial_stream_window_size(65_535).initial_connection_window_size(1 << 30);
    let channel = channel.connect().await.expect("listens");
    let opened = futures::future::join_all((0..40).map(|number| {
        let request = streaming(start(&shard, nth(&fake, &shard, number)));
        let mut client = ShardServiceClient::new(channel.clone());
        async move {
            let mut messages = client.stream_records(request).await?.into_inner();
            messages.message().await?;
            Ok::<_, Status>(messages)
        }
    }));
    let opened = in_time("all of them", opened).await;
    let refused: Vec<_> = opened.iter().filter_map(|opened| opened.as_ref().err()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    drop((opened, channel));
    all_back(&server).await;
    server.end().await;
}
