//! What the tests of the embedded DynamoDB share.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use shardstream::dev::{Embedded, EmbeddedOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What an embedded DynamoDB runs in.
pub struct House {
    pub tracker: TaskTracker,
    pub shutdown: CancellationToken,
}

impl House {
    pub fn new() -> Self {
        Self { tracker: TaskTracker::new(), shutdown: CancellationToken::new() }
    }

    pub async fn embedded(&self, data_dir: Option<&Path>) -> Embedded {
        let options = data_dir.map_or_else(EmbeddedOptions::default, kept);
        Embedded::start(options, &self.tracker, &self.shutdown).await.unwrap()
    }

    pub async fn end(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

pub fn kept(folder: &Path) -> EmbeddedOptions {
    EmbeddedOptions { data_dir: Some(folder.to_owned()), ..Default::default() }
}

/// Both SDKs, with a region and credentials that mean nothing.
pub fn clients(embedded: &Embedded) -> (aws_sdk_dynamodb::Client, aws_sdk_dynamodbstreams::Client) {
    clients_of(&embedded.endpoint())
}

/// The same, of any endpoint.
pub fn clients_of(endpoint: &str) -> (aws_sdk_dynamodb::Client, aws_sdk_dynamodbstreams::Client) {
    let credentials = || Credentials::new("nobody", "nothing", None, None, "made up");
    let items = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new("nowhere-1"))
        .credentials_provider(credentials());
    let streams = aws_sdk_dynamodbstreams::Config::builder()
        .behavior_version(aws_sdk_dynamodbstreams::config::BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(aws_sdk_dynamodbstreams::config::Region::new("nowhere-1"))
        .credentials_provider(credentials());
    (
        aws_sdk_dynamodb::Client::from_conf(items.build()),
        aws_sdk_dynamodbstreams::Client::from_conf(streams.build()),
    )
}

/// Makes a table with a stream of both images; gives the stream's ARN.
pub async fn make_table(items: &aws_sdk_dynamodb::Client, name: &str) -> String {
    make_table_of(items, name, StreamViewType::NewAndOldImages).await
}

/// The same, with a stream of this view type.
pub async fn make_table_of(
    items: &aws_sdk_dynamodb::Client,
    name: &str,
    view: StreamViewType,
) -> String {
    let key =
        KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap();
    let attribute =
        AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build();
    let made = items
        .create_table()
        .table_name(name)
        .key_schema(key)
        .attribute_definitions(attribute.build().unwrap());
    let made = made
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream.unwrap())
        .send()
        .await;
    made.unwrap().table_description().unwrap().latest_stream_arn().unwrap().to_owned()
}

/// An iterator on the stream's one shard.
pub async fn iterator(
    streams: &aws_sdk_dynamodbstreams::Client,
    arn: &str,
    kind: ShardIteratorType,
) -> String {
    let description = streams.describe_stream().stream_arn(arn).send().await.unwrap();
    let shard =
        description.stream_description().unwrap().shards()[0].shard_id().unwrap().to_owned();
    let iterator =
        streams.get_shard_iterator().stream_arn(arn).shard_id(shard).shard_iterator_type(kind);
    iterator.send().await.unwrap().shard_iterator().unwrap().to_owned()
}

/// Reads a stream from its beginning until `enough` records have come; gives all that came.
pub async fn read(
    streams: &aws_sdk_dynamodbstreams::Client,
    arn: &str,
    enough: usize,
) -> Vec<Record> {
    let mut at = iterator(streams, arn, ShardIteratorType::TrimHorizon).await;
    let mut records = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let page = streams.get_records().shard_iterator(&at).send().await.unwrap();
        records.extend_from_slice(page.records());
        if records.len() >= enough {
            return records;
        }
        assert!(Instant::now() < deadline, "{} of {enough} records came", records.len());
        at = page.next_shard_iterator().unwrap().to_owned();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
