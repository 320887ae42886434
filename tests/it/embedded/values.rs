//! Every kind of value and change, written by an AWS SDK, arrives whole.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue as Value, TimeToLiveSpecification};
use shardstream::pb::{self, attribute_value::Value as Told};

use super::stage::{Stage, drain, getting, getting_on, position, streaming};

/// Maps and lists inside one another, the item itself not counted: DynamoDB takes 32 with it.
const LEVELS: usize = 31;

/// A value as the service should tell it; sets have no order.
fn told(value: &Value) -> Told {
    let attribute = |value| pb::AttributeValue { value: Some(told(value)) };
    let sorted = |all: &[String]| {
        let mut values = all.to_vec();
        values.sort();
        values
    };
    match value {
        Value::S(text) => Told::S(text.clone()),
        Value::N(number) => Told::N(number.clone()),
        Value::B(bytes) => Told::B(bytes.as_ref().to_vec()),
        Value::Ss(all) => Told::Ss(pb::StringSet { values: sorted(all) }),
        Value::Ns(all) => Told::Ns(pb::NumberSet { values: sorted(all) }),
        Value::Bs(all) => {
            let mut values: Vec<_> = all.iter().map(|bytes| bytes.as_ref().to_vec()).collect();
            values.sort();
            Told::Bs(pb::BinarySet { values })
        }
        Value::M(map) => {
            let entries =
                map.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
            Told::M(pb::AttributeMap { entries })
        }
        Value::L(list) => {
            Told::L(pb::AttributeList { values: list.iter().map(attribute).collect() })
        }
        Value::Null(_) => Told::NullValue(true),
        Value::Bool(flag) => Told::BoolValue(*flag),
        other => panic!("{other:?}"),
    }
}

/// What came, its sets sorted.
fn sorted(image: &BTreeMap<String, pb::AttributeValue>) -> BTreeMap<String, Option<Told>> {
    fn sort(value: &mut pb::AttributeValue) {
        match &mut value.value {
            Some(Told::Ss(set)) => set.values.sort(),
            Some(Told::Ns(set)) => set.values.sort(),
            Some(Told::Bs(set)) => set.values.sort(),
            Some(Told::M(map)) => map.entries.values_mut().for_each(sort),
            Some(Told::L(list)) => list.values.iter_mut().for_each(sort),
            _ => {}
        }
    }
    let mut image: BTreeMap<_, _> = image.clone();
    image.values_mut().for_each(sort);
    image.into_iter().map(|(name, value)| (name, value.value)).collect()
}

fn expected(item: &HashMap<String, Value>) -> BTreeMap<String, Option<Told>> {
    item.iter().map(|(name, value)| (name.clone(), Some(told(value)))).collect()
}

fn nested(levels: usize, wrap: impl Fn(usize, Value) -> Value) -> Value {
    (0..levels).fold(Value::S("at the bottom".into()), |inner, level| wrap(level, inner))
}

fn in_map(value: Value) -> Value {
    Value::M([("inside".to_owned(), value)].into())
}

fn item(key: &str, attributes: Vec<(&str, Value)>) -> HashMap<String, Value> {
    let key = ("pk".to_owned(), Value::S(key.to_owned()));
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).chain([key]).collect()
}

fn items() -> Vec<HashMap<String, Value>> {
    let text = |text: &str| Value::S(text.to_owned());
    let number = |text: &str| Value::N(text.to_owned());
    let bytes = |bytes: &[u8]| Blob::new(bytes);
    vec![
        item(
            "texts",
            vec![
                ("empty", text("")),
                ("unicode", text("Größe 🦀 \u{0} \u{10ffff} \"\\\n")),
                ("ключ", text("x")),
            ],
        ),
        item(
            "numbers",
            vec![
                ("zero", number("0")),
                ("long", number("12345678901234567890123456789012345678")),
                ("negative", number("-99999999999999999999999999999999999999")),
                ("fraction", number("0.12345678901234567890123456789012345678")),
            ],
        ),
        item(
            "binaries",
            vec![
                ("empty", Value::B(bytes(b""))),
                ("all", Value::B(bytes(&(0..=255).collect::<Vec<u8>>()))),
            ],
        ),
        item(
            "sets",
            vec![
                ("texts", Value::Ss(vec!["b".into(), "a".into(), "ü".into()])),
                ("one", Value::Ss(vec!["only".into()])),
                ("numbers", Value::Ns(vec!["3".into(), "-1".into(), "2.5".into()])),
                ("binaries", Value::Bs(vec![bytes(&[0]), bytes(&[255, 0]), bytes(&[1; 100])])),
            ],
        ),
        item(
            "flags",
            vec![
                ("null", Value::Null(true)),
                ("yes", Value::Bool(true)),
                ("no", Value::Bool(false)),
            ],
        ),
        item("hollow", vec![("map", Value::M(HashMap::new())), ("list", Value::L(vec![]))]),
        item(
            "mixed",
            vec![(
                "list",
                Value::L(vec![
                    text(""),
                    number("1"),
                    Value::Null(true),
                    in_map(Value::Ss(vec!["y".into(), "x".into()])),
                ]),
            )],
        ),
        item("maps-32-deep", vec![("deep", nested(LEVELS, |_, value| in_map(value)))]),
        item("lists-32-deep", vec![("deep", nested(LEVELS, |_, value| Value::L(vec![value])))]),
        item(
            "both-32-deep",
            vec![(
                "deep",
                nested(
                    LEVELS,
                    |level, value| {
                        if level % 2 == 0 { in_map(value) } else { Value::L(vec![value]) }
                    },
                ),
            )],
        ),
        item("400-kilobytes", vec![("large", text(&"ü".repeat(204_000)))]),
        item("400-kilobytes-of-bytes", vec![("large", Value::B(bytes(&[7; 408_000])))]),
        item(
            "many",
            (0..300).map(|n| (&*format!("attribute{n}").leak(), number(&n.to_string()))).collect(),
        ),
    ]
}

#[tokio::test]
async fn every_kind_of_value_and_change_arrives_whole() {
    let stage = Stage::new("values-of-a-test").await;
    let items = items();
    for item in &items {
        stage.put(item.clone()).await;
    }
    let deeper = item("deeper", vec![("deep", nested(LEVELS + 1, |_, value| in_map(value)))]);
    let refused =
        stage.items.put_item().table_name(stage.table).set_item(Some(deeper)).send().await;
    refused.expect_err("no deeper item exists");
    let changed = item("texts", vec![("empty", Value::S("no more".into()))]);
    stage.put(changed.clone()).await;
    let key = || Value::S("texts".into());
    stage
        .items
        .delete_item()
        .table_name(stage.table)
        .key("pk", key())
        .send()
        .await
        .expect("deleted");
    let count = items.len() + 2;

    let server = stage.server().await;
    let mut shards = server.shards().await;
    let until = pb::Until { record_count: count as i64, ..Default::default() };
    let streamed =
        drain(&mut shards, streaming(stage.at(pb::IteratorType::TrimHorizon), until)).await;
    assert_eq!((streamed.records.len(), streamed.end()), (count, Some(pb::EndReason::Limit)));

    for (record, item) in streamed.records.iter().zip(&items) {
        assert_eq!(sorted(&record.new_image), expected(item));
        assert!(record.old_image.is_empty());
        assert_eq!(record.key["pk"].value, Some(told(&item["pk"])));
    }
    let (modified, removed) = (&streamed.records[items.len()], &streamed.records[items.len() + 1]);
    assert_eq!(sorted(&modified.old_image), expected(&items[0]));
    assert_eq!(sorted(&modified.new_image), expected(&changed));
    assert_eq!(sorted(&removed.old_image), expected(&changed));
    assert!(removed.new_image.is_empty());
    let types: Vec<_> = streamed
        .records
        .iter()
        .map(|record| {
            let meta = record.meta.as_ref().expect("always set");
            assert_ne!(meta.sequence_number, "");
            assert_eq!(meta.stream_view_type(), pb::StreamViewType::NewAndOldImages);
            meta.change.as_ref().expect("always set").r#type()
        })
        .collect();
    assert!(types[..items.len()].iter().all(|kind| *kind == pb::ChangeType::Insert));
    assert_eq!(types[items.len()..], [pb::ChangeType::Modify, pb::ChangeType::Remove]);

    // The other two ways of reading give the same.
    let (mut start, mut by_start) = (stage.at(pb::IteratorType::TrimHorizon), vec![]);
    while by_start.len() < count {
        let answer = shards.get_records(getting(start)).await.expect("read").into_inner();
        assert!(!answer.records.is_empty() && !answer.exhausted);
        by_start.extend(answer.records);
        start = super::stage::behind(&answer.token);
    }
    assert_eq!(by_start, streamed.records);
    let open = pb::OpenShardRequest {
        shard: Some(stage.shard.clone()),
        start: Some(pb::open_shard_request::Start::Position(position(
            pb::IteratorType::TrimHorizon,
        ))),
        ..Default::default()
    };
    let session =
        shards.open_shard(open).await.expect("opened").into_inner().session.expect("always set");
    let (lease, mut by_lease) = (session.lease.expect("always set").lease_id, vec![]);
    while by_lease.len() < count {
        // One record always fits, however little is asked for.
        let request = pb::GetRecordsRequest { max_bytes: 1, ..getting_on(&lease) };
        let answer = shards.get_records(request).await.expect("read").into_inner();
        assert_eq!(answer.records.len(), 1);
        by_lease.extend(answer.records);
    }
    assert_eq!(by_lease, streamed.records);
    server.end().await;
    stage.house.end().await;
}

#[tokio::test]
async fn a_deletion_by_time_to_live_says_who_made_it() {
    let stage = Stage::new("items-of-a-test-that-expire").await;
    let living = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("until")
        .build()
        .expect("whole");
    let enabling = stage
        .items
        .update_time_to_live()
        .table_name(stage.table)
        .time_to_live_specification(living);
    enabling.send().await.expect("enabled");
    stage
        .put(
            [("pk", Value::S("k0".into())), ("until", Value::N("1700000000".into()))]
                .map(named)
                .into(),
        )
        .await;
    let server = stage.server().await;
    let until = pb::Until { record_count: 2, ..Default::default() };
    let request = streaming(stage.at(pb::IteratorType::TrimHorizon), until);
    let all = drain(&mut server.shards().await, request).await;
    let who = |record: &pb::ChangeRecord| record.meta.clone().expect("always set").user_identity;
    let service = pb::UserIdentity {
        r#type: "Service".into(),
        principal_id: "dynamodb.amazonaws.com".into(),
    };
    assert_eq!(all.records.iter().map(who).collect::<Vec<_>>(), [None, Some(service)]);
    server.end().await;
}

fn named((name, value): (&str, Value)) -> (String, Value) {
    (name.to_owned(), value)
}
