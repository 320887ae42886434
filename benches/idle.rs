//! What idle clients cost a server in resident memory: 10,000 response streams over 100 connections, and 10,000 sessions.
//!
//! `cargo bench --bench idle`. Starts the program itself over its embedded DynamoDB, which writes nothing, and reads the
//! resident size of its process before and after. One line a round.

// Waiting for the world outside takes the machine's clock, and the programs under test their environment.
#![allow(clippy::disallowed_methods)]

use std::process::Stdio;

use shardstream::pb::{self, shard_service_client::ShardServiceClient, stream_service_client::StreamServiceClient};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tonic::transport::Channel;

const CONNECTIONS: usize = 100;
const EACH: usize = 100;

#[tokio::main]
async fn main() {
    for round in 1..=3 {
        measure(round).await;
    }
}

async fn measure(round: usize) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_shardstream"))
        .args(["dev", "--quiet", "--write-rate", "0", "--listen", "127.0.0.1:0", "--admin-listen", "off"])
        .args(["--dynamodb-port", "0", "--max-streams", "20000"])
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program was built");
    let mut lines = BufReader::new(server.stderr.take().expect("piped")).lines();
    let (mut url, mut table) = (String::new(), String::new());
    while url.is_empty() || table.is_empty() {
        let line = lines.next_line().await.expect("readable").expect("it goes on");
        let word_after = |mark: &str| line.split_once(mark).and_then(|(_, rest)| rest.split_whitespace().next());
        url = word_after("grpc=").map_or(url, str::to_owned);
        table = word_after("demo table ").map_or(table, str::to_owned);
    }
    let pid = server.id().expect("running");
    let connect = async || Channel::from_shared(url.clone()).expect("a URL").connect().await.expect("it listens");
    let mut streams = StreamServiceClient::new(connect().await);
    let listed = streams.list_shards(pb::ListShardsRequest { stream: table.clone(), ..Default::default() }).await;
    let shard_id = listed.expect("listed").into_inner().shards[0].shard_id.clone();
    let shard = pb::ShardName { stream: table, shard_id };
    let horizon = pb::Position { iterator_type: pb::IteratorType::TrimHorizon.into(), ..Default::default() };

    let mut channels = vec![];
    for _ in 0..CONNECTIONS {
        let channel = connect().await;
        // A call each, so that only streams are new afterwards.
        let info = pb::GetServerInfoRequest {};
        pb::server_service_client::ServerServiceClient::new(channel.clone())
            .get_server_info(info)
            .await
            .expect("answered");
        channels.push(channel);
    }
    // Sessions first: what streams give back would be taken for nothing used.
    let mut shards = ShardServiceClient::new(connect().await);
    let before = resident(pid);
    for _ in 0..CONNECTIONS * EACH {
        let request = pb::OpenShardRequest {
            shard: Some(shard.clone()),
            start: Some(pb::open_shard_request::Start::Position(horizon.clone())),
            lease_duration: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        };
        shards.open_shard(request).await.expect("opened");
    }
    let sessions = resident(pid);
    let connected = resident(pid);
    let mut open = vec![];
    for channel in &channels {
        for _ in 0..EACH {
            let start = pb::ShardStart {
                shard: Some(shard.clone()),
                place: Some(pb::shard_start::Place::Position(horizon.clone())),
            };
            let request = pb::StreamRecordsRequest {
                source: Some(pb::stream_records_request::Source::Start(start)),
                heartbeat_interval: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
                ..Default::default()
            };
            let mut stream =
                ShardServiceClient::new(channel.clone()).stream_records(request).await.expect("opened").into_inner();
            // The first heartbeat: the stream has reached the tip and waits.
            stream.message().await.expect("well").expect("a heartbeat");
            open.push(stream);
        }
    }
    let streaming = resident(pid);
    let each = |more: u64, less: u64| more.saturating_sub(less) / (CONNECTIONS * EACH) as u64;
    println!(
        "round {round}: {} KiB with {CONNECTIONS} connections; {} bytes an idle stream; {} bytes an idle session",
        connected / 1024,
        each(streaming, connected),
        each(sessions, before),
    );
}

/// Resident bytes of a process.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("Linux");
    statm.split_whitespace().nth(1).expect("pages").parse::<u64>().expect("a number") * 4096
}
