//! What a client that means ill can do to a server that is a process of its own: its memory, and
//! what a bystander sees.
//!
//! All but that on the admin port run once more, a tenth of the size, by TLS against a server that
//! knows its callers: attackers and bystander have a certificate each.
//!
//! Each attack runs against a server of its own with the limits it ships with, but for windows that
//! are small and full before it begins. Its most resident memory may grow by 64 MiB, and the
//! bystander's stream misses nothing. How late the bystander's records come and how long its small
//! calls take is measured and printed, for `docs/limits.md`:
//!
//! `SHARDSTREAM_BIN=target/release/shardstream SHARDSTREAM_ATTACK_TICKS=100 cargo test --test it
//! attacks -- --nocapture --test-threads 1`

mod bystander;
mod relay;
mod upstream;
mod ways;

use std::time::Instant;

use rcgen::SanType;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::{self, stream_records_request};
use tonic::transport::Channel;

use crate::contract::bad_input::fixture::position;
use crate::support::pki::{Ca, Pems, text};
use crate::support::program::Program;
use crate::support::server::in_time;

use bystander::{Bystander, Figures};
use relay::Relay;
use upstream::{Endpoint, FULL, PAGE, PAGES, STREAM};
use ways::{Held, Way};

/// What an attack may cost.
const MOST_MIB: u64 = 64;

/// A server under attack, and the upstream it reads.
pub struct Bed {
    upstream: Endpoint,
    server: Program,
    /// Where attackers connect in plain text, and everybody else.
    attackers: String,
    others: String,
    /// What is between them and the server, where it speaks TLS.
    between: Option<([Relay; 2], Pems)>,
}

impl Bed {
    /// A server whose windows are full.
    async fn start() -> Self {
        Self::start_with(&[], None).await
    }

    /// The same by TLS, and it asks for certificates.
    async fn start_tls() -> Self {
        let ca = Ca::new("one CA");
        let pems = Pems::of_server(&ca, &ca.server(|_| {}));
        let policy = "[[rule]]\nprincipals = [\"mtls:spiffe://test/*\"]\n\
                      actions = [\"list\", \"inspect\", \"read\"]\nstreams = [\"*\"]\n";
        let files = [
            ("--tls-cert", pems.path("server.pem")),
            ("--tls-key", pems.path("server.key")),
            ("--tls-client-ca", pems.path("ca.pem")),
            ("--policy", pems.write("policy.toml", policy)),
        ];
        let flags: Vec<_> =
            files.iter().flat_map(|(flag, path)| [(*flag).to_owned(), text(path)]).collect();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        Self::start_with(&flags, Some((ca, pems))).await
    }

    async fn start_with(more: &[&str], tls: Option<(Ca, Pems)>) -> Self {
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
        let flags = [&flags[..], more].concat();
        let server = Program::serve(&flags, &variables).await.expect("it serves");
        let (attackers, others) = (server.grpc.clone(), server.grpc.clone());
        let mut bed = Self { upstream, server, attackers, others, between: None };
        if let Some((ca, pems)) = tls {
            bed.relay(&ca, pems).await;
        }
        for shard in 0..FULL {
            assert_eq!(bed.read_all(shard).await, PAGES * PAGE);
        }
        bed
    }

    /// From now on everybody comes by TLS, each with a certificate.
    async fn relay(&mut self, ca: &Ca, pems: Pems) {
        let address = self.server.grpc.trim_start_matches("https://");
        let address = address.parse().expect("an address");
        let relay = async |name: &str| {
            let uri = format!("spiffe://test/{name}").try_into().expect("ASCII");
            let identity = ca.client(|params| params.subject_alt_names = vec![SanType::URI(uri)]);
            Relay::start(address, &pems.client(Some(&identity))).await
        };
        let relays = [relay("attacker").await, relay("bystander").await];
        (self.attackers, self.others) = (relays[0].url.clone(), relays[1].url.clone());
        self.between = Some((relays, pems));
    }

    /// How many of so many, in an attack of this size.
    fn times(&self, many: usize) -> usize {
        if self.between.is_some() { many / 10 } else { many }
    }

    /// A connection of one's own.
    async fn channel(&self) -> Channel {
        connected(&self.others).await
    }

    /// All records of a full shard, as a client reads them that takes what it gets.
    async fn read_all(&self, shard: usize) -> usize {
        let request =
            streaming(start(&self.upstream.full(shard), position(pb::IteratorType::TrimHorizon)));
        let mut messages = ShardServiceClient::new(self.channel().await)
            .stream_records(request)
            .await
            .expect("streams")
            .into_inner();
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

async fn connected(url: &str) -> Channel {
    let endpoint = Channel::from_shared(url.to_owned()).expect("an address");
    endpoint.connect().await.expect("it listens")
}

/// Attacks a server, and says what it cost.
async fn suffer(name: &str, way: Way) {
    suffer_in(Bed::start().await, name, way).await;
}

async fn suffer_in(bed: Bed, name: &str, way: Way) {
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
    let mut newcomer = ShardServiceClient::new(in_time("a newcomer", bed.channel()).await);
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

/// The same attacks by TLS, a tenth of the size.
mod by_tls {
    use super::*;

    macro_rules! attacks {
        ($($attack:ident)*) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $attack() {
                let bed = Bed::start_tls().await;
                let name = concat!(stringify!($attack), " by TLS");
                suffer_in(bed, name, |bed| Box::pin(ways::$attack(bed))).await;
            }
        )*};
    }

    attacks! {
        unread_answers unread_streams unfinished_requests unread_reflection health_watches
        single_bytes silent_connections watches_of_many_shards walks_of_many_shards
        cancelled_calls descriptions_without_end
    }
}
