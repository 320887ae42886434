//! The shape of records, and what bloop's reformatting does that we keep.

use shardstream::model::{
    AttributeValue, Item, Page, PageEntry, Record, SequenceNumber, Unreadable, UserIdentity,
};
use shardstream::pb;
use shardstream::upstream::{IteratorStart, Operation, Upstream as _};
use tonic::Code;

use crate::sim::fake::{Answer, EntryKind, Writing};
use crate::support::client::{At, Client, detail, horizon, refused};

/// A client of a closed shard whose only page holds these entries.
async fn page(entries: Vec<PageEntry>) -> Client {
    let client = Client::new();
    client.fake.script(
        &client.shard,
        Operation::GetRecords,
        [Answer::Page(Page { entries, next_iterator: None })],
    );
    client
}

/// What a client sees of one record.
async fn shown(record: Record) -> pb::ChangeRecord {
    let client = page(vec![PageEntry::Record(Box::new(record))]).await;
    let answer = client.read(horizon()).await.expect("read");
    assert_eq!(answer.records.len(), 1);
    answer.records.into_iter().next().expect("one")
}

fn number(text: &str) -> Option<SequenceNumber> {
    SequenceNumber::parse(text).ok()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_lacks_everything_is_a_record() {
    let bare = shown(Record::default()).await;
    let meta = bare.meta.expect("meta");
    assert_eq!((bare.key.len(), bare.new_image.len(), bare.old_image.len()), (0, 0, 0));
    assert_eq!((meta.created_at, meta.size_bytes, meta.user_identity), (None, None, None));
    assert_eq!((meta.sequence_number.as_str(), meta.aws_region.as_str()), ("", ""));
    assert_eq!(meta.change, Some(pb::Change::default()));
}

#[tokio::test(start_paused = true)]
async fn each_field_may_be_absent_alone() {
    let whole =
        Record { event_id: Some("id".into()), sequence_number: number("7"), ..Record::default() };
    let without: [fn(&mut Record); 2] =
        [|record| record.event_id = None, |record| record.sequence_number = None];
    for lack in without {
        let mut record = whole.clone();
        lack(&mut record);
        let meta = shown(record.clone()).await.meta.expect("meta");
        assert_eq!(meta.change.expect("a change").id, record.event_id.unwrap_or_default());
    }
}

#[tokio::test(start_paused = true)]
async fn records_without_numbers_are_delivered_once_and_resumed_behind() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    client.fake.write_with(
        &client.shard,
        Writing { count: 3, kind: EntryKind::Unnumbered, ..Writing::default() },
    );
    client.fake.write(&client.shard, 1);
    let first = client.read_with(horizon(), |request| request.max_records = 3).await.expect("read");
    assert_eq!(first.records.len(), 3);
    assert_eq!(client.elsewhere().drain(At::Token(first.token)).await.0, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_holds_nobody_up() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    client
        .fake
        .write_with(&client.shard, Writing { kind: EntryKind::Unreadable, ..Writing::default() });
    client.fake.write(&client.shard, 2);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [0, 1]);
    let bad = refused(client.get(&lease).await, Code::DataLoss, "RECORD_UNREADABLE");
    assert_eq!(detail(&bad, "sequence_number"), client.numbers()[2].to_string());
    assert_eq!(client.elsewhere().drain(At::Token(detail(&bad, "token"))).await.0, [3, 4]);

    let skip: fn(&mut pb::StreamRecordsRequest) =
        |request| request.set_unreadable_policy(pb::UnreadablePolicy::Skip);
    client.fake.close(&client.shard);
    let rest = client.live_with(horizon(), skip).await.rest().await;
    assert_eq!((rest.records, rest.end), (vec![0, 1, 3, 4], Some(pb::EndReason::ShardEnd)));
    let rest = client.live(horizon()).await.rest().await;
    assert_eq!((rest.records, rest.end), (vec![0, 1], Some(pb::EndReason::Unreadable)));
    assert_eq!(rest.code, Some(Code::DataLoss));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_without_a_number_has_its_place_too() {
    let bad = Unreadable { sequence_number: None, created_at: None, cause: "no map".into() };
    let good = |text| {
        PageEntry::Record(Box::new(Record { sequence_number: number(text), ..Record::default() }))
    };
    let client = page(vec![good("5"), PageEntry::Unreadable(bad), good("9")]).await;
    let answer = client
        .read_with(horizon(), |request| request.set_unreadable_policy(pb::UnreadablePolicy::Skip))
        .await;
    let answer = answer.expect("read");
    assert_eq!((answer.records.len(), answer.unreadable.len()), (2, 1));
    let told = &answer.unreadable[0];
    assert_eq!((told.sequence_number.as_str(), told.after_sequence_number.as_str()), ("", "5"));
    assert_eq!(told.cause, "no map");
}

#[tokio::test(start_paused = true)]
async fn who_made_a_change_is_told() {
    let (kind, principal_id) = (Some("Service".into()), Some("dynamodb.amazonaws.com".into()));
    let record =
        Record { user_identity: Some(UserIdentity { kind, principal_id }), ..Record::default() };
    let identity = shown(record).await.meta.expect("meta").user_identity.expect("an identity");
    assert_eq!(
        (identity.r#type.as_str(), identity.principal_id.as_str()),
        ("Service", "dynamodb.amazonaws.com")
    );
}

#[tokio::test(start_paused = true)]
async fn what_bloop_dropped_is_there() {
    let record = Record {
        aws_region: Some("eu-west-1".into()),
        event_source: Some("aws:dynamodb".into()),
        event_version: Some("1.1".into()),
        size_bytes: Some(0),
        stream_view_type: Some("KEYS_ONLY".into()),
        ..Record::default()
    };
    let meta = shown(record).await.meta.expect("meta");
    assert_eq!(
        (meta.aws_region.as_str(), meta.event_source.as_str()),
        ("eu-west-1", "aws:dynamodb")
    );
    assert_eq!((meta.size_bytes, meta.stream_view_type()), (Some(0), pb::StreamViewType::KeysOnly));
    assert_eq!(meta.change.expect("a change").version, "1.1");
}

#[tokio::test(start_paused = true)]
async fn an_event_of_an_unknown_name_keeps_it() {
    let named = |name: &str| shown(Record { event_name: Some(name.into()), ..Record::default() });
    let known = [
        ("INSERT", pb::ChangeType::Insert),
        ("MODIFY", pb::ChangeType::Modify),
        ("REMOVE", pb::ChangeType::Remove),
    ];
    for (name, kind) in known {
        let change = named(name).await.meta.expect("meta").change.expect("a change");
        assert_eq!((change.r#type(), change.name.as_str()), (kind, ""));
    }
    for name in ["TRANSMUTE", "insert", ""] {
        let change = named(name).await.meta.expect("meta").change.expect("a change");
        assert_eq!((change.r#type(), change.name.as_str()), (pb::ChangeType::Unspecified, name));
    }
}

#[tokio::test(start_paused = true)]
async fn images_that_aws_left_out_are_absent() {
    let item = || Some(Item::from([("pk".to_owned(), AttributeValue::S(String::new()))]));
    let insert = shown(Record { keys: item(), new_image: item(), ..Record::default() }).await;
    assert_eq!((insert.key.len(), insert.new_image.len(), insert.old_image.len()), (1, 1, 0));
    let remove = shown(Record { keys: item(), old_image: item(), ..Record::default() }).await;
    assert_eq!((remove.key.len(), remove.new_image.len(), remove.old_image.len()), (1, 0, 1));
    assert_eq!(
        remove.key["pk"].value,
        Some(pb::attribute_value::Value::S(String::new())),
        "empty is not absent"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stamp_is_kept_as_it_was_given() {
    let created_at = shardstream::model::Timestamp::new(1_500, 123_000_000);
    let meta = shown(Record { created_at, ..Record::default() }).await.meta.expect("meta");
    assert_eq!(
        meta.created_at,
        Some(prost_types::Timestamp { seconds: 1_500, nanos: 123_000_000 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_read_on_is_not_a_loss() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let start = IteratorStart::Position(shardstream::model::Position::TrimHorizon);
    let again = client
        .fake
        .shard_iterator(&client.shard.stream, &client.shard.shard, start)
        .await
        .expect("one");
    // Some proxies answer a page twice: what came before is dropped.
    let mut live = client.live(horizon()).await;
    live.records(2).await;
    let twice = client.fake.records(&again.iterator, 1_000).await.expect("a page");
    client.fake.script(&client.shard, Operation::GetRecords, [Answer::Page(twice)]);
    client.fake.write(&client.shard, 1);
    assert_eq!(live.records(1).await.0, [2]);
}
