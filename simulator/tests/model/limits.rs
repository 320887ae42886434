//! How often readers may come.

use serde_json::json;
use shardstream_simulator::{Limits, Settings};

use crate::stage::{HOUR, SECOND, Stage, settings};

fn limited() -> Stage {
    Stage::new(Settings { limits: Some(Limits::default()), ..settings(2, 4 * HOUR) })
}

#[test]
fn describe_stream_takes_ten_calls_a_second() {
    let mut stage = limited();
    let request = json!({"StreamArn": stage.arn});
    for _ in 0..10 {
        stage.call("DescribeStream", request.clone()).unwrap();
    }
    let refused = stage.call("DescribeStream", request.clone());
    assert_eq!(refused.unwrap_err(), "ThrottlingException");
    stage.pass(100);
    stage.call("DescribeStream", request.clone()).unwrap();
    assert!(stage.call("DescribeStream", request).is_err());
}

#[test]
fn list_streams_takes_five_calls_a_second() {
    let mut stage = limited();
    for _ in 0..5 {
        stage.call("ListStreams", json!({})).unwrap();
    }
    assert_eq!(stage.call("ListStreams", json!({})).unwrap_err(), "ThrottlingException");
    stage.pass(SECOND);
    stage.call("ListStreams", json!({})).unwrap();
}

#[test]
fn a_shard_takes_the_calls_of_two_readers() {
    let mut stage = limited();
    let ids = stage.ids();
    let one = stage.iterator(&ids[0], "TRIM_HORIZON");
    let other = stage.iterator(&ids[1], "TRIM_HORIZON");
    for _ in 0..10 {
        stage.page(&one).unwrap();
    }
    assert_eq!(stage.page(&one).unwrap_err(), "LimitExceededException");
    stage.page(&other).unwrap();
    stage.pass(100);
    stage.page(&one).unwrap();
}

#[test]
fn a_shard_gives_the_bytes_of_two_readers() {
    let mut stage = limited();
    for n in 0..20 {
        let mut change = crate::stage::put("orders", "a", n);
        change.new.as_mut().unwrap().insert("big".into(), json!({"S": "x".repeat(390_000)}));
        stage.model.change(&change, stage.now).unwrap();
    }
    let mut taken = 0;
    for id in stage.ids() {
        let mut at = stage.iterator(&id, "TRIM_HORIZON");
        for _ in 0..10 {
            let Ok(page) = stage.page(&at) else {
                assert!((4 << 20..6 << 20).contains(&taken), "{taken}");
                return;
            };
            taken += page["Records"].to_string().len();
            at = crate::stage::text(&page["NextShardIterator"]);
        }
    }
    panic!("{taken} bytes and no end");
}

#[test]
fn without_limits_nobody_waits() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    for _ in 0..1_000 {
        stage.call("ListStreams", json!({})).unwrap();
        stage.ids();
    }
}
