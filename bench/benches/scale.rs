//! What whole streams cost at scale: a thousand open shards followed by one and by a hundred
//! subscribers, splits on their way to every subscriber, and a lineage of ten thousand shards being
//! opened.
//!
//! `cargo bench --bench scale`. The services run in this process over an upstream made for it,
//! without a transport: CPU and memory are those of reading, subscriptions and messages, not of
//! HTTP/2. One line a figure.

// A benchmark takes the machine's clock.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use shardstream::clock::Clock;
use shardstream::grpc::context::Context;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::standing::Standing;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::hub::{Hub, Runtime};
use shardstream::limits::Limits;
use shardstream::metrics::Metrics;
use shardstream::model::{
    Fetched, Page, PageEntry, Record, SequenceNumber, Shard, ShardId, StreamArn, StreamDescription,
    StreamStatus, StreamSummary, TableName, Timestamp,
};
use shardstream::pb;
use shardstream::session::Sessions;
use shardstream::upstream::{
    DescribePage, Endpoint, ErrorClass, IssuedIterator, IteratorStart, Operation, StreamsPage,
    Upstream, UpstreamError, UpstreamTraits,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Request;

const OPEN: usize = 1_000;
const SUBSCRIBERS: usize = 100;
const SPLITS: usize = 20;
const LINEAGE: usize = 10_000;
const ARN: &str =
    "arn:aws:dynamodb:eu-west-1:123456789012:table/scale/stream/2026-01-01T00:00:00.000";

/// Streams whose shards hold nothing, or one record each.
struct Mock {
    stream: StreamArn,
    shards: Mutex<BTreeMap<ShardId, MockShard>>,
    reads: AtomicU64,
    describes: AtomicU64,
}

struct MockShard {
    row: Shard,
    records: u64,
}

impl Mock {
    /// So many open shards, each at the end of a line of `generations`.
    fn new(open: usize, generations: usize) -> Self {
        let now = wall().millis() as u64;
        let mut shards = BTreeMap::new();
        for line in 0..open as u64 {
            let mut parent = None;
            for generation in 0..generations as u64 {
                let last = generation + 1 == generations as u64;
                let id = id(now - (generations as u64 - generation) * 3_600_000 + line, line);
                let ending = (!last).then(|| number(1));
                let row = Shard {
                    id: id.clone(),
                    parent: parent.replace(id.clone()),
                    starting: None,
                    ending,
                };
                shards.insert(id, MockShard { row, records: 0 });
            }
        }
        let stream = StreamArn::parse(ARN).expect("an ARN");
        Self {
            stream,
            shards: Mutex::new(shards),
            reads: AtomicU64::new(0),
            describes: AtomicU64::new(0),
        }
    }

    /// Splits an open shard in two, each with a record; returns the children.
    fn split(&self, which: usize) -> [ShardId; 2] {
        let mut shards = self.shards.lock();
        let open: Vec<ShardId> = shards
            .values()
            .filter(|shard| !shard.row.is_closed())
            .map(|shard| shard.row.id.clone())
            .collect();
        let parent = open[which % open.len()].clone();
        shards.get_mut(&parent).expect("listed").row.ending = Some(number(1));
        let now = wall().millis() as u64;
        [0, 1].map(|side| {
            let child = id(now, which as u64 * 2 + side + 1_000_000);
            let row = Shard {
                id: child.clone(),
                parent: Some(parent.clone()),
                starting: None,
                ending: None,
            };
            shards.insert(child.clone(), MockShard { row, records: 1 });
            child
        })
    }
}

fn id(millis: u64, hash: u64) -> ShardId {
    ShardId::parse(&format!("shardId-{millis:020}-{hash:08x}")).expect("an id")
}

fn number(value: u64) -> SequenceNumber {
    SequenceNumber::parse(&format!("8000000000073668769{value:05}")).expect("digits")
}

fn wall() -> Timestamp {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::EPOCH.plus(since)
}

#[async_trait]
impl Upstream for Mock {
    fn traits(&self) -> UpstreamTraits {
        UpstreamTraits {
            region: "eu-west-1".into(),
            endpoint: Endpoint::Custom("mock".into()),
            at_timestamp: true,
            child_shards: true,
            shared_numbers: false,
            grain: std::time::Duration::from_secs(1),
            attempts: 1,
        }
    }

    async fn list_streams(
        &self,
        _: Option<&TableName>,
        _: Option<&str>,
        _: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        Ok(StreamsPage {
            streams: vec![StreamSummary { arn: self.stream.clone() }],
            ..Default::default()
        })
    }

    async fn describe_stream(
        &self,
        _: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        self.describes.fetch_add(1, Ordering::Relaxed);
        let shards = self.shards.lock();
        let rows = shards.values().map(|shard| &shard.row);
        let rows = rows.filter(|row| children_of.is_none() || row.parent.as_ref() == children_of);
        let rows: Vec<Shard> = rows
            .filter(|row| start.is_none_or(|start| row.id > *start))
            .take(101)
            .cloned()
            .collect();
        let description = StreamDescription {
            arn: self.stream.clone(),
            status: Some(StreamStatus::Enabled),
            view_type: None,
            key_schema: vec![],
            created: None,
        };
        let last_evaluated = (rows.len() > 100).then(|| rows[99].id.clone());
        Ok(DescribePage {
            description,
            shards: rows.into_iter().take(100).collect(),
            unreadable: 0,
            last_evaluated,
            date: None,
        })
    }

    async fn shard_iterator(
        &self,
        _: &StreamArn,
        shard: &ShardId,
        start: IteratorStart,
    ) -> Result<IssuedIterator, UpstreamError> {
        let from =
            if start == IteratorStart::Latest { self.shards.lock()[shard].records } else { 0 };
        Ok(IssuedIterator { iterator: format!("{shard}/{from}"), date: Some(wall()) })
    }

    async fn records(&self, iterator: &str, _: u32) -> Result<Fetched, UpstreamError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let (shard, from) = iterator.split_once('/').expect("our own");
        let shards = self.shards.lock();
        let Some(shard) = shards.get(&ShardId::parse(shard).expect("our own")) else {
            let message = "no such shard".to_owned();
            let (operation, class) = (Operation::GetRecords, ErrorClass::NotFound);
            return Err(UpstreamError { operation, class, code: None, message, retry_after: None });
        };
        let from: u64 = from.parse().expect("our own");
        let record = |at| Record {
            sequence_number: Some(number(at)),
            created_at: Some(wall().floor()),
            ..Default::default()
        };
        let entries =
            (from..shard.records).map(|at| PageEntry::Record(Box::new(record(at)))).collect();
        let next_iterator =
            (!shard.row.is_closed()).then(|| format!("{}/{}", shard.row.id, shard.records));
        Ok(Page { entries, next_iterator }.into())
    }
}

/// A server's services over the mock.
struct Bed {
    mock: Arc<Mock>,
    api: StreamApi,
    context: Context,
    stop: CancellationToken,
}

impl Bed {
    fn new(mock: Mock) -> Self {
        let mock = Arc::new(mock);
        let limits = Limits::default();
        let (metrics, clock, stop, tasks) =
            (Metrics::new(), Clock::system(), CancellationToken::new(), TaskTracker::new());
        let runtime = Runtime {
            clock: clock.clone(),
            metrics: metrics.clone(),
            tasks,
            stop: stop.clone(),
            seed: 7,
        };
        let hub = Hub::new(mock.clone(), limits.reading.clone(), runtime);
        let sessions = Sessions::new(limits.sessions.sessions, clock, metrics.clone(), || 7);
        let context = Context {
            hub,
            sessions,
            streams: Arc::new(Semaphore::new(limits.streams.streams)),
            limits: Arc::new(limits),
            metrics,
            drain: CancellationToken::new(),
            chance: Arc::new(Mutex::new(fastrand::Rng::with_seed(7))),
            standing: Standing::default(),
            audit: None,
        };
        Self { mock, api: StreamApi::new(context.clone()), context, stop }
    }

    /// A subscriber that sends on each shard whose first record comes, and the size of each token.
    async fn subscribe(
        &self,
        kind: pb::IteratorType,
        seen: mpsc::UnboundedSender<Seen>,
    ) -> tokio::task::JoinHandle<()> {
        let place = pb::subscribe_request::Start::Position(pb::Position {
            iterator_type: kind.into(),
            ..Default::default()
        });
        let request =
            pb::SubscribeRequest { stream: ARN.into(), start: Some(place), ..Default::default() };
        let answer = self.api.subscribe(Request::new(request)).await.expect("subscribed");
        let mut messages = answer.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                if !message.slices.is_empty() {
                    let _ = seen.send(Seen::Records(message.tail.shard_id, Instant::now()));
                }
                if !message.tail.token.is_empty() {
                    let _ = seen.send(Seen::Token(message.tail.token.len()));
                }
            }
        })
    }

    fn end(self) {
        self.context.drain.cancel();
        self.stop.cancel();
    }
}

enum Seen {
    Records(String, Instant),
    Token(usize),
}

#[tokio::main]
async fn main() {
    let one = rates(1).await;
    let many = rates(SUBSCRIBERS).await;
    println!("upstream calls a second, {SUBSCRIBERS} subscribers to one: {:.3}", many / one);
    lineage().await;
}

/// Idle cost and the way of a split, with so many subscribers; returns GetRecords calls a second.
async fn rates(subscribers: usize) -> f64 {
    let bed = Bed::new(Mock::new(OPEN, 1));
    let (sender, mut seen) = mpsc::unbounded_channel();
    let before = resident();
    let opened = Instant::now();
    let subscribing =
        (0..subscribers).map(|_| bed.subscribe(pb::IteratorType::Latest, sender.clone()));
    let tasks = futures::future::join_all(subscribing).await;
    println!(
        "{OPEN} shards, {subscribers} subscribers: all subscribed after {:.2} s",
        opened.elapsed().as_secs_f64()
    );
    tokio::time::sleep(Duration::from_secs(20)).await;
    let memory = resident().saturating_sub(before);
    let (cpu, reads, describes) =
        (cpu(), bed.mock.reads.load(Ordering::Relaxed), bed.mock.describes.load(Ordering::Relaxed));
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(65)).await;
    let spent = begun.elapsed().as_secs_f64();
    let reads = (bed.mock.reads.load(Ordering::Relaxed) - reads) as f64 / spent;
    let describes =
        (bed.mock.describes.load(Ordering::Relaxed) - describes) as f64 / spent * 3_600.0;
    let busy = (self::cpu() - cpu) / spent * 100.0;
    println!(
        "{OPEN} shards, {subscribers} subscribers, idle: {reads:.1} GetRecords/s, {describes:.0} DescribeStream/h, {busy:.1} % of a \
         core, {:.1} MiB more ({} bytes a shard and subscriber)",
        memory as f64 / 1048576.0,
        memory as usize / OPEN / subscribers,
    );
    let mut token = 0;
    while let Ok(note) = seen.try_recv() {
        if let Seen::Token(size) = note {
            token = size;
        }
    }
    println!("{OPEN} shards: a token of {token} bytes, {:.1} a shard", token as f64 / OPEN as f64);
    splits(&bed, &mut seen, subscribers).await;
    for task in tasks {
        task.abort();
    }
    bed.end();
    reads
}

/// The way of splits to all subscribers.
async fn splits(bed: &Bed, seen: &mut mpsc::UnboundedReceiver<Seen>, subscribers: usize) {
    let mut delays = vec![];
    for split in 0..SPLITS {
        let at = Instant::now();
        let children: Vec<String> =
            bed.mock.split(split * 37).iter().map(ToString::to_string).collect();
        let mut waiting = 2 * subscribers;
        while waiting > 0 {
            if let Some(Seen::Records(shard, when)) = seen.recv().await
                && children.contains(&shard)
            {
                waiting -= 1;
                delays.push((when - at).as_secs_f64());
            }
        }
    }
    delays.sort_by(f64::total_cmp);
    println!(
        "from a split to its children's first records, {subscribers} subscribers, {SPLITS} splits: median {:.3} s, worst {:.3} s",
        delays[delays.len() / 2],
        delays[delays.len() - 1]
    );
}

/// Opening a subscription over many closed shards.
async fn lineage() {
    let bed = Bed::new(Mock::new(OPEN, LINEAGE / OPEN));
    let (sender, _seen) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let task = bed.subscribe(pb::IteratorType::Latest, sender).await;
    let spent = begun.elapsed().as_secs_f64();
    let describes = bed.mock.describes.load(Ordering::Relaxed);
    println!(
        "{LINEAGE} shards in the lineage: opened in {spent:.1} s with {describes} DescribeStream calls ({:.2}/s)",
        describes as f64 / spent
    );
    task.abort();
    bed.end();
}

/// CPU time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    status.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number")
        * 4096
}
