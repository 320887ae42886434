//! Malformed calls, and the codes they get.

use serde_json::{Value, json};

use crate::stage::{HOUR, Stage, settings};

/// An operation, a request that is wrong, and the code it gets.
type Case = (&'static str, Value, &'static str);

const VALIDATION: &str = "ValidationException";
const SERIALIZATION: &str = "SerializationException";
const NOT_FOUND: &str = "ResourceNotFoundException";

fn listings(arn: &str, other: &str, shard: &str) -> Vec<Case> {
    let filter = |filter: Value| json!({"StreamArn": arn, "ShardFilter": filter});
    vec![
        ("ListStreams", json!({"Limit": 0}), VALIDATION),
        ("ListStreams", json!({"Limit": 101}), VALIDATION),
        ("ListStreams", json!({"Limit": "1"}), SERIALIZATION),
        ("ListStreams", json!({"TableName": "x"}), VALIDATION),
        ("ListStreams", json!([]), SERIALIZATION),
        ("DescribeStream", json!({}), VALIDATION),
        ("DescribeStream", json!({"StreamArn": "x"}), VALIDATION),
        ("DescribeStream", json!({"StreamArn": "x".repeat(40)}), VALIDATION),
        ("DescribeStream", json!({"StreamArn": other}), NOT_FOUND),
        ("DescribeStream", json!({"StreamArn": arn, "Limit": 101}), VALIDATION),
        ("DescribeStream", filter(json!({"Type": "ALL", "ShardId": shard})), VALIDATION),
        ("DescribeStream", filter(json!({"Type": "CHILD_SHARDS"})), VALIDATION),
    ]
}

fn iterators(arn: &str, other: &str, shard: &str) -> Vec<Case> {
    let iterator = |extra: Value, code| {
        let mut request =
            json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        ("GetShardIterator", request, code)
    };
    let after = |number: &str| {
        let kind = "AFTER_SEQUENCE_NUMBER";
        iterator(json!({"ShardIteratorType": kind, "SequenceNumber": number}), VALIDATION)
    };
    let unknown = "shardId-00000000000000000000-00000000";
    vec![
        iterator(json!({"StreamArn": other}), NOT_FOUND),
        iterator(json!({"ShardId": unknown}), NOT_FOUND),
        iterator(json!({"ShardId": "x"}), VALIDATION),
        iterator(json!({"ShardIteratorType": "EARLIEST"}), VALIDATION),
        iterator(json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER"}), VALIDATION),
        iterator(json!({"SequenceNumber": "4".repeat(26)}), VALIDATION),
        after("5"),
        after(&"x".repeat(26)),
        iterator(json!({"ShardIteratorType": "AT_TIMESTAMP"}), VALIDATION),
        iterator(json!({"Timestamp": 1}), VALIDATION),
    ]
}

fn pages() -> Vec<Case> {
    vec![
        ("GetRecords", json!({}), VALIDATION),
        ("GetRecords", json!({"ShardIterator": ""}), VALIDATION),
        ("GetRecords", json!({"ShardIterator": "x".repeat(3_000)}), VALIDATION),
        ("GetRecords", json!({"ShardIterator": 5}), SERIALIZATION),
        ("GetRecords", json!({"ShardIterator": "x", "Limit": 1_001}), VALIDATION),
        ("PutRecord", json!({}), "UnknownOperationException"),
    ]
}

#[test]
fn a_malformed_call_gets_awss_code() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let (arn, shard) = (stage.arn.clone(), stage.ids().remove(0));
    let other = arn.replace("orders", "nothing");
    let cases = [listings(&arn, &other, &shard), iterators(&arn, &other, &shard), pages()];
    for (operation, request, code) in cases.into_iter().flatten() {
        let refused = stage.call(operation, request.clone());
        assert_eq!(refused.unwrap_err(), code, "{operation} {request}");
    }
    let answer = stage.model.answer("DynamoDBStreams_20120810.ListStreams", b"{", stage.now);
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("SerializationException"), "{}", answer.body);
}
