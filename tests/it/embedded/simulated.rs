//! The simulator, end to end: AWS's SDKs write and read, our own server serves it, and what comes
//! is what was written.

mod faults;
mod kept;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, PutRequest, StreamSpecification, StreamViewType,
    TimeToLiveSpecification, WriteRequest,
};
use aws_sdk_dynamodbstreams::types::{OperationType, Record, ShardIteratorType, StreamStatus};
use shardstream::dev::{Demo, Simulated, SimulatedOptions};
use shardstream::limits::Limits;
use shardstream::pb::{self, subscribe_response::Event};
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::embedded::dev::support::{House, clients_of, make_table, make_table_of};
use crate::support::server::{Server, in_time};

/// A simulator without limits, whose clock runs a thousand times faster: shards live about a
/// quarter of a second.
fn fast() -> SimulatedOptions {
    SimulatedOptions {
        time_scale: 1_000,
        rollover: Duration::from_secs(250),
        limits: false,
        ..Default::default()
    }
}

struct Stage {
    house: House,
    simulated: Simulated,
    items: aws_sdk_dynamodb::Client,
    streams: aws_sdk_dynamodbstreams::Client,
}

impl Stage {
    async fn new(options: SimulatedOptions) -> Self {
        let house = House::new();
        let simulated = Simulated::start(options, &house.tracker, &house.shutdown).await.unwrap();
        let (items, streams) = clients_of(&simulated.endpoint());
        Self { house, simulated, items, streams }
    }

    async fn put(&self, table: &str, pk: &str, n: usize) {
        let put = self.items.put_item().table_name(table);
        let put = put.item("pk", AttributeValue::S(pk.to_owned()));
        put.item("n", AttributeValue::N(n.to_string())).send().await.unwrap();
    }

    /// The ids of the stream's shards, and of their parents, from all pages.
    async fn shards(&self, arn: &str) -> HashMap<String, Option<String>> {
        let (mut shards, mut start) = (HashMap::new(), None);
        loop {
            let page = self.streams.describe_stream().stream_arn(arn);
            let page = page.set_exclusive_start_shard_id(start).send().await.unwrap();
            let page = page.stream_description.unwrap();
            for shard in page.shards.unwrap_or_default() {
                shards.insert(shard.shard_id.unwrap(), shard.parent_shard_id);
            }
            start = page.last_evaluated_shard_id;
            if start.is_none() {
                return shards;
            }
        }
    }

    /// All shards, once there are so many.
    async fn at_least(&self, arn: &str, count: usize) -> HashMap<String, Option<String>> {
        let looking = async {
            loop {
                let shards = self.shards(arn).await;
                if shards.len() >= count {
                    return shards;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        in_time("more shards", looking).await
    }

    /// What a shard holds up to its tip or end.
    async fn read(&self, arn: &str, shard: &str) -> Vec<Record> {
        let iterator = self.streams.get_shard_iterator().stream_arn(arn).shard_id(shard);
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut next = iterator.send().await.unwrap().shard_iterator;
        let (mut records, mut empty) = (Vec::new(), 0);
        while let Some(iterator) = next.filter(|_| empty < 5) {
            let page = self.streams.get_records().shard_iterator(iterator).send().await.unwrap();
            empty = if page.records().is_empty() { empty + 1 } else { 0 };
            records.extend(page.records.unwrap_or_default());
            next = page.next_shard_iterator;
        }
        records
    }

    async fn read_all(&self, arn: &str) -> Vec<Record> {
        let mut all = Vec::new();
        for shard in self.shards(arn).await.into_keys() {
            all.extend(self.read(arn, &shard).await);
        }
        all
    }
}

fn stream(enabled: bool) -> StreamSpecification {
    let view = enabled.then_some(StreamViewType::NewImage);
    let stream = StreamSpecification::builder().stream_enabled(enabled);
    stream.set_stream_view_type(view).build().unwrap()
}

#[tokio::test]
async fn what_an_sdk_writes_another_reads_across_splits() {
    let stage = Stage::new(fast()).await;
    let arn = make_table(&stage.items, "orders-to-split").await;
    assert!(arn.starts_with("arn:aws:dynamodb:us-east-1:"), "{arn}");
    for n in 0..150 {
        stage.put("orders-to-split", &format!("k{}", n % 20), n).await;
    }
    let shards = stage.at_least(&arn, 14).await;
    let parents: Vec<_> = shards.values().flatten().collect();
    assert!(parents.iter().any(|id| parents.iter().filter(|other| *other == id).count() == 2));
    let mut counts: HashMap<String, Vec<usize>> = HashMap::new();
    let mut records = stage.read_all(&arn).await;
    // Numbers rise over all shards of a stream.
    records.sort_by_key(|record| {
        let number = record.dynamodb().unwrap().sequence_number().unwrap();
        (number.len(), number.to_owned())
    });
    for record in &records {
        let image = record.dynamodb().unwrap().new_image().unwrap();
        let n = image["n"].as_n().unwrap().parse().unwrap();
        counts.entry(image["pk"].as_s().unwrap().clone()).or_default().push(n);
    }
    assert_eq!(records.len(), 150);
    assert_eq!(counts.len(), 20);
    assert!(counts.values().all(|numbers| numbers.is_sorted()), "{counts:?}");
    stage.house.end().await;
}

#[tokio::test]
async fn our_server_gives_what_was_written_children_after_parents() {
    let stage = Stage::new(fast()).await;
    let arn = make_table(&stage.items, "orders-to-serve").await;
    let options = AwsOptions {
        endpoint_url: Some(stage.simulated.endpoint()),
        static_credentials: true,
        at_timestamp: Some(true),
        ..AwsOptions::default()
    };
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 200.0;
    limits.reading.describe_calls_per_second = 100.0;
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    let upstream = Arc::new(AwsUpstream::connect(options).await.unwrap());
    let server = Server::start(upstream, limits).await;
    let horizon =
        pb::Position { iterator_type: pb::IteratorType::TrimHorizon.into(), ..Default::default() };
    let request = pb::SubscribeRequest {
        stream: arn.clone(),
        start: Some(pb::subscribe_request::Start::Position(horizon)),
        ..Default::default()
    };
    let mut messages = server.streams().await.subscribe(request).await.unwrap().into_inner();
    let writing = async {
        for n in 0..300 {
            stage.put("orders-to-serve", &format!("k{}", n % 25), n).await;
        }
    };
    let reading = async {
        let (mut seen, mut ended) = (Vec::new(), 0);
        while seen.len() < 300 || ended < 3 {
            let message = messages.message().await.unwrap().expect("it goes on");
            seen.extend(message.records);
            match message.event {
                Some(Event::ShardEnd(_)) => ended += 1,
                Some(Event::Gap(gap)) => panic!("{gap:?}"),
                _ => {}
            }
        }
        seen
    };
    let (seen, ()) = in_time("all of it", async { tokio::join!(reading, writing) }).await;
    let mut counts: HashMap<String, Vec<usize>> = HashMap::new();
    for record in &seen {
        let image = &record.new_image;
        let text = |name: &str| match image[name].value.as_ref().unwrap() {
            pb::attribute_value::Value::S(text) | pb::attribute_value::Value::N(text) => {
                text.clone()
            }
            other => panic!("{other:?}"),
        };
        counts.entry(text("pk")).or_default().push(text("n").parse().unwrap());
    }
    assert_eq!(seen.len(), 300);
    for numbers in counts.values() {
        assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
    }
    server.end().await;
    stage.house.end().await;
}

#[tokio::test]
async fn a_table_tells_its_simulated_stream() {
    let stage = Stage::new(SimulatedOptions { limits: false, ..Default::default() }).await;
    let arn = make_table_of(&stage.items, "keys-only-table", StreamViewType::KeysOnly).await;
    let table = stage.items.describe_table().table_name("keys-only-table").send().await.unwrap();
    let table = table.table.unwrap();
    assert_eq!(table.latest_stream_arn.as_deref(), Some(&*arn));
    let label = table.latest_stream_label.unwrap();
    assert!(arn.ends_with(&label) && label.contains('T'), "{label}");
    let view = table.stream_specification.unwrap().stream_view_type;
    assert_eq!(view, Some(StreamViewType::KeysOnly));
    assert!(table.table_arn.unwrap().starts_with("arn:aws:dynamodb:us-east-1:"));
    let listed = stage.streams.list_streams().table_name("keys-only-table").send().await.unwrap();
    assert_eq!(listed.streams()[0].stream_arn(), Some(&*arn));
    let described = stage.streams.describe_stream().stream_arn(&arn).send().await.unwrap();
    let described = described.stream_description.unwrap();
    assert_eq!(described.key_schema()[0].attribute_name(), "pk");
    // ENABLING, as it was just made.
    assert_eq!(described.stream_status(), Some(&StreamStatus::Enabling));
    stage.house.end().await;
}

#[tokio::test]
async fn only_what_the_view_type_says_is_told_and_nothing_of_nothing() {
    let stage =
        Stage::new(SimulatedOptions { rollover: Duration::from_secs(14_400), ..fast() }).await;
    let arn = make_table_of(&stage.items, "keys-only-again", StreamViewType::KeysOnly).await;
    for n in [1, 1, 2] {
        stage.put("keys-only-again", "a", n).await;
    }
    stage.at_least(&arn, 4).await;
    let records = stage.read_all(&arn).await;
    let names: Vec<_> = records.iter().map(|record| record.event_name().unwrap().clone()).collect();
    assert_eq!(names, [OperationType::Insert, OperationType::Modify]);
    for record in &records {
        let change = record.dynamodb().unwrap();
        assert!(change.new_image().is_none() && change.old_image().is_none());
    }
    stage.house.end().await;
}

#[tokio::test]
async fn every_way_to_write_is_recorded_before_it_is_answered() {
    let stage =
        Stage::new(SimulatedOptions { rollover: Duration::from_secs(14_400), ..fast() }).await;
    let arn = make_table(&stage.items, "written-each-way").await;
    stage.at_least(&arn, 4).await;
    let key = |pk: &str| AttributeValue::S(pk.to_owned());
    let puts = (0..20).map(|n| {
        let put = PutRequest::builder().item("pk", key(&format!("b{n}"))).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    });
    let batch = stage.items.batch_write_item();
    batch.request_items("written-each-way", puts.collect()).send().await.unwrap();
    assert_eq!(stage.read_all(&arn).await.len(), 20);
    let gone = DeleteRequest::builder().key("pk", key("b0")).build().unwrap();
    let gone = WriteRequest::builder().delete_request(gone).build();
    let batch = stage.items.batch_write_item();
    batch.request_items("written-each-way", vec![gone]).send().await.unwrap();
    let update = stage.items.update_item().table_name("written-each-way").key("pk", key("b1"));
    let update = update.update_expression("SET n = :n");
    update.expression_attribute_values(":n", AttributeValue::N("5".into())).send().await.unwrap();
    let statement = stage.items.execute_statement();
    statement
        .statement(r#"INSERT INTO "written-each-way" VALUE {'pk': 'p'}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(stage.read_all(&arn).await.len(), 23);
    stage.house.end().await;
}

#[tokio::test]
async fn a_stream_is_disabled_enabled_and_goes_with_its_table() {
    let stage =
        Stage::new(SimulatedOptions { rollover: Duration::from_secs(14_400), ..fast() }).await;
    let table = "stream-comes-and-goes";
    let old = make_table(&stage.items, table).await;
    stage.put(table, "a", 1).await;
    let update = || stage.items.update_table().table_name(table);
    let twice = update().stream_specification(stream(true)).send().await.unwrap_err();
    assert_eq!(twice.code(), Some("ValidationException"));
    update().stream_specification(stream(false)).send().await.unwrap();
    let twice = update().stream_specification(stream(false)).send().await.unwrap_err();
    assert_eq!(twice.code(), Some("ValidationException"));
    stage.put(table, "unseen", 1).await;
    assert_eq!(stage.read_all(&old).await.len(), 1);
    let enabled = update().stream_specification(stream(true)).send().await.unwrap();
    let new = enabled.table_description.unwrap().latest_stream_arn.unwrap();
    assert_ne!(new, old);
    stage.at_least(&new, 4).await;
    stage.put(table, "a", 2).await;
    assert_eq!(stage.read_all(&new).await.len(), 1);
    stage.items.delete_table().table_name(table).send().await.unwrap();
    assert_eq!(stage.read_all(&new).await.len(), 1);
    let made_anew = make_table(&stage.items, table).await;
    assert!(![&old, &new].contains(&&made_anew));
    stage.at_least(&made_anew, 4).await;
    assert!(stage.read_all(&made_anew).await.is_empty());
    let listed = stage.streams.list_streams().table_name(table).send().await.unwrap();
    assert_eq!(listed.streams().len(), 3);
    stage.house.end().await;
}

#[tokio::test]
async fn a_table_whose_maker_goes_away_has_its_stream_all_the_same() {
    let stage = Stage::new(fast()).await;
    let address = stage.simulated.endpoint().replace("http://", "");
    for n in 0..20 {
        let body = format!(
            r#"{{"TableName": "left-alone-{n:02}", "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{{"AttributeName": "pk", "KeyType": "HASH"}}],
            "AttributeDefinitions": [{{"AttributeName": "pk", "AttributeType": "S"}}],
            "StreamSpecification": {{"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}}}}"#
        );
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.0\r\n";
        let authorization = "AWS4-HMAC-SHA256 Credential=a/20261127/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=0";
        let text = format!(
            "{head}Authorization: {authorization}\r\nX-Amz-Date: 20261127T000000Z\r\n\
             X-Amz-Target: DynamoDB_20120810.CreateTable\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut maker = TcpStream::connect(&address).await.unwrap();
        maker.write_all(text.as_bytes()).await.unwrap();
        // Some go before it is done, some after.
        tokio::time::sleep(Duration::from_micros(200 * n)).await;
    }
    // Calls that make tables are taken in turn: what had begun before this one is done.
    make_table(&stage.items, "made-at-last").await;
    let agree = async {
        loop {
            let tables = stage.items.list_tables().send().await.unwrap();
            let streams = stage.streams.list_streams().send().await.unwrap();
            let streams = streams.streams().iter().map(|stream| stream.table_name().unwrap());
            let streams: BTreeSet<_> = streams.collect();
            let tables: BTreeSet<_> = tables.table_names().iter().map(String::as_str).collect();
            if tables == streams {
                return tables.len();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let made = in_time("each table's stream", agree).await;
    assert!(made > 5, "{made}");
    stage.house.end().await;
}

#[tokio::test]
async fn an_item_that_expires_is_deleted_by_the_service() {
    let stage =
        Stage::new(SimulatedOptions { rollover: Duration::from_secs(14_400), ..fast() }).await;
    let arn = make_table(&stage.items, "items-to-expire").await;
    let living = TimeToLiveSpecification::builder().enabled(true).attribute_name("n").build();
    let update = stage.items.update_time_to_live().table_name("items-to-expire");
    update.time_to_live_specification(living.unwrap()).send().await.unwrap();
    stage.put("items-to-expire", "a", 1_700_000_000).await;
    stage.at_least(&arn, 4).await;
    let removed = async {
        loop {
            let records = stage.read_all(&arn).await;
            if let Some(removed) =
                records.into_iter().find(|r| r.event_name() == Some(&OperationType::Remove))
            {
                return removed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let removed = in_time("the deletion", removed).await;
    let identity = removed.user_identity().unwrap();
    assert_eq!(identity.principal_id(), Some("dynamodb.amazonaws.com"));
    assert_eq!(identity.r#type(), Some("Service"));
    stage.house.end().await;
}

#[tokio::test]
async fn what_is_refused_has_awss_codes() {
    let stage = Stage::new(SimulatedOptions::default()).await;
    let missing = stage.items.describe_table().table_name("not-there").send().await.unwrap_err();
    assert_eq!(missing.code(), Some("ResourceNotFoundException"));
    let arn = make_table(&stage.items, "throttled-table").await;
    let mut codes = Vec::new();
    for _ in 0..30 {
        // The SDK tries again by itself: as often as it may, the calls are too many.
        let describe = stage.streams.describe_stream().stream_arn(&arn);
        let config = aws_sdk_dynamodbstreams::config::Builder::new()
            .retry_config(aws_sdk_dynamodbstreams::config::retry::RetryConfig::disabled());
        if let Err(error) = describe.customize().config_override(config).send().await {
            codes.push(error.code().map(str::to_owned));
        }
    }
    assert!(!codes.is_empty());
    assert!(codes.iter().all(|code| code.as_deref() == Some("ThrottlingException")), "{codes:?}");
    let other = arn.replace("throttled-table", "another-table");
    let missing = stage.streams.get_shard_iterator().stream_arn(other).shard_id("s".repeat(40));
    let missing = missing.shard_iterator_type(ShardIteratorType::Latest).send().await.unwrap_err();
    assert!(missing.into_service_error().is_resource_not_found_exception());
    stage.house.end().await;
}

#[tokio::test]
async fn the_demos_table_has_a_simulated_stream() {
    let stage = Stage::new(fast()).await;
    let mut demo = Demo::create(stage.simulated.embedded(), &stage.house.tracker).await.unwrap();
    stage.simulated.adopt(&mut demo).await.unwrap();
    let (tracker, until) = (&stage.house.tracker, CancellationToken::new());
    let written = demo.write_until(500, fastrand::Rng::with_seed(1), tracker, until.clone());
    stage.at_least(&demo.stream_arn, 10).await;
    until.cancel();
    let written = written.await.unwrap();
    let all = async {
        loop {
            let read = stage.read_all(&demo.stream_arn).await.len() as u64;
            assert!(read <= written);
            if read == written {
                return;
            }
        }
    };
    in_time("all changes", all).await;
    stage.house.end().await;
}
