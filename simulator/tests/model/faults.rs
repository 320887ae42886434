//! What AWS does rarely, done on request.

use serde_json::{Value, json};
use shardstream_simulator::{Answer, Disturbance, Rule};

use crate::stage::{HOUR, SECOND, Stage, settings, text};

fn rules(stage: &mut Stage, rules: Value) {
    let rules: Vec<Rule> = serde_json::from_value(rules).unwrap();
    stage.model.set_faults(rules);
}

fn answer(stage: &mut Stage, operation: &str, request: Value) -> Answer {
    let target = format!("DynamoDBStreams_20120810.{operation}");
    stage.model.answer(&target, request.to_string().as_bytes(), stage.now)
}

#[test]
fn a_fault_refuses_as_aws_would() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let id = stage.ids().remove(0);
    let iterator = stage.iterator(&id, "TRIM_HORIZON");
    let cases = [
        ("throttle", "LimitExceededException"),
        ("internal-error", "InternalServerError"),
        ("expired-iterator", "ExpiredIteratorException"),
        ("trimmed", "TrimmedDataAccessException"),
        ("not-found", "ResourceNotFoundException"),
    ];
    for (fault, code) in cases {
        rules(&mut stage, json!([{"fault": fault, "operation": "GetRecords"}]));
        assert_eq!(stage.page(&iterator).unwrap_err(), code);
        stage.ids();
    }
    rules(&mut stage, json!([{"fault": "throttle"}]));
    let request = json!({"StreamArn": stage.arn});
    let described = answer(&mut stage, "DescribeStream", request);
    assert!(described.body.contains("ThrottlingException"), "{}", described.body);
    rules(&mut stage, json!([]));
    stage.page(&iterator).unwrap();
}

#[test]
fn a_fault_is_for_the_calls_that_its_rule_names() {
    let mut stage = Stage::new(settings(2, 4 * HOUR));
    let ids = stage.ids();
    let (one, other) = (stage.iterator(&ids[0], "LATEST"), stage.iterator(&ids[1], "LATEST"));
    rules(&mut stage, json!([{"fault": "trimmed", "operation": "GetRecords", "shard": ids[0]}]));
    stage.page(&one).unwrap_err();
    stage.page(&other).unwrap();
    stage.iterator(&ids[0], "LATEST");
    rules(&mut stage, json!([{"fault": "trimmed", "table": "another"}]));
    stage.page(&one).unwrap();
    rules(&mut stage, json!([{"fault": "trimmed", "table": "orders"}]));
    stage.page(&one).unwrap_err();
    let described = json!({"StreamArn": stage.arn});
    stage.call("DescribeStream", described).unwrap_err();
}

#[test]
fn a_fault_comes_after_so_many_calls_and_so_often() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let id = stage.ids().remove(0);
    let iterator = stage.iterator(&id, "LATEST");
    rules(
        &mut stage,
        json!([{"fault": "throttle", "operation": "GetRecords", "after": 2, "times": 3}]),
    );
    let failed: Vec<_> = (0..8).map(|_| stage.page(&iterator).is_err()).collect();
    assert_eq!(failed, [false, false, true, true, true, false, false, false]);
}

#[test]
fn a_fault_by_chance_is_the_same_with_the_same_seed() {
    let play = || {
        let mut stage = Stage::new(settings(1, 4 * HOUR));
        let id = stage.ids().remove(0);
        let iterator = stage.iterator(&id, "LATEST");
        rules(&mut stage, json!([{"fault": "throttle", "chance": 0.3}]));
        (0..200).map(|_| stage.page(&iterator).is_err()).collect::<Vec<_>>()
    };
    let failed = play();
    let count = failed.iter().filter(|failed| **failed).count();
    assert!((30..90).contains(&count), "{count}");
    assert_eq!(failed, play());
}

#[test]
fn a_fault_may_lie_in_the_way_of_the_answer() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    stage.write(3);
    let cases = [
        (
            json!({"fault": "hang", "lasting": 2.5}),
            Disturbance::Hang(std::time::Duration::from_millis(2_500)),
        ),
        (json!({"fault": "truncate"}), Disturbance::Truncate),
        (json!({"fault": "lose-answer"}), Disturbance::Lose),
    ];
    for (rule, disturbance) in cases {
        rules(&mut stage, json!([rule]));
        let request = json!({"StreamArn": stage.arn});
        let described = answer(&mut stage, "DescribeStream", request);
        assert_eq!((described.status, described.disturbance), (200, Some(disturbance)));
    }
}

#[test]
fn children_are_listed_as_late_as_told() {
    let mut stage = Stage::new(settings(1, HOUR));
    stage.pass(2 * HOUR - 75 * 60 * SECOND);
    let before = stage.ids().len();
    rules(&mut stage, json!([{"fault": "late-children", "lasting": 86_000.0}]));
    stage.pass(HOUR);
    let parent = stage.ids();
    assert_eq!(parent.len(), 1);
    let children = json!({"Type": "CHILD_SHARDS", "ShardId": parent[0]});
    let children = json!({"StreamArn": stage.arn, "ShardFilter": children});
    let found = stage.call("DescribeStream", children).unwrap();
    assert_eq!(found["StreamDescription"]["Shards"], json!([]));
    rules(&mut stage, json!([]));
    assert!(stage.ids().len() > before);
    assert!(!text(&stage.shards()[0]["ShardId"]).is_empty());
}

#[test]
fn a_rule_that_is_none_is_refused() {
    for bad in [
        json!({"operation": "GetRecords"}),
        json!({"fault": "throtle"}),
        json!({"fault": "throttle", "operation": "PutItem"}),
        json!({"fault": "throttle", "chance": 1.5}),
        json!({"fault": "hang", "lasting": -1.0}),
        json!({"fault": "hang", "lasts": 1.0}),
    ] {
        assert!(serde_json::from_value::<Rule>(bad.clone()).is_err(), "{bad}");
    }
}
