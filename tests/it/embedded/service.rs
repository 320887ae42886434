//! The main job on real input: the embedded DynamoDB, read through a real gRPC client.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shardstream::limits::Limits;
use shardstream::pb::{self, stream_records_response::Event};
use shardstream::upstream::Upstream;
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};

use crate::embedded::dev::support::{House, clients, make_table};
use crate::support::server::Server;

async fn upstream(endpoint: String) -> Arc<dyn Upstream> {
    let options = AwsOptions {
        endpoint_url: Some(endpoint),
        static_credentials: true,
        ..AwsOptions::default()
    };
    Arc::new(AwsUpstream::connect(options).await.expect("an endpoint"))
}

fn quick() -> Limits {
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 200.0;
    limits.reading.describe_calls_per_second = 100.0;
    limits.reading.list_calls_per_second = 100.0;
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    limits
}

fn position(kind: pb::IteratorType) -> pb::Position {
    pb::Position { iterator_type: kind.into(), ..Default::default() }
}

#[tokio::test]
async fn records_written_to_the_embedded_dynamodb_arrive_through_grpc() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, _) = clients(&embedded);
    let arn = make_table(&items, "orders-of-a-test").await;
    let put = async |n: usize| {
        let request = items
            .put_item()
            .table_name("orders-of-a-test")
            .item("pk", AttributeValue::S(format!("k{n}")));
        request.send().await.expect("written");
    };
    for n in 0..25 {
        put(n).await;
    }
    let server = Server::start(upstream(embedded.endpoint()).await, quick()).await;
    let mut streams = server.streams().await;
    let listed = streams
        .list_shards(pb::ListShardsRequest { stream: arn.clone(), ..Default::default() })
        .await;
    let shard_id = listed.expect("listed").into_inner().shards[0].shard_id.clone();
    let shard = pb::ShardName { stream: "orders-of-a-test".into(), shard_id };
    let mut shards = server.shards().await;

    let open = pb::OpenShardRequest {
        shard: Some(shard.clone()),
        start: Some(pb::open_shard_request::Start::Position(position(
            pb::IteratorType::TrimHorizon,
        ))),
        ..Default::default()
    };
    let session =
        shards.open_shard(open).await.expect("opened").into_inner().session.expect("a session");
    assert_eq!(session.stream_arn, arn);
    let lease = session.lease.expect("a lease").lease_id;
    let mut keys = vec![];
    while keys.len() < 25 {
        let get = pb::GetRecordsRequest {
            source: Some(pb::get_records_request::Source::LeaseId(lease.clone())),
            max_records: 10,
            ..Default::default()
        };
        let answer = shards.get_records(get).await.expect("read").into_inner();
        assert!(!answer.records.is_empty() && answer.records.len() <= 10);
        keys.extend(answer.records.into_iter().map(|record| record.key["pk"].clone()));
    }
    assert_eq!(keys.len(), 25);

    let start = pb::ShardStart {
        shard: Some(shard.clone()),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::Latest))),
    };
    let stream = pb::StreamRecordsRequest {
        source: Some(pb::stream_records_request::Source::Start(start)),
        until: Some(pb::Until { record_count: 3, ..Default::default() }),
        ..Default::default()
    };
    let mut live = shards.stream_records(stream).await.expect("streams").into_inner();
    for n in 100..105 {
        put(n).await;
    }
    let mut seen = vec![];
    let mut end = None;
    while let Some(message) = live.message().await.expect("no error") {
        seen.extend(message.records);
        if let Some(Event::End(last)) = message.event {
            end = Some(last.reason());
        }
    }
    assert_eq!(end, Some(pb::EndReason::Limit));
    let names: Vec<_> = seen.iter().map(|record| record.key["pk"].value.clone()).collect();
    let expected: Vec<_> =
        (100..103).map(|n| Some(pb::attribute_value::Value::S(format!("k{n}")))).collect();
    assert_eq!(names, expected);
    server.end().await;
    house.end().await;
}
