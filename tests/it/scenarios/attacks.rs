//! What a client that means ill can do to a server that is a process of its own: its memory, and
//! what a bystander sees.
//!
//! Each attack runs against a server of its own with the limits it ships with, but for windows that
//! are small and full before it begins. Its most resident memory may grow by 64 MiB, and the
//! bystander's stream misses nothing. How late the bystander's records come and how long its small
//! calls take is measured and printed, for `docs/limits.md`:
//!
//! `SHARDSTREAM_BIN=target/release/shardstream SHARDSTREAM_ATTACK_TICKS=100 cargo test --test it
//! attacks -- --nocapture --test-threads 1`

mod bystander;
mod upstream;
mod ways;

use std::time::Instant;

use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::{self, stream_records_request};

use crate::contract::bad_input::fixture::position;
use crate::support::program::Program;
use crate::support::server::in_time;

use bystander::{Bystander, Figures};
use upstream::{Endpoint, FULL, PAGE, PAGES, STREAM};
use ways::{Held, Way};

/// What an attack may cost.
const MOST_MIB: u64 = 64;

/// A server under attack, and the upstream it reads.
pub struct Bed {
    upstream: Endpoint,
    server: Program,
}

impl Bed {
    /// A server whose windows are full.
    async fn start() -> Self {
        let upstream = Endpoint::start().await;
        let flags = [
            "--window-bytes",
            "16MiB",
            "--window-bytes-per-shard",
            "4MiB",
            "--shard-calls-per-second",
            "100",
        ];
        let variables = [("AWS_ENDPOINT_URL", upstream.url.as_str()), ("AWS_REGION", "us-east-1")];
        let variables =
            [&variables[..], &[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]]
                .concat();
        let server = Program::serve(&flags, &variables).await.expect("it serves");
        let bed = Self { upstream, server };
        for shard in 0..FULL {
            assert_eq!(bed.read_all(shard).await, PAGES * PAGE);
        }
        bed
    }

    /// All records of a full shard, as a client reads them that takes what it gets.
    async fn read_all(&self, shard: usize) -> usize {
        let request =
            streaming(start(&self.upstream.full(shard), position(pb::IteratorType::TrimHorizon)));
        let mut messages =
            self.server.shards().await.stream_records(request).await.expect("streams").into_inner();
        let mut records = 0;
        while let Some(message) = in_time("a message", messages.message()).await.expect("well") {
            records += message.records.len();
        }
        records
    }

    /// A figure of the process in MiB, as Linux tells it.
    fn mib(&self, name: &str) -> u64 {
        let pid = self.server.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a figure");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().expect("a number of KiB")
            / 1_024
    }

    /// Lets the most resident memory begin anew.
    fn forget_peak(&self) {
        let pid = self.server.child.id().expect("it runs");
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("one's own child");
    }
}

fn start(shard: &str, position: pb::Position) -> pb::ShardStart {
    let shard = pb::ShardName { stream: STREAM.to_owned(), shard_id: shard.to_owned() };
    pb::ShardStart { shard: Some(shard), start: Some(pb::shard_start::Start::Position(position)) }
}

fn streaming(start: pb::ShardStart) -> pb::StreamRecordsRequest {
    pb::StreamRecordsRequest {
        source: Some(stream_records_request::Source::Start(start)),
        ..Default::default()
    }
}

/// Seconds of the bystander, in tenths.
fn ticks() -> usize {
    std::env::var("SHARDSTREAM_ATTACK_TICKS")
        .ok()
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(10)
}

/// Attacks a server, and says what it cost.
async fn suffer(name: &str, way: Way) {
    let bed = Bed::start().await;
    let mut bystander = Bystander::begin(&bed).await;
    let before = bystander.watch(ticks()).await;
    let base = bed.mib("VmRSS:");
    bed.forget_peak();
    let held: Held = in_time("the attack", way(&bed)).await;
    // What came while the attack began waited for this bystander, not for the server.
    bystander.watch(ticks() / 2).await;
    let during = bystander.watch(ticks()).await;
    let most = bed.mib("VmHWM:").saturating_sub(base);
    drop(held);
    let ended = Instant::now();
    let mut newcomer = ShardServiceClient::new(in_time("a newcomer", bed.server.channel()).await);
    let first = streaming(start(&bed.upstream.growing(), position(pb::IteratorType::TrimHorizon)));
    let mut first = newcomer.stream_records(first).await.expect("let in").into_inner();
    in_time("a newcomer's records", first.message()).await.expect("well");
    bystander.watch(1).await;
    let back = ended.elapsed();
    let Figures { push, small } = during;
    println!(
        "| {name} | +{most} MiB | {:?} → {push:?} | {:?} → {small:?} | {back:?} |",
        before.push, before.small
    );
    assert!(most <= MOST_MIB, "{name}: {most} MiB more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_answers() {
    suffer("unread_answers", |bed| Box::pin(ways::unread_answers(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_streams() {
    suffer("unread_streams", |bed| Box::pin(ways::unread_streams(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_requests() {
    suffer("unfinished_requests", |bed| Box::pin(ways::unfinished_requests(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_reflection() {
    suffer("unread_reflection", |bed| Box::pin(ways::unread_reflection(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_watches() {
    suffer("health_watches", |bed| Box::pin(ways::health_watches(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_bytes() {
    suffer("single_bytes", |bed| Box::pin(ways::single_bytes(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections() {
    suffer("silent_connections", |bed| Box::pin(ways::silent_connections(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_of_many_shards() {
    suffer("watches_of_many_shards", |bed| Box::pin(ways::watches_of_many_shards(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walks_of_many_shards() {
    suffer("walks_of_many_shards", |bed| Box::pin(ways::walks_of_many_shards(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls() {
    suffer("cancelled_calls", |bed| Box::pin(ways::cancelled_calls(bed))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_requests_to_the_admin_port() {
    suffer("half_requests_to_the_admin_port", |bed| {
        Box::pin(ways::half_requests_to_the_admin_port(bed))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_without_end() {
    suffer("descriptions_without_end", |bed| Box::pin(ways::descriptions_without_end(bed))).await;
}
