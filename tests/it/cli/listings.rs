use super::*;

fn stream(table: &str) -> StreamSummary {
    StreamSummary {
        stream_arn: format!(
            "arn:aws:dynamodb:eu-west-1:1:table/{table}/stream/2026-11-23T10:00:00.000"
        ),
        table_name: table.into(),
        stream_label: "2026-11-23T10:00:00.000".into(),
    }
}

fn with_streams() -> ScriptedServer {
    let key = |name: &str, key_type: KeyType| KeySchemaElement {
        attribute_name: name.into(),
        key_type: key_type.into(),
    };
    let description = StreamDescription {
        status: StreamStatus::Enabled.into(),
        stream_view_type: StreamViewType::NewAndOldImages.into(),
        key_schema: vec![key("pk", KeyType::Hash), key("sk", KeyType::Range)],
        ..Default::default()
    };
    let streams = vec![stream("customers"), stream("orders"), stream("parcels")];
    ScriptedServer::start(Script { streams, description, ..Default::default() })
}

pub fn with_shards(shards: Vec<Shard>) -> ScriptedServer {
    ScriptedServer::start(Script { shards, ..Default::default() })
}

/// A split, an orphan, and a shard that is alone.
pub fn lineage() -> Vec<Shard> {
    let (open, closed) = (ShardState::Open, ShardState::Closed);
    vec![
        shard("shardId-00000001795428000001-aaaaaaaa", "", closed),
        shard(
            "shardId-00000001795428000002-bbbbbbbb",
            "shardId-00000001795428000001-aaaaaaaa",
            open,
        ),
        shard(
            "shardId-00000001795428000003-cccccccc",
            "shardId-00000001795428000001-aaaaaaaa",
            open,
        ),
        shard(
            "shardId-00000001795428000004-dddddddd",
            "shardId-00000001795420000000-gone0000",
            open,
        ),
    ]
}

#[tokio::test]
async fn streams_are_a_table_of_all_pages() {
    let ran = run(&with_streams(), &["streams"]).await;
    let expected = "\
TABLE      STATUS   VIEW     KEY     LABEL
customers  ENABLED  new+old  pk, sk  2026-11-23T10:00:00.000
orders     ENABLED  new+old  pk, sk  2026-11-23T10:00:00.000
parcels    ENABLED  new+old  pk, sk  2026-11-23T10:00:00.000
";
    assert_eq!((ran.exit, ran.data.as_str(), ran.talk.as_str()), (Exit::Ok, expected, ""));
}

#[tokio::test]
async fn streams_of_one_table_as_json() {
    let ran = run(&with_streams(), &["streams", "orders", "--output", "json"]).await;
    let expected = concat!(
        r#"{"stream_arn":"arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2026-11-23T10:00:00.000","#,
        r#""table_name":"orders","stream_label":"2026-11-23T10:00:00.000","status":"ENABLED","#,
        r#""stream_view_type":"NEW_AND_OLD_IMAGES","key_schema":[{"attribute_name":"pk","key_type":"HASH"},"#,
        r#"{"attribute_name":"sk","key_type":"RANGE"}]}"#,
        "\n"
    );
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, expected));
}

#[tokio::test]
async fn a_tree_has_children_below_parents_and_marks_orphans() {
    let ran = run(&with_shards(lineage()), &["tree", "orders"]).await;
    let expected = "\
orders  4 shards, 3 open
├── 1795428000001-aaaaaaaa  CLOSED  1000…98069978..
│   ├── 1795428000002-bbbbbbbb  OPEN  1000…98069978..
│   └── 1795428000003-cccccccc  OPEN  1000…98069978..
└── 1795428000004-dddddddd  OPEN  parent is gone  1000…98069978..
";
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, expected));
}

#[tokio::test]
async fn a_tree_below_one_shard_in_full() {
    let ran = run(&with_shards(lineage()), &["tree", "orders", "aaaaaaaa", "--full"]).await;
    let expected = "\
orders  3 shards, 2 open
└── shardId-00000001795428000001-aaaaaaaa  CLOSED  100000000003498069978..
    ├── shardId-00000001795428000002-bbbbbbbb  OPEN  100000000003498069978..
    └── shardId-00000001795428000003-cccccccc  OPEN  100000000003498069978..
";
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, expected));
}

#[tokio::test]
async fn a_tree_as_json_tells_the_depth() {
    let ran = run(&with_shards(lineage()), &["tree", "orders", "--output", "json"]).await;
    let depths: Vec<_> = ran
        .data
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["depth"].clone())
        .collect();
    assert_eq!(depths, [0, 1, 1, 0]);
}

#[tokio::test]
async fn children_say_whether_there_can_be_more() {
    let ran = run(&with_shards(lineage()), &["children", "orders", "aaaaaaaa"]).await;
    assert_eq!(ran.exit, Exit::Ok);
    assert_eq!(ran.data.lines().count(), 2);
    assert!(ran.data.starts_with("shardId-00000001795428000002-bbbbbbbb  OPEN"), "{}", ran.data);
    assert!(ran.talk.contains("not complete"), "{}", ran.talk);

    let script = Script { shards: lineage(), children_complete: true, ..Default::default() };
    let ran = run(&ScriptedServer::start(script), &["children", "orders", "dddddddd"]).await;
    assert_eq!(
        (ran.data.as_str(), ran.talk.as_str()),
        ("", "it has no children and will have none\n")
    );
}

#[tokio::test]
async fn the_only_stream_need_not_be_named() {
    // Two streams of one table: its name means the newest.
    let older = StreamSummary { stream_label: "2025".into(), ..stream("orders") };
    let server = |streams: Vec<StreamSummary>| {
        let record = SubscribeResponse {
            records: vec![record(1)],
            shard_id: SHARD.into(),
            ..Default::default()
        };
        let end = End { reason: EndReason::Limit.into(), ..Default::default() };
        let end = SubscribeResponse {
            event: Some(subscribe_response::Event::End(end)),
            ..Default::default()
        };
        let pushes = [record, end].map(|message| Push::Message(Box::new(message)));
        let subscriptions = Mutex::new([Ok(pushes.into())].into());
        ScriptedServer::start(Script {
            streams,
            shards: lineage(),
            subscriptions,
            ..Default::default()
        })
    };
    let one = server(vec![older.clone(), stream("orders")]);
    let ran = run(&one, &["tail", "-n", "1"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.talk);
    assert_eq!(one.script.asked_subscriptions.lock()[0].stream, "orders");
    let ran = run(&one, &["tree"]).await;
    assert!(ran.exit == Exit::Ok && ran.data.starts_with("orders"), "{}{}", ran.data, ran.talk);

    for command in ["tail", "tree"] {
        let ran =
            run(&server(vec![stream("customers"), older.clone(), stream("orders")]), &[command])
                .await;
        assert_eq!((ran.exit, ran.data.as_str()), (Exit::Usage, ""));
        assert!(ran.talk.contains("customers") && ran.talk.contains("orders"), "{}", ran.talk);
        let ran = run(&server(vec![]), &[command]).await;
        assert_eq!((ran.exit, ran.data.as_str()), (Exit::NotFound, ""), "{}", ran.talk);
    }
}
