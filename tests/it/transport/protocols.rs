//! The transport of a plaintext server as its clients meet it: limits, foreign protocols, health,
//! reflection, metrics.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use shardstream::limits::Limits;
use shardstream::pb::{self, stream_records_response::Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;

use crate::contract::bad_input::fixture::{check, name, position};
use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::support::faulty::{Before, Faulty};
use crate::support::server::Server;

/// What must end does so long before this; nothing waits for it.
const NEVER: Duration = Duration::from_secs(60);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn serve(limits: Limits) -> (Server, FakeUpstream, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    (Server::start(Arc::new(fake.clone()), limits).await, fake, shard)
}

fn streaming(shard: &ShardRef) -> pb::StreamRecordsRequest {
    let start = Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon)));
    let start = pb::ShardStart { shard: Some(name(shard)), start };
    let source = Some(pb::stream_records_request::Source::Start(start));
    pb::StreamRecordsRequest { source, ..Default::default() }
}

fn opening(shard: &ShardRef) -> pb::OpenShardRequest {
    pb::OpenShardRequest { shard: Some(name(shard)), ..Default::default() }
}

/// A server that still answers.
async fn answers(server: &Server) {
    server.info().await.get_server_info(pb::GetServerInfoRequest {}).await.expect("still answers");
}

/// Waits until the metrics have this line.
async fn told(server: &Server, line: &str) {
    let shown = async {
        while !server.metrics().await.lines().any(|told| told == line) {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(NEVER, shown).await.is_err() {
        panic!("{line} is not in {}", server.metrics().await);
    }
}

#[tokio::test]
async fn the_limits_of_a_connection_are_announced() {
    let mut limits = Limits::default();
    limits.transport.streams_per_connection = 7;
    let (server, ..) = serve(limits).await;
    let mut client = TcpStream::connect(server.address).await.expect("listens");
    client.write_all(PREFACE).await.expect("written");
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("written");
    let mut head = [0; 9];
    client.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    client.read_exact(&mut settings).await.expect("its content");
    let setting = |id: u16| {
        let found =
            settings.chunks_exact(6).find(|one| u16::from_be_bytes([one[0], one[1]]) == id)?;
        Some(u32::from_be_bytes([found[2], found[3], found[4], found[5]]))
    };
    assert_eq!((setting(3), setting(6)), (Some(7), Some(16 << 10)), "streams and header list");
    // One that does not answer pings would be waited for.
    drop(client);
    server.end().await;
}

#[tokio::test]
async fn more_calls_than_a_connection_may_have_wait_their_turn() {
    let mut limits = Limits::default();
    limits.transport.streams_per_connection = 2;
    let (server, _, shard) = serve(limits).await;
    let mut shards = server.shards().await;
    // A client that has heard of the limit keeps it by itself.
    shards.open_shard(opening(&shard)).await.expect("opened");
    let calls = (0..20).map(|_| {
        let mut shards = shards.clone();
        let request = opening(&shard);
        async move { shards.open_shard(request).await.map(drop) }
    });
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(20).collect().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    server.end().await;
}

#[tokio::test]
async fn headers_past_the_limit_are_refused_and_hurt_nobody() {
    let (server, ..) = serve(Limits::default()).await;
    let mut info = server.info().await;
    let with_header = |bytes: usize| {
        let mut request = Request::new(pb::GetServerInfoRequest {});
        request.metadata_mut().insert("x-large", "x".repeat(bytes).parse().expect("a header"));
        request
    };
    info.get_server_info(with_header(8 << 10)).await.expect("inside the limit");
    let mut large = server.info().await;
    large.get_server_info(with_header(20 << 10)).await.expect_err("past the limit");
    info.get_server_info(with_header(1)).await.expect("still answers");
    answers(&server).await;
    server.end().await;
}

/// Calls a method with whatever message.
async fn call<M: prost::Message + Default + 'static>(
    server: &Server,
    path: &'static str,
    message: M,
) -> Status {
    let mut client = Grpc::new(server.channel().await);
    client.ready().await.expect("connected");
    let codec = ProstCodec::<M, pb::Lease>::default();
    client
        .unary(Request::new(message), PathAndQuery::from_static(path), codec)
        .await
        .expect_err("refused")
}

#[tokio::test]
async fn requests_that_are_too_large_or_none_say_so() {
    let (server, ..) = serve(Limits::default()).await;
    let table = |bytes: usize| pb::ListStreamsRequest {
        table_name: "x".repeat(bytes),
        ..Default::default()
    };
    let mut streams = server.streams().await;
    let status = streams.list_streams(table(65_000)).await.expect_err("no table's name");
    check(&status, Code::InvalidArgument, "STREAM_MALFORMED");
    for bytes in [3 << 20, 5 << 20] {
        let status = streams.list_streams(table(bytes)).await.expect_err("too large");
        check(&status, Code::InvalidArgument, "SIZE_MALFORMED");
    }
    streams.list_streams(table(0)).await.expect("the connection lives on");
    let path = "/shardstream.v1.StreamService/ListStreams";
    let status = call(&server, path, pb::Heartbeat { at_tip: true, ..Default::default() }).await;
    check(&status, Code::InvalidArgument, "REQUEST_MALFORMED");
    let status = call(
        &server,
        path,
        pb::AttributeValue { value: Some(pb::attribute_value::Value::B(vec![0xff])) },
    )
    .await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    server.end().await;
}

#[tokio::test]
async fn other_protocols_are_turned_away_and_hurt_nobody() {
    let (server, ..) = serve(Limits::default()).await;
    let frame = |kind: u8, flags: u8, stream: u32, content: &[u8]| {
        let length = (content.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
    };
    let after_preface =
        |frames: &[Vec<u8>]| [PREFACE, &frame(4, 0, 0, &[]), &frames.concat()].concat();
    for sent in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"POST /shardstream.v1.ShardService/OpenShard HTTP/1.1\r\nContent-Length: 9999\r\n\r\nhalf"
            .to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0".repeat(100),
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        PREFACE[..20].to_vec(),
        after_preface(&[frame(0, 0, 0, b"data on no stream")]),
        after_preface(&[frame(1, 4, 2, b"\xff\xff\xff")]),
        after_preface(&[frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff")]),
        after_preface(&[frame(8, 0, 0, &[0, 0, 0, 0])]),
        after_preface(&[frame(9, 4, 1, b"continued")]),
        after_preface(&[frame(4, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])]),
        after_preface(&[frame(6, 0, 0, b"short")]),
        after_preface(&[vec![0xff; 9]]),
    ] {
        let mut client = TcpStream::connect(server.address).await.expect("listens");
        client.write_all(&sent).await.expect("written");
        client.shutdown().await.expect("our half is closed");
        // Whatever it says of it, it closes. A reset is as good.
        let closed = tokio::time::timeout(NEVER, client.read_to_end(&mut vec![])).await;
        assert!(closed.is_ok(), "not closed after {sent:?}");
        answers(&server).await;
    }
    told(&server, "shardstream_panics_total 0").await;
    server.end().await;
}

#[tokio::test]
async fn sessions_and_streams_past_their_limits_are_refused_until_some_end() {
    let mut limits = Limits::default();
    limits.sessions.sessions = 2;
    limits.streams.streams = 1;
    let (server, _, shard) = serve(limits).await;
    let mut shards = server.shards().await;
    let mut leases = vec![];
    for _ in 0..2 {
        let opened =
            shards.open_shard(opening(&shard)).await.expect("inside the limit").into_inner();
        leases.push(opened.session.and_then(|session| session.lease).expect("a lease").lease_id);
    }
    let status = shards.open_shard(opening(&shard)).await.expect_err("past the limit");
    check(&status, Code::ResourceExhausted, "SESSION_LIMIT");
    told(&server, "shardstream_sessions_active 2").await;
    shards.close_shard(pb::CloseShardRequest { lease_id: leases.remove(0) }).await.expect("closed");
    shards.open_shard(opening(&shard)).await.expect("one was given back");

    let mut first =
        shards.stream_records(streaming(&shard)).await.expect("inside the limit").into_inner();
    assert_eq!(first.message().await.expect("no error").expect("records").records.len(), 5);
    let status = shards.stream_records(streaming(&shard)).await.expect_err("past the limit");
    check(&status, Code::ResourceExhausted, "STREAM_LIMIT");
    let target = Some(pb::walk_tree_request::Target::Shard(name(&shard)));
    let status = shards
        .walk_tree(pb::WalkTreeRequest { target: target.clone() })
        .await
        .expect_err("past the limit");
    check(&status, Code::ResourceExhausted, "STREAM_LIMIT");
    told(&server, "shardstream_streams_active{rpc=\"StreamRecords\"} 1").await;
    drop(first);
    told(&server, "shardstream_streams_active{rpc=\"StreamRecords\"} 0").await;
    shards.walk_tree(pb::WalkTreeRequest { target }).await.expect("it was given back");
    told(&server, "shardstream_limit_rejections_total{limit=\"sessions\"} 1").await;
    told(&server, "shardstream_limit_rejections_total{limit=\"streams\"} 2").await;
    server.end().await;
}

#[tokio::test]
async fn calls_are_counted_by_names_that_clients_cannot_make_up() {
    let (server, _, shard) = serve(Limits::default()).await;
    let mut shards = server.shards().await;
    shards.open_shard(opening(&shard)).await.expect("opened");
    shards.renew_lease(pb::RenewLeaseRequest::default()).await.expect_err("no lease");
    let request = pb::StreamRecordsRequest {
        until: Some(pb::Until { record_count: 2, ..Default::default() }),
        ..streaming(&shard)
    };
    let streamed = shards.stream_records(request).await.expect("streams").into_inner();
    assert_eq!(streamed.collect::<Vec<_>>().await.len(), 2);
    for path in [
        "/shardstream.v1.ShardService/Nothing",
        "/made.Up/ByAClient",
        "/a/b",
        "/shardstream.v1.ShardService/x",
    ] {
        assert_eq!(call(&server, path, pb::Lease::default()).await.code(), Code::Unimplemented);
    }
    let count = |method: &str, code: &str, many: usize| {
        format!(
            "shardstream_rpc_duration_seconds_count{{method=\"{method}\",code=\"{code}\"}} {many}"
        )
    };
    let of = "shardstream.v1.ShardService";
    told(&server, &count(&format!("{of}/OpenShard"), "OK", 1)).await;
    told(&server, &count(&format!("{of}/RenewLease"), "NOT_FOUND", 1)).await;
    told(&server, &count(&format!("{of}/StreamRecords"), "OK", 1)).await;
    told(&server, &count("_OTHER", "UNIMPLEMENTED", 4)).await;
    let text = server.metrics().await;
    assert!(!text.contains("ByAClient") && !text.contains("Nothing"), "{text}");
    server.end().await;
}

fn asking(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_turns_on_drain_and_watching_it_holds_up_nothing() {
    let mut limits = Limits::default();
    // Nothing is cut off by it: the server ends because everybody was told.
    limits.transport.drain = Duration::from_secs(3_600);
    let (server, _, shard) = serve(limits).await;
    let mut health = HealthClient::new(server.channel().await);
    let services = [
        "",
        "shardstream.v1.ShardService",
        "shardstream.v1.StreamService",
        "shardstream.v1.ServerService",
    ];
    let mut watches = vec![];
    for service in services {
        let answer = health.check(asking(service)).await.expect("known").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
        let mut watch = health.watch(asking(service)).await.expect("known").into_inner();
        assert_eq!(
            watch.message().await.expect("told").map(|told| told.status()),
            Some(ServingStatus::Serving)
        );
        watches.push(watch);
    }
    assert_eq!(health.check(asking("nobody")).await.expect_err("unknown").code(), Code::NotFound);
    let mut streamed = server
        .shards()
        .await
        .stream_records(streaming(&shard))
        .await
        .expect("streams")
        .into_inner();
    let first = streamed.message().await.expect("no error").expect("records");
    let ended = tokio::spawn(server.end());
    for mut watch in watches {
        let last: Vec<_> = [watch.message().await, watch.message().await]
            .into_iter()
            .map(|told| told.expect("ends well").map(|told: HealthCheckResponse| told.status()))
            .collect();
        assert_eq!(last, [Some(ServingStatus::NotServing), None]);
    }
    let (mut token, mut end) = (first.token, None);
    let status = loop {
        match streamed.message().await {
            Ok(Some(message)) => {
                token.clone_from(&message.token);
                end = message.event;
            }
            Ok(None) => panic!("no status"),
            Err(status) => break status,
        }
    };
    check(&status, Code::Unavailable, "DRAINING");
    assert!(
        matches!(end, Some(Event::End(end)) if end.reason() == pb::EndReason::Draining && end.retry_delay.is_some())
    );
    assert_ne!(token, "");
    tokio::time::timeout(NEVER, ended).await.expect("held up by nobody").expect("no panic");
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_its_versions() {
    let (server, ..) = serve(Limits::default()).await;
    macro_rules! listed {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let ask = |asked| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(asked),
            };
            let symbol = "shardstream.v1.ShardService.GetRecords";
            let asked = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol(symbol.into())),
                ask(MessageRequest::FileContainingSymbol("made.Up".into())),
            ];
            let mut client = ServerReflectionClient::new(server.channel().await);
            let answers = client
                .server_reflection_info(stream::iter(asked))
                .await
                .expect("answers")
                .into_inner();
            let answers: Vec<_> = answers.collect().await;
            let first = answers[0].as_ref().expect("listed").message_response.clone();
            let Some(MessageResponse::ListServicesResponse(list)) = first else {
                panic!("{first:?}")
            };
            let second = answers[1].as_ref().expect("found").message_response.clone();
            assert!(
                matches!(second, Some(MessageResponse::FileDescriptorResponse(_))),
                "{second:?}"
            );
            let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
            names.sort();
            names
        }};
    }
    for names in [listed!(v1), listed!(v1alpha)] {
        for service in ["ShardService", "StreamService", "ServerService"] {
            assert!(names.contains(&format!("shardstream.v1.{service}")), "{names:?}");
        }
        assert!(names.iter().any(|name| name == "grpc.health.v1.Health"), "{names:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_panic_is_the_end_of_one_call() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 1);
    let server =
        Server::start(Faulty::over(&fake, |call| call == Before::Streams), Limits::default()).await;
    let mut streams = server.streams().await;
    for _ in 0..2 {
        let status =
            streams.list_streams(pb::ListStreamsRequest::default()).await.expect_err("a fault");
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("on purpose"), "{status:?}");
        let request = pb::DescribeStreamRequest { stream: shard.stream.to_string() };
        streams.describe_stream(request).await.expect("the same connection lives on");
    }
    told(&server, "shardstream_panics_total 2").await;
    server.end().await;
}
