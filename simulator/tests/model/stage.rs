//! A model with a clock of its own, and a reader of it.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shardstream_simulator::{Change, KeyElement, Model, Settings, ViewType};

pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// When every test begins.
pub const BEGIN: u64 = 1_795_000_000_000;

pub struct Stage {
    pub model: Model,
    pub now: u64,
    pub arn: String,
}

/// One table without limits, and shards that live as long as told.
pub fn settings(shards: u32, rollover: u64) -> Settings {
    let rollover = Duration::from_millis(rollover);
    Settings { shards, rollover, limits: None, ..Settings::default() }
}

pub fn key() -> Vec<KeyElement> {
    vec![KeyElement { attribute_name: "pk".into(), key_type: "HASH".into() }]
}

pub fn item(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

/// A new item under that key.
pub fn put(table: &str, pk: &str, n: u64) -> Change {
    let keys = item(json!({"pk": {"S": pk}}));
    let new = Some(item(json!({"pk": {"S": pk}, "n": {"N": n.to_string()}})));
    Change { table: table.into(), keys, old: None, new, expired: false }
}

impl Stage {
    /// A table `orders` whose stream has been enabled for a minute.
    pub fn new(settings: Settings) -> Self {
        Self::with(settings, ViewType::NewAndOldImages)
    }

    pub fn with(settings: Settings, view: ViewType) -> Self {
        let mut model = Model::new(settings);
        let arn = model.enable("orders", view, key(), BEGIN);
        Self { model, now: BEGIN + MINUTE, arn }
    }

    pub fn pass(&mut self, time: u64) {
        self.now += time;
    }

    /// Puts new items under the keys `k0`, `k1`, and so on.
    pub fn write(&mut self, count: u64) {
        for n in 0..count {
            self.put(&format!("k{n}"), n);
        }
    }

    pub fn put(&mut self, pk: &str, n: u64) -> String {
        let number = self.model.change(&put("orders", pk, n), self.now);
        number.expect("it is a change").to_string()
    }

    /// The answer of a call, or its code.
    pub fn call(&mut self, operation: &str, request: Value) -> Result<Value, String> {
        let target = format!("DynamoDBStreams_20120810.{operation}");
        let answer = self.model.answer(&target, request.to_string().as_bytes(), self.now);
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        if answer.status == 200 {
            return Ok(body);
        }
        let kind = body["__type"].as_str().expect("a type");
        Err(kind.rsplit('#').next().expect("a code").to_owned())
    }

    /// All shards, page by page.
    pub fn shards(&mut self) -> Vec<Value> {
        let (mut shards, mut start) = (Vec::new(), None);
        loop {
            let mut request = json!({"StreamArn": self.arn});
            if let Some(start) = start {
                request["ExclusiveStartShardId"] = start;
            }
            let page = self.call("DescribeStream", request).expect("a listing");
            let page = &page["StreamDescription"];
            shards.extend(page["Shards"].as_array().expect("shards").iter().cloned());
            start = page.get("LastEvaluatedShardId").cloned();
            if start.is_none() {
                return shards;
            }
        }
    }

    pub fn ids(&mut self) -> Vec<String> {
        self.shards().iter().map(|shard| text(&shard["ShardId"])).collect()
    }

    pub fn iterator(&mut self, shard: &str, kind: &str) -> String {
        let request = json!({"StreamArn": self.arn, "ShardId": shard, "ShardIteratorType": kind});
        text(&self.call("GetShardIterator", request).expect("an iterator")["ShardIterator"])
    }

    pub fn numbered(&mut self, shard: &str, kind: &str, number: &str) -> Result<String, String> {
        let request = json!({"StreamArn": self.arn, "ShardId": shard, "ShardIteratorType": kind, "SequenceNumber": number});
        Ok(text(&self.call("GetShardIterator", request)?["ShardIterator"]))
    }

    pub fn page(&mut self, iterator: &str) -> Result<Value, String> {
        self.call("GetRecords", json!({"ShardIterator": iterator}))
    }

    /// Everything from an iterator on, up to the end or the tip.
    pub fn read_on(&mut self, iterator: &str) -> Vec<Value> {
        let (mut records, mut at, mut empty) = (Vec::new(), iterator.to_owned(), 0);
        loop {
            let page = self.page(&at).expect("a page");
            let found = page["Records"].as_array().expect("records");
            empty = if found.is_empty() { empty + 1 } else { 0 };
            records.extend(found.iter().cloned());
            match page.get("NextShardIterator") {
                Some(next) if empty < 5 => at = text(next),
                _ => return records,
            }
        }
    }

    pub fn read(&mut self, shard: &str) -> Vec<Value> {
        let iterator = self.iterator(shard, "TRIM_HORIZON");
        self.read_on(&iterator)
    }

    /// Everything in all shards, shard by shard.
    pub fn read_all(&mut self) -> Vec<(String, Vec<Value>)> {
        let ids = self.ids();
        ids.into_iter().map(|id| (id.clone(), self.read(&id))).collect()
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub fn number(record: &Value) -> String {
    text(&record["dynamodb"]["SequenceNumber"])
}

pub fn pk(record: &Value) -> String {
    text(&record["dynamodb"]["Keys"]["pk"]["S"])
}

/// Whether one sequence number is below another.
pub fn below(one: &str, other: &str) -> bool {
    (one.len(), one) < (other.len(), other)
}
