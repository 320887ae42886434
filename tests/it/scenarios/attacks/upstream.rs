//! A DynamoDB Streams endpoint for attacks on a server that is a process of its own: shards full of
//! records, one to which a record is added ten times a second, thousands that stay empty, and a
//! stream whose description never ends.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The stream of everything but what never ends.
pub const STREAM: &str =
    "arn:aws:dynamodb:us-east-1:000000000000:table/attacked/stream/2026-01-01T00:00:00.000";

/// A stream whose description never ends.
pub fn endless(nth: usize) -> String {
    STREAM.replace("attacked", &format!("endless-{nth}"))
}

/// Full shards, their pages, and the records of each page.
pub const FULL: usize = 4;
pub const PAGES: usize = 10;
pub const PAGE: usize = 100;

/// Shards that stay empty.
pub const IDLE: usize = 5_000;

/// Between two records of the shard that grows.
pub const TICK: Duration = Duration::from_millis(100);

/// What a record of a full shard carries beside its key.
const CARGO: usize = 4_000;

/// Shards in one page of a description.
const LISTED: usize = 1_000;

pub struct Endpoint {
    pub url: String,
    world: Arc<World>,
    serving: JoinHandle<()>,
}

struct World {
    begun: Instant,
    wall: SystemTime,
    /// The records of the full shards, a page each, made once: the attacked server is to be what
    /// costs.
    pages: Vec<String>,
}

impl Endpoint {
    pub async fn start() -> Self {
        let mut world = World { begun: Instant::now(), wall: SystemTime::now(), pages: vec![] };
        let cargo = "x".repeat(CARGO);
        world.pages =
            (0..PAGES).map(|page| world.records(page * PAGE..(page + 1) * PAGE, &cargo)).collect();
        let world = Arc::new(world);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().route("/", post(call)).with_state(world.clone());
        let serving =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { url, world, serving }
    }

    /// How long ago the record of this number was added to the shard that grows.
    pub fn age(&self, number: &str) -> Duration {
        let index = index_of(number).expect("a number of ours") as u32;
        (self.world.begun + TICK * index).elapsed()
    }

    /// The shard that grows.
    pub fn growing(&self) -> String {
        self.world.shard(Kind::Growing, 0)
    }

    /// A shard that is full and closed.
    pub fn full(&self, index: usize) -> String {
        self.world.shard(Kind::Full, index)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The sequence number of a shard's record.
pub fn number(index: usize) -> String {
    format!("7000000000000{index:08}")
}

fn index_of(number: &str) -> Option<usize> {
    number.strip_prefix("7000000000000")?.parse().ok()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Full,
    Growing,
    Idle,
}

impl World {
    fn seconds(&self) -> u64 {
        self.wall.duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
    }

    fn shard(&self, kind: Kind, index: usize) -> String {
        let letter = match kind {
            Kind::Full => 'd',
            Kind::Growing => 'b',
            Kind::Idle => 'e',
        };
        format!("shardId-{:020}-{letter}{index:07x}", self.seconds() * 1_000)
    }

    /// Of which kind a shard is, and how many records it has.
    fn shard_of(&self, id: &str) -> Option<(Kind, usize)> {
        match id.rsplit('-').next()?.as_bytes().first()? {
            b'd' => Some((Kind::Full, PAGES * PAGE)),
            b'b' => Some((Kind::Growing, self.begun.elapsed().div_duration_f64(TICK) as usize + 1)),
            b'e' => Some((Kind::Idle, 0)),
            _ => None,
        }
    }

    fn shards(&self) -> Vec<String> {
        let all = [(Kind::Growing, 1), (Kind::Full, FULL), (Kind::Idle, IDLE)];
        all.into_iter()
            .flat_map(|(kind, count)| (0..count).map(move |index| self.shard(kind, index)))
            .collect()
    }

    fn description(&self, asked: &Value) -> Value {
        let start = asked["ExclusiveStartShardId"].as_str().unwrap_or_default();
        let all = self.shards();
        let begin = all.iter().position(|shard| shard == start).map_or(0, |at| at + 1);
        let page = &all[begin..all.len().min(begin + LISTED)];
        let root = self.shard(Kind::Full, 0);
        let shards: Vec<_> = page.iter().map(|shard| row(shard, &root)).collect();
        let mut stream = json!({
            "StreamArn": STREAM, "StreamStatus": "ENABLED", "TableName": "attacked",
            "StreamViewType": "NEW_IMAGE", "Shards": shards,
        });
        if begin + page.len() < all.len() {
            stream["LastEvaluatedShardId"] = json!(page.last());
        }
        json!({ "StreamDescription": stream })
    }

    fn iterator(&self, asked: &Value) -> Option<Value> {
        let shard = asked["ShardId"].as_str()?;
        let (_, records) = self.shard_of(shard)?;
        let named = || index_of(asked["SequenceNumber"].as_str()?);
        let at = match asked["ShardIteratorType"].as_str()? {
            "TRIM_HORIZON" => 0,
            "LATEST" => records,
            "AT_SEQUENCE_NUMBER" => named()?,
            "AFTER_SEQUENCE_NUMBER" => named()? + 1,
            _ => return None,
        };
        Some(json!({ "ShardIterator": format!("{shard}/{at}") }))
    }

    /// A page from a place on; within a full shard, the page that has it.
    fn page(&self, asked: &Value) -> Option<String> {
        let (shard, at) = asked["ShardIterator"].as_str()?.split_once('/')?;
        let (at, (kind, count)) = (at.parse::<usize>().ok()?, self.shard_of(shard)?);
        if kind != Kind::Full {
            let end = count.min(at + PAGE).max(at);
            let records = self.records(at..end, "");
            return Some(format!(r#"{{"NextShardIterator":"{shard}/{end}","Records":{records}}}"#));
        }
        let records = self.pages.get(at / PAGE).map_or("[]", String::as_str);
        let end = (at / PAGE + 1) * PAGE;
        let next = if end < count {
            format!(r#""NextShardIterator":"{shard}/{end}","#)
        } else {
            String::new()
        };
        Some(format!(r#"{{{next}"Records":{records}}}"#))
    }

    fn records(&self, range: Range<usize>, cargo: &str) -> String {
        Value::from_iter(range.map(|index| self.record(index, cargo))).to_string()
    }

    fn record(&self, index: usize, cargo: &str) -> Value {
        let key = json!({ "N": index.to_string() });
        json!({
            "awsRegion": "us-east-1", "eventID": format!("{index:032x}"), "eventName": "INSERT",
            "eventSource": "aws:dynamodb", "eventVersion": "1.1",
            "dynamodb": {
                "ApproximateCreationDateTime": self.seconds(), "Keys": { "pk": key },
                "NewImage": { "pk": key, "cargo": { "S": cargo } },
                "SequenceNumber": number(index), "SizeBytes": 10, "StreamViewType": "NEW_IMAGE",
            },
        })
    }
}

/// A shard's row: those that stay empty are children of `root`.
fn row(shard: &str, root: &str) -> Value {
    let mut range = json!({ "StartingSequenceNumber": number(0) });
    if shard.contains("-d") {
        range["EndingSequenceNumber"] = json!(number(PAGES * PAGE - 1));
    }
    let mut row = json!({ "ShardId": shard, "SequenceNumberRange": range });
    if shard.contains("-e") {
        row["ParentShardId"] = json!(root);
    }
    row
}

async fn call(State(world): State<Arc<World>>, headers: HeaderMap, request: Bytes) -> Response {
    let target =
        headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&request).unwrap_or_default();
    let answer = match target.rsplit('.').next() {
        Some("ListStreams") => {
            Some(json!({ "Streams": [{ "StreamArn": STREAM, "TableName": "attacked" }] }))
        }
        Some("DescribeStream") if asked["StreamArn"] != STREAM => return without_end(),
        Some("DescribeStream") => Some(world.description(&asked)),
        Some("GetShardIterator") => world.iterator(&asked),
        Some("GetRecords") => return world.page(&asked).unwrap_or_default().into_response(),
        _ => None,
    };
    match answer {
        Some(answer) => answer.to_string().into_response(),
        None => {
            let refusal =
                json!({ "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException" });
            (StatusCode::BAD_REQUEST, refusal.to_string()).into_response()
        }
    }
}

/// A description that goes on and on.
fn without_end() -> Response {
    let begin = Bytes::from_static(br#"{"StreamDescription":{"Shards":["#);
    let more =
        Bytes::from(format!("{},", row("shardId-00000001700000000000-e0000000", "")).repeat(500));
    let pieces = std::iter::once(begin)
        .chain(std::iter::repeat(more))
        .map(Ok::<_, std::convert::Infallible>);
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}
