//! What the upstream answers to each call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Pieces;
use crate::clock::monotonic;
use crate::pages::{self, EMPTY};
use crate::plan::{Shards, World, stream_of_one};

/// Shards in one answer of DescribeStream.
const LISTED: usize = 100;

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// All answers, and what was asked.
#[derive(Debug)]
pub struct Answers {
    world: World,
    pages: Vec<Bytes>,
    shards: Vec<String>,
    reads: AtomicU64,
    paced: Mutex<HashMap<String, Paced>>,
}

/// A shard to which pages are added.
#[derive(Debug)]
struct Paced {
    begun: u64,
    sent: Vec<u64>,
}

/// The fields of all four requests that are looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Asked {
    stream_arn: String,
    shard_id: String,
    shard_iterator: String,
    shard_iterator_type: String,
    sequence_number: Option<String>,
    exclusive_start_shard_id: Option<String>,
    shard_filter: Option<Value>,
}

impl Answers {
    /// Builds all pages.
    pub fn new(world: &World) -> Self {
        Self {
            world: *world,
            pages: pages::build(world),
            shards: world.shards(),
            reads: AtomicU64::new(0),
            paced: Mutex::default(),
        }
    }

    /// The answer to a call.
    pub fn answer(&self, operation: &str, request: &[u8]) -> Response {
        let Ok(asked) = serde_json::from_slice::<Asked>(request) else {
            return refused("SerializationException");
        };
        match operation {
            "GetRecords" => self.records(&asked.shard_iterator),
            "GetShardIterator" => self.iterator(&asked),
            "DescribeStream" => self.description(&asked),
            "ListStreams" => answer(&json!({ "Streams": [{ "StreamArn": self.world.stream() }] })),
            _ => refused("UnknownOperationException"),
        }
    }

    /// How many GetRecords calls came so far.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// When each page of a paced shard was first sent, in nanoseconds of the clock that all
    /// processes share.
    pub fn sent(&self, shard: &str) -> Vec<u64> {
        self.paced.lock().get(shard).map_or_else(Vec::new, |paced| paced.sent.clone())
    }

    fn records(&self, iterator: &str) -> Response {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let Some((shard, page)) = iterator.split_once('/') else {
            return refused("ValidationException");
        };
        let (Some(shards), Ok(page)) = (Shards::of(shard), page.parse::<usize>()) else {
            return refused("ValidationException");
        };
        let there = match shards {
            Shards::Full => self.pages.get(page),
            Shards::Paced => self.paced_page(shard, page),
            Shards::Idle => None,
        };
        let next = page + usize::from(there.is_some());
        let head = match shards {
            Shards::Full if next >= self.pages.len() => "{".to_owned(),
            _ => format!(r#"{{"NextShardIterator":"{shard}/{next}","#),
        };
        let body = Pieces([head.into(), there.cloned().unwrap_or(EMPTY)]);
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], Body::new(body)).into_response()
    }

    /// The page, if its time has come.
    fn paced_page(&self, shard: &str, page: usize) -> Option<&Bytes> {
        let bytes = self.pages.get(page)?;
        let now = monotonic();
        let mut all = self.paced.lock();
        let paced =
            all.entry(shard.to_owned()).or_insert_with(|| Paced { begun: now, sent: Vec::new() });
        if now < paced.begun + (page as u64 + 1) * self.world.pace * 1_000_000 {
            return None;
        }
        if paced.sent.len() == page {
            paced.sent.push(now);
        }
        Some(bytes)
    }

    fn iterator(&self, asked: &Asked) -> Response {
        let record = asked.sequence_number.as_deref().and_then(pages::index_of);
        let page = match asked.shard_iterator_type.as_str() {
            "TRIM_HORIZON" => Some(0),
            "LATEST" => Some(self.pages.len()),
            "AT_SEQUENCE_NUMBER" => record.map(|record| record / self.world.page_records),
            "AFTER_SEQUENCE_NUMBER" => record.map(|record| (record + 1) / self.world.page_records),
            _ => None,
        };
        match page {
            Some(page) => answer(&json!({ "ShardIterator": format!("{}/{page}", asked.shard_id) })),
            None => refused("ValidationException"),
        }
    }

    /// Nobody has children here. The filter for them is understood.
    fn description(&self, asked: &Asked) -> Response {
        let of_one = asked.stream_arn == stream_of_one();
        let listed =
            if of_one { &self.shards[..self.shards.len().min(1)] } else { &self.shards[..] };
        let begin = match &asked.exclusive_start_shard_id {
            _ if asked.shard_filter.is_some() => listed.len(),
            Some(start) => {
                listed.iter().position(|shard| shard == start).map_or(listed.len(), |at| at + 1)
            }
            None => 0,
        };
        let page = &listed[begin..listed.len().min(begin + LISTED)];
        let last = (begin + page.len() < listed.len()).then(|| page.last()).flatten();
        let mut description = json!({
            "StreamArn": asked.stream_arn,
            "TableName": asked.stream_arn.split('/').nth(1),
            "StreamStatus": "ENABLED",
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }],
            "Shards": page.iter().map(|shard| self.row(shard)).collect::<Vec<_>>(),
        });
        if let Some(last) = last {
            description["LastEvaluatedShardId"] = json!(last);
        }
        answer(&json!({ "StreamDescription": description }))
    }

    fn row(&self, shard: &str) -> Value {
        let number = |index: usize| format!("{}{index:08}", pages::NUMBER_BEGIN);
        let mut range = json!({ "StartingSequenceNumber": number(0) });
        if Shards::of(shard) == Some(Shards::Full) {
            range["EndingSequenceNumber"] = json!(number(self.world.shard_records()));
        }
        json!({ "ShardId": shard, "SequenceNumberRange": range })
    }
}

fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], value.to_string()).into_response()
}

fn refused(code: &str) -> Response {
    let error =
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": code });
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, CONTENT_TYPE)], error.to_string())
        .into_response()
}
