//! A table in an embedded DynamoDB, and servers over it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue as Value;
use shardstream::dev::Embedded;
use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::stream_records_response::Event;
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};
use tonic::Status;
use tonic::transport::Channel;

use crate::embedded::dev::support::{House, clients, make_table};
use crate::support::server::Server;

/// How long anything may take that is not to be waited for.
pub const LONG: Duration = Duration::from_secs(60);

/// One table, its stream and its shard.
pub struct Stage {
    pub house: House,
    pub embedded: Embedded,
    pub items: aws_sdk_dynamodb::Client,
    pub table: &'static str,
    pub arn: String,
    pub shard: pb::ShardName,
}

impl Stage {
    pub async fn new(table: &'static str) -> Self {
        let house = House::new();
        let embedded = house.embedded(None).await;
        let (items, streams) = clients(&embedded);
        let arn = make_table(&items, table).await;
        let described = streams.describe_stream().stream_arn(&arn).send().await.expect("described");
        let shard_id = described.stream_description().expect("told").shards()[0]
            .shard_id()
            .expect("told")
            .to_owned();
        let shard = pb::ShardName { stream: arn.clone(), shard_id };
        Self { house, embedded, items, table, arn, shard }
    }

    /// A server of one's own over the table.
    pub async fn server(&self) -> Server {
        let options = AwsOptions {
            endpoint_url: Some(self.embedded.endpoint()),
            static_credentials: true,
            ..AwsOptions::default()
        };
        let mut limits = Limits::default();
        limits.reading.shard_calls_per_second = 200.0;
        limits.reading.describe_calls_per_second = 100.0;
        limits.reading.list_calls_per_second = 100.0;
        limits.reading.idle_poll_interval = Duration::from_millis(20);
        limits.streams.heartbeat_min = Duration::from_millis(10);
        Server::start(Arc::new(AwsUpstream::connect(options).await.expect("an endpoint")), limits)
            .await
    }

    pub async fn put(&self, item: HashMap<String, Value>) {
        self.items
            .put_item()
            .table_name(self.table)
            .set_item(Some(item))
            .send()
            .await
            .expect("written");
    }

    /// Writes items `k{n}`.
    pub async fn write(&self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            self.put([("pk".to_owned(), Value::S(format!("k{n}")))].into()).await;
        }
    }

    /// A start at a position.
    pub fn at(&self, kind: pb::IteratorType) -> pb::ShardStart {
        let start = Some(pb::shard_start::Start::Position(position(kind)));
        pb::ShardStart { shard: Some(self.shard.clone()), start }
    }
}

pub fn position(kind: pb::IteratorType) -> pb::Position {
    pb::Position { iterator_type: kind.into(), ..Default::default() }
}

/// A start behind a token, which names its shard.
pub fn behind(token: &str) -> pb::ShardStart {
    pb::ShardStart { shard: None, start: Some(pb::shard_start::Start::Token(token.to_owned())) }
}

pub fn streaming(start: pb::ShardStart, until: pb::Until) -> pb::StreamRecordsRequest {
    pb::StreamRecordsRequest {
        source: Some(pb::stream_records_request::Source::Start(start)),
        until: Some(until),
        ..Default::default()
    }
}

pub fn getting(start: pb::ShardStart) -> pb::GetRecordsRequest {
    pb::GetRecordsRequest {
        source: Some(pb::get_records_request::Source::Start(start)),
        wait: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..Default::default()
    }
}

pub fn getting_on(lease: &str) -> pb::GetRecordsRequest {
    pb::GetRecordsRequest {
        source: Some(pb::get_records_request::Source::LeaseId(lease.to_owned())),
        wait: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
        ..Default::default()
    }
}

/// The keys of records.
pub fn keys(records: &[pb::ChangeRecord]) -> Vec<String> {
    let key = |record: &pb::ChangeRecord| match &record.key["pk"].value {
        Some(pb::attribute_value::Value::S(key)) => key.clone(),
        other => panic!("{other:?}"),
    };
    records.iter().map(key).collect()
}

pub fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("k{n}")).collect()
}

/// All that a stream gave.
#[derive(Debug, Default)]
pub struct Streamed {
    pub records: Vec<pb::ChangeRecord>,
    pub events: Vec<Event>,
    pub token: String,
    pub status: Option<Status>,
}

impl Streamed {
    pub fn end(&self) -> Option<pb::EndReason> {
        match self.events.last() {
            Some(Event::End(end)) => Some(end.reason()),
            _ => None,
        }
    }
}

/// Reads a stream to its end.
pub async fn drain(
    shards: &mut ShardServiceClient<Channel>,
    request: pb::StreamRecordsRequest,
) -> Streamed {
    let stream = shards.stream_records(request).await.expect("streams").into_inner();
    rest(stream, Streamed::default()).await
}

/// Reads the rest of a stream.
pub async fn rest(
    mut stream: tonic::Streaming<pb::StreamRecordsResponse>,
    mut all: Streamed,
) -> Streamed {
    loop {
        match tokio::time::timeout(LONG, stream.message()).await.expect("something comes") {
            Ok(Some(message)) => {
                assert!(message.records.is_empty() || message.event.is_none());
                assert_ne!(message.token, "");
                all.token = message.token;
                all.records.extend(message.records);
                all.events.extend(message.event);
            }
            Ok(None) => return all,
            Err(status) => {
                all.status = Some(status);
                return all;
            }
        }
    }
}
