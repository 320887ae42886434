//! Streams: enabled, disabled, deleted and made anew.

use std::time::Duration;

use serde_json::{Value, json};
use shardstream_simulator::{Model, Settings, ViewType};

use crate::stage::{BEGIN, HOUR, SECOND, Stage, key, put, settings, text};

fn described(stage: &mut Stage) -> Value {
    let arn = stage.arn.clone();
    stage.call("DescribeStream", json!({"StreamArn": arn})).unwrap()["StreamDescription"].clone()
}

#[test]
fn a_description_has_what_aws_gives() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let stream = described(&mut stage);
    assert_eq!(stream["StreamArn"], stage.arn);
    assert_eq!(stream["TableName"], "orders");
    assert_eq!(stream["StreamStatus"], "ENABLED");
    assert_eq!(stream["StreamViewType"], "NEW_AND_OLD_IMAGES");
    assert_eq!(stream["CreationRequestDateTime"], json!(BEGIN as f64 / 1_000.0));
    assert_eq!(stream["KeySchema"], json!([{"AttributeName": "pk", "KeyType": "HASH"}]));
    let label = text(&stream["StreamLabel"]);
    assert!(stage.arn.ends_with(&format!(":table/orders/stream/{label}")), "{}", stage.arn);
    assert!(label.len() == 23 && label.as_bytes()[10] == b'T', "{label}");
}

#[test]
fn a_new_stream_is_enabling_for_a_while_and_shows_no_shards() {
    let mut stage = Stage::new(settings(2, 4 * HOUR));
    stage.now = BEGIN + SECOND;
    let stream = described(&mut stage);
    assert_eq!((&stream["StreamStatus"], &stream["Shards"]), (&json!("ENABLING"), &json!([])));
    stage.pass(SECOND);
    let stream = described(&mut stage);
    assert_eq!(stream["StreamStatus"], "ENABLED");
    assert_eq!(stream["Shards"].as_array().unwrap().len(), 2);
}

#[test]
fn a_disabled_stream_closes_its_shards_and_can_be_read_for_a_day() {
    let mut stage = Stage::new(settings(2, 4 * HOUR));
    stage.write(50);
    stage.model.disable("orders", stage.now);
    assert_eq!(described(&mut stage)["StreamStatus"], "DISABLING");
    assert_eq!(stage.model.change(&put("orders", "late", 1), stage.now), None);
    stage.pass(5 * SECOND);
    let stream = described(&mut stage);
    assert_eq!(stream["StreamStatus"], "DISABLED");
    for shard in stream["Shards"].as_array().unwrap() {
        assert!(shard["SequenceNumberRange"].get("EndingSequenceNumber").is_some());
    }
    let read: usize = stage.read_all().iter().map(|(_, records)| records.len()).sum();
    assert_eq!(read, 50);
    stage.pass(23 * HOUR);
    let read: usize = stage.read_all().iter().map(|(_, records)| records.len()).sum();
    assert_eq!(read, 50);
    stage.pass(HOUR);
    let arn = stage.arn.clone();
    let refused = stage.call("DescribeStream", json!({"StreamArn": arn}));
    assert_eq!(refused.unwrap_err(), "ResourceNotFoundException");
    assert_eq!(stage.model.bytes(), 0);
}

#[test]
fn a_stream_enabled_again_is_another_one() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    stage.write(3);
    stage.pass(HOUR);
    let old = stage.arn.clone();
    stage.model.disable("orders", stage.now);
    let new = stage.model.enable("orders", ViewType::KeysOnly, key(), stage.now);
    assert_ne!(old, new);
    stage.pass(5 * SECOND);
    stage.write(1);
    let streams = stage.call("ListStreams", json!({"TableName": "orders"})).unwrap();
    let arns: Vec<_> =
        streams["Streams"].as_array().unwrap().iter().map(|s| text(&s["StreamArn"])).collect();
    assert_eq!(arns, [old, new.clone()]);
    stage.arn = new;
    let read: usize = stage.read_all().iter().map(|(_, records)| records.len()).sum();
    assert_eq!(read, 1);
}

#[test]
fn two_streams_of_one_moment_have_two_arns() {
    let mut model = Model::new(settings(1, 4 * HOUR));
    let one = model.enable("t", ViewType::KeysOnly, key(), BEGIN);
    let other = model.enable("t", ViewType::KeysOnly, key(), BEGIN);
    assert_ne!(one, other);
}

#[test]
fn streams_are_listed_by_table_and_in_pages() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    for n in 0..130 {
        stage.model.enable(&format!("table-{n:03}"), ViewType::KeysOnly, key(), BEGIN);
    }
    let mut found = Vec::new();
    let mut request = json!({});
    loop {
        let page = stage.call("ListStreams", request).unwrap();
        found.extend(page["Streams"].as_array().unwrap().iter().map(|s| text(&s["TableName"])));
        let Some(last) = page.get("LastEvaluatedStreamArn") else { break };
        assert_eq!(found.len(), 100);
        request = json!({"ExclusiveStartStreamArn": last});
    }
    assert_eq!(found.len(), 131);
    let one = stage.call("ListStreams", json!({"TableName": "table-007", "Limit": 1})).unwrap();
    assert_eq!(one["Streams"].as_array().unwrap().len(), 1);
    assert!(one.get("LastEvaluatedStreamArn").is_none());
}

#[test]
fn shards_and_records_may_live_as_long_as_a_duration_can_be() {
    let ever = Duration::MAX;
    let settings = Settings { rollover: ever, retention: ever, ..settings(1, HOUR) };
    let mut stage = Stage::new(settings);
    stage.write(3);
    stage.pass(1_000 * 365 * 24 * HOUR);
    let id = stage.ids().remove(0);
    assert_eq!((stage.read(&id).len(), stage.model.all_shards()), (3, 1));
    stage.model.disable("orders", stage.now);
    stage.pass(1_000 * 365 * 24 * HOUR);
    assert_eq!(stage.read(&id).len(), 3);
}

#[test]
fn years_that_pass_at_once_leave_as_much_as_if_they_had_been_looked_at() {
    let mut stage = Stage::new(settings(4, HOUR));
    let day = 24 * HOUR;
    let mut most = 0;
    for _ in 0..20 {
        stage.pass(day);
        stage.ids();
        most = most.max(stage.model.all_shards());
    }
    stage.pass(200 * day);
    stage.ids();
    assert!(stage.model.all_shards() <= most, "{} shards", stage.model.all_shards());
}
