//! Malformed calls, and the codes they get.

use serde_json::{Value, json};

use crate::stage::{HOUR, Stage, settings};

#[test]
fn a_malformed_call_gets_awss_code() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let (arn, shard) = (stage.arn.clone(), stage.ids().remove(0));
    let other = arn.replace("orders", "nothing");
    let number = "4".repeat(26);
    let iterator = |extra: Value| {
        let mut request =
            json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        request
    };
    let cases = [
        ("ListStreams", json!({"Limit": 0}), "ValidationException"),
        ("ListStreams", json!({"Limit": 101}), "ValidationException"),
        ("ListStreams", json!({"Limit": "1"}), "SerializationException"),
        ("ListStreams", json!({"TableName": "x"}), "ValidationException"),
        ("ListStreams", json!([]), "SerializationException"),
        ("DescribeStream", json!({}), "ValidationException"),
        ("DescribeStream", json!({"StreamArn": "x"}), "ValidationException"),
        ("DescribeStream", json!({"StreamArn": "x".repeat(40)}), "ValidationException"),
        ("DescribeStream", json!({"StreamArn": other}), "ResourceNotFoundException"),
        ("DescribeStream", json!({"StreamArn": arn, "Limit": 101}), "ValidationException"),
        (
            "DescribeStream",
            json!({"StreamArn": arn, "ShardFilter": {"Type": "ALL", "ShardId": shard}}),
            "ValidationException",
        ),
        (
            "DescribeStream",
            json!({"StreamArn": arn, "ShardFilter": {"Type": "CHILD_SHARDS"}}),
            "ValidationException",
        ),
        ("GetShardIterator", iterator(json!({"StreamArn": other})), "ResourceNotFoundException"),
        (
            "GetShardIterator",
            iterator(json!({"ShardId": "shardId-00000000000000000000-00000000"})),
            "ResourceNotFoundException",
        ),
        ("GetShardIterator", iterator(json!({"ShardId": "x"})), "ValidationException"),
        (
            "GetShardIterator",
            iterator(json!({"ShardIteratorType": "EARLIEST"})),
            "ValidationException",
        ),
        (
            "GetShardIterator",
            iterator(json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER"})),
            "ValidationException",
        ),
        ("GetShardIterator", iterator(json!({"SequenceNumber": number})), "ValidationException"),
        (
            "GetShardIterator",
            iterator(json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "5"})),
            "ValidationException",
        ),
        (
            "GetShardIterator",
            iterator(
                json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "x".repeat(26)}),
            ),
            "ValidationException",
        ),
        (
            "GetShardIterator",
            iterator(json!({"ShardIteratorType": "AT_TIMESTAMP"})),
            "ValidationException",
        ),
        ("GetShardIterator", iterator(json!({"Timestamp": 1})), "ValidationException"),
        ("GetRecords", json!({}), "ValidationException"),
        ("GetRecords", json!({"ShardIterator": ""}), "ValidationException"),
        ("GetRecords", json!({"ShardIterator": "x".repeat(3_000)}), "ValidationException"),
        ("GetRecords", json!({"ShardIterator": 5}), "SerializationException"),
        ("GetRecords", json!({"ShardIterator": "x", "Limit": 1_001}), "ValidationException"),
        ("PutRecord", json!({}), "UnknownOperationException"),
    ];
    for (operation, request, code) in cases {
        let refused = stage.call(operation, request.clone()).map_err(|code| code);
        assert_eq!(refused.unwrap_err(), code, "{operation} {request}");
    }
    let answer = stage.model.answer("DynamoDBStreams_20120810.ListStreams", b"{", stage.now);
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("SerializationException"), "{}", answer.body);
}
