//! What idle clients cost a server: resident memory of 10,000 response streams of a shard and of as
//! many whole-stream subscriptions, each over 100 connections, and of 10,000 sessions; and the CPU
//! of a minute with those streams.
//!
//! `cargo bench --bench idle`; `-- 5` for five rounds instead of three. Starts the program itself
//! over its embedded DynamoDB, which writes nothing, and reads the resident size and the CPU time
//! of its process. One line a round.

// Waiting for the world outside takes the machine's clock, and the programs under test their
// environment.
#![allow(clippy::disallowed_methods)]

use std::process::Stdio;
use std::time::Duration;

use shardstream::pb;
use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::stream_service_client::StreamServiceClient;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

const CONNECTIONS: usize = 100;
const EACH: usize = 100;

/// How long the CPU of idle streams is watched.
const WATCHED: Duration = Duration::from_secs(60);

/// A running server with a table that has one shard.
struct Server {
    process: Child,
    url: String,
    shard: pb::ShardName,
}

#[tokio::main]
async fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(3);
    for round in 1..=rounds {
        let sessions = sessions(&Server::start().await).await;
        let (connections, streams, cpu) = streams(&Server::start().await).await;
        let subscriptions = subscriptions(&Server::start().await).await;
        println!(
            "round {round}: {} KiB with {CONNECTIONS} connections; {streams} bytes an idle stream; {subscriptions} bytes an \
             idle subscription; {sessions} bytes an idle session; {:.2} s of CPU in {} s with {} idle streams",
            connections / 1024,
            cpu.as_secs_f64(),
            WATCHED.as_secs(),
            CONNECTIONS * EACH,
        );
    }
}

/// Bytes a session.
async fn sessions(server: &Server) -> u64 {
    let mut shards = ShardServiceClient::new(server.connect().await);
    let before = server.resident();
    for _ in 0..CONNECTIONS * EACH {
        let request = pb::OpenShardRequest {
            shard: Some(server.shard.clone()),
            start: Some(pb::open_shard_request::Start::Position(horizon())),
            lease_duration: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        };
        shards.open_shard(request).await.expect("opened");
    }
    each(before, server.resident())
}

/// Bytes of the server with its connections, bytes a stream, and the CPU of a while.
async fn streams(server: &Server) -> (u64, u64, Duration) {
    let channels = server.connections().await;
    let before = server.resident();
    let mut open = vec![];
    for channel in channels.iter().flat_map(|channel| std::iter::repeat_n(channel, EACH)) {
        let start = pb::ShardStart {
            shard: Some(server.shard.clone()),
            start: Some(pb::shard_start::Start::Position(horizon())),
        };
        let request = pb::StreamRecordsRequest {
            source: Some(pb::stream_records_request::Source::Start(start)),
            heartbeat_interval: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
            ..Default::default()
        };
        let opened = ShardServiceClient::new(channel.clone()).stream_records(request).await;
        let mut stream = opened.expect("opened").into_inner();
        // The first heartbeat: the stream has reached the tip and waits.
        stream.message().await.expect("well").expect("a heartbeat");
        open.push(stream);
    }
    let after = server.resident();
    let cpu = server.cpu();
    tokio::time::sleep(WATCHED).await;
    (before, each(before, after), server.cpu() - cpu)
}

/// Bytes a subscription.
async fn subscriptions(server: &Server) -> u64 {
    let channels = server.connections().await;
    let before = server.resident();
    let mut open = vec![];
    for channel in channels.iter().flat_map(|channel| std::iter::repeat_n(channel, EACH)) {
        let request = pb::SubscribeRequest {
            stream: server.shard.stream.clone(),
            start: Some(pb::subscribe_request::Start::Position(horizon())),
            heartbeat_interval: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
            ..Default::default()
        };
        let opened = StreamServiceClient::new(channel.clone()).subscribe(request).await;
        open.push(opened.expect("opened").into_inner());
    }
    for stream in &mut open {
        // First the shard is told, then, some time later, the first heartbeat: the subscription has
        // reached the tip and waits.
        loop {
            let message = stream.message().await.expect("well").expect("a heartbeat");
            if matches!(message.event, Some(pb::subscribe_response::Event::Heartbeat(_))) {
                break;
            }
        }
    }
    each(before, server.resident())
}

/// The word behind this mark, in whichever line it comes.
async fn word(said: impl AsyncRead + Unpin, mark: &str) -> String {
    let mut lines = BufReader::new(said).lines();
    loop {
        let line = lines.next_line().await.expect("readable").expect("it goes on");
        let behind = line.split_once(mark).and_then(|(_, rest)| rest.split_whitespace().next());
        if let Some(word) = behind {
            return word.to_owned();
        }
    }
}

impl Server {
    async fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_shardstream-bench"))
            .args([
                "server",
                "dev",
                "--quiet",
                "--write-rate",
                "0",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "off",
            ])
            .args(["--dynamodb-port", "0", "--max-streams", "20000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program was built");
        let url = word(process.stdout.take().expect("piped"), "grpc=").await;
        let stream = word(process.stderr.take().expect("piped"), "demo table ").await;
        let channel =
            Channel::from_shared(url.clone()).expect("a URL").connect().await.expect("it listens");
        let request = pb::ListShardsRequest { stream: stream.clone(), ..Default::default() };
        let listed = StreamServiceClient::new(channel)
            .list_shards(request)
            .await
            .expect("listed")
            .into_inner();
        let shard = pb::ShardName { stream, shard_id: listed.shards[0].shard_id.clone() };
        Self { process, url, shard }
    }

    async fn connect(&self) -> Channel {
        Channel::from_shared(self.url.clone()).expect("a URL").connect().await.expect("it listens")
    }

    /// All connections, each with a call behind it, so that only streams are new afterwards.
    async fn connections(&self) -> Vec<Channel> {
        let mut channels = vec![];
        for _ in 0..CONNECTIONS {
            let channel = self.connect().await;
            let mut client = ServerServiceClient::new(channel.clone());
            client.get_server_info(pb::GetServerInfoRequest {}).await.expect("answered");
            channels.push(channel);
        }
        channels
    }

    /// Resident bytes of the process.
    fn resident(&self) -> u64 {
        let statm = self.proc("statm");
        statm.split_whitespace().nth(1).expect("pages").parse::<u64>().expect("a number") * 4096
    }

    /// The CPU time of the process so far; the kernel counts it in hundredths of a second.
    fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // Behind the name, which may contain anything: user and system time are fields 14 and 15 of
        // all.
        let fields: Vec<&str> =
            stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = |at: usize| fields[at - 3].parse::<u64>().expect("a number");
        Duration::from_millis(10 * (ticks(14) + ticks(15)))
    }

    fn proc(&self, file: &str) -> String {
        let pid = self.process.id().expect("running");
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("Linux")
    }
}

fn horizon() -> pb::Position {
    pb::Position { iterator_type: pb::IteratorType::TrimHorizon.into(), ..Default::default() }
}

fn each(before: u64, after: u64) -> u64 {
    after.saturating_sub(before) / (CONNECTIONS * EACH) as u64
}
