//! Iterators: where they begin, and how long they live.

use serde_json::json;

use crate::stage::{HOUR, MINUTE, SECOND, Stage, number, settings, text};

/// A stage with one shard and so many records, one a second.
fn written(count: u64) -> (Stage, String, Vec<String>) {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let numbers = (0..count)
        .map(|n| {
            stage.pass(SECOND);
            stage.put("a", n)
        })
        .collect();
    let id = stage.ids().remove(0);
    (stage, id, numbers)
}

fn rest(stage: &mut Stage, iterator: &str) -> Vec<String> {
    stage.read_on(iterator).iter().map(number).collect()
}

#[test]
fn an_iterator_lives_fifteen_minutes() {
    let (mut stage, id, _) = written(3);
    let iterator = stage.iterator(&id, "TRIM_HORIZON");
    stage.pass(15 * MINUTE);
    let page = stage.page(&iterator).unwrap();
    let next = text(&page["NextShardIterator"]);
    stage.pass(1);
    assert_eq!(stage.page(&iterator).unwrap_err(), "ExpiredIteratorException");
    stage.pass(15 * MINUTE - 1);
    stage.page(&next).unwrap();
    stage.pass(1);
    assert_eq!(stage.page(&next).unwrap_err(), "ExpiredIteratorException");
}

#[test]
fn an_iterator_can_be_used_again() {
    let (mut stage, id, numbers) = written(5);
    let iterator = stage.iterator(&id, "TRIM_HORIZON");
    assert_eq!(rest(&mut stage, &iterator), numbers);
    assert_eq!(rest(&mut stage, &iterator), numbers);
}

#[test]
fn at_and_after_begin_at_and_behind_a_number() {
    let (mut stage, id, numbers) = written(5);
    let at = stage.numbered(&id, "AT_SEQUENCE_NUMBER", &numbers[2]).unwrap();
    assert_eq!(rest(&mut stage, &at), numbers[2..]);
    let after = stage.numbered(&id, "AFTER_SEQUENCE_NUMBER", &numbers[2]).unwrap();
    assert_eq!(rest(&mut stage, &after), numbers[3..]);
    // With zeros before it, it is the same number.
    let padded = format!("{:0>40}", numbers[2]);
    let at = stage.numbered(&id, "AT_SEQUENCE_NUMBER", &padded).unwrap();
    assert_eq!(rest(&mut stage, &at), numbers[2..]);
}

#[test]
fn latest_begins_behind_what_was_written_before_it_was_asked_for() {
    let (mut stage, id, _) = written(5);
    let latest = stage.iterator(&id, "LATEST");
    assert!(rest(&mut stage, &latest).is_empty());
    let new = stage.put("b", 1);
    assert_eq!(rest(&mut stage, &latest), [new]);
    let later = stage.iterator(&id, "LATEST");
    assert!(rest(&mut stage, &later).is_empty());
}

#[test]
fn a_time_begins_with_the_first_record_at_it_or_later() {
    let (mut stage, id, numbers) = written(10);
    let first = stage.now - 9 * SECOND;
    let at = |stage: &mut Stage, millis: u64| {
        let request = json!({"StreamArn": stage.arn, "ShardId": id, "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": millis as f64 / 1_000.0});
        Ok::<_, String>(text(&stage.call("GetShardIterator", request)?["ShardIterator"]))
    };
    for (time, from) in [
        (first + 4 * SECOND, 4),
        (first + 4 * SECOND - 300, 4),
        (first - HOUR, 0),
        (first + 9 * SECOND + 1, 10),
    ] {
        stage.now = stage.now.max(time);
        let iterator = at(&mut stage, time).unwrap();
        assert_eq!(rest(&mut stage, &iterator), numbers[from..], "{from}");
    }
    let future = stage.now + MINUTE;
    assert_eq!(at(&mut stage, future).unwrap_err(), "ValidationException");
}

#[test]
fn a_malformed_iterator_is_refused() {
    let (mut stage, id, _) = written(1);
    let iterator = stage.iterator(&id, "TRIM_HORIZON");
    let (kept, last) = iterator.split_at(iterator.len() - 6);
    let other: String = last.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
    for bad in ["x".to_owned(), format!("{kept}{other}"), format!("{iterator}A"), kept.to_owned()] {
        assert_eq!(stage.page(&bad).unwrap_err(), "ValidationException", "{bad}");
    }
}
