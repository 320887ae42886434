//! What a server that goes away waits for, and for whom not.

use std::sync::Arc;
use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::upstream::Operation;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::contract::bad_input::fixture::{check, name, position};
use crate::sim::fake::{Answer, FakeUpstream, Gate, ShardRef};
use crate::support::server::Server;

/// What must happen does so long before this; the drain limit is longer, so that nothing ends by
/// it.
const NEVER: Duration = Duration::from_secs(60);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn serve() -> (Server, FakeUpstream, ShardRef) {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    let mut limits = Limits::default();
    limits.transport.drain = 10 * NEVER;
    limits.transport.first_byte = 10 * NEVER;
    (Server::start(Arc::new(fake.clone()), limits).await, fake, shard)
}

async fn ends(server: Server) {
    tokio::time::timeout(NEVER, server.end()).await.expect("nobody holds it up");
}

#[tokio::test]
async fn who_is_no_client_yet_holds_up_nothing() {
    let (server, ..) = serve().await;
    let mut held = vec![];
    // The last is a client that answers no ping.
    for sent in [0, 1, 20, 24, 30, PREFACE.len()] {
        let mut client = TcpStream::connect(server.address).await.expect("listens");
        client.write_all(&PREFACE[..sent]).await.expect("written");
        held.push(client);
    }
    while server.counted("shardstream_connections_active").await < 6 {
        tokio::task::yield_now().await;
    }
    ends(server).await;
    for mut client in held {
        // Closed or reset: it is not waited for.
        let _ = client.read_to_end(&mut vec![]).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_nothing() {
    let (server, fake, shard) = serve().await;
    // More than a client takes unread.
    for _ in 0..200 {
        fake.write(&shard, 50);
    }
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("an address");
    let channel = endpoint.initial_stream_window_size(1_024).connect().await.expect("listens");
    let mut shards = pb::shard_service_client::ShardServiceClient::new(channel);
    let start = Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon)));
    let start = pb::ShardStart { shard: Some(name(&shard)), start };
    let request = pb::StreamRecordsRequest {
        source: Some(pb::stream_records_request::Source::Start(start)),
        ..Default::default()
    };
    let stalled = shards.stream_records(request).await.expect("streams");
    while server.counted("shardstream_records_delivered_total").await == 0 {
        tokio::task::yield_now().await;
    }
    ends(server).await;
    drop(stalled);
}

#[tokio::test]
async fn a_call_that_waits_for_the_upstream_is_told_and_holds_up_nothing() {
    let (server, fake, shard) = serve().await;
    fake.script_listing(Operation::DescribeStream, [Answer::Wait(Gate::closed())]);
    let mut streams = server.streams().await;
    let request = pb::DescribeStreamRequest { stream: shard.stream.to_string() };
    let call = tokio::spawn(async move { streams.describe_stream(request).await });
    while fake.calls(Operation::DescribeStream) == 0 {
        tokio::task::yield_now().await;
    }
    ends(server).await;
    check(&call.await.expect("no panic").expect_err("told"), Code::Unavailable, "DRAINING");
}
