//! What is kept, for how long, and who is told of a loss.

use shardstream_simulator::Settings;

use crate::stage::{HOUR, MINUTE, Stage, number, settings, text};

/// Two records, of which the first is trimmed.
fn trimmed() -> (Stage, String, String, String) {
    let mut stage = Stage::new(settings(1, 100 * HOUR));
    let first = stage.put("a", 1);
    stage.pass(HOUR);
    let second = stage.put("a", 2);
    stage.pass(23 * HOUR + 1);
    let id = stage.ids().remove(0);
    (stage, id, first, second)
}

#[test]
fn records_are_kept_for_a_day() {
    let mut stage = Stage::new(settings(1, 100 * HOUR));
    stage.write(3);
    let id = stage.ids().remove(0);
    stage.pass(24 * HOUR);
    assert_eq!(stage.read(&id).len(), 3);
    stage.pass(1);
    assert_eq!(stage.read(&id).len(), 0);
    assert_eq!(stage.model.bytes(), 0);
}

#[test]
fn the_horizon_passes_silently_over_what_was_trimmed() {
    let (mut stage, id, _, second) = trimmed();
    let read: Vec<_> = stage.read(&id).iter().map(number).collect();
    assert_eq!(read, [second]);
}

#[test]
fn a_number_that_was_trimmed_is_refused() {
    let (mut stage, id, first, second) = trimmed();
    for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
        let refused = stage.numbered(&id, kind, &first);
        assert_eq!(refused.unwrap_err(), "TrimmedDataAccessException", "{kind}");
        stage.numbered(&id, kind, &second).unwrap();
    }
}

#[test]
fn what_is_trimmed_while_an_iterator_lives_is_refused() {
    let mut stage = Stage::new(settings(1, 100 * HOUR));
    let first = stage.put("a", 1);
    stage.put("a", 2);
    let id = stage.ids().remove(0);
    stage.pass(24 * HOUR - MINUTE);
    let at = stage.numbered(&id, "AT_SEQUENCE_NUMBER", &first).unwrap();
    let horizon = stage.iterator(&id, "TRIM_HORIZON");
    stage.pass(2 * MINUTE);
    assert_eq!(stage.page(&at).unwrap_err(), "TrimmedDataAccessException");
    stage.page(&horizon).unwrap();
}

#[test]
fn a_closed_shard_is_listed_for_a_day() {
    let mut stage = Stage::new(settings(1, HOUR));
    let id = stage.ids().remove(0);
    stage.write(1);
    stage.pass(24 * HOUR);
    assert!(stage.ids().contains(&id));
    stage.pass(2 * HOUR);
    assert!(!stage.ids().contains(&id));
}

#[test]
fn a_parent_may_be_gone_from_the_listing() {
    let mut stage = Stage::new(settings(1, HOUR));
    stage.pass(40 * HOUR);
    let ids = stage.ids();
    let shards = stage.shards();
    let parents: Vec<_> =
        shards.iter().filter_map(|shard| shard.get("ParentShardId")).map(text).collect();
    assert!(parents.iter().any(|parent| !ids.contains(parent)));
}

#[test]
fn a_forgotten_shard_is_not_found() {
    let mut stage = Stage::new(settings(1, HOUR));
    let id = stage.ids().remove(0);
    stage.pass(40 * HOUR);
    let request = serde_json::json!({"StreamArn": stage.arn, "ShardId": id, "ShardIteratorType": "TRIM_HORIZON"});
    assert_eq!(stage.call("GetShardIterator", request).unwrap_err(), "ResourceNotFoundException");
}

#[test]
fn past_its_memory_the_oldest_are_trimmed_early() {
    let mut stage = Stage::new(Settings { max_bytes: 20_000, ..settings(1, 100 * HOUR) });
    let first = stage.put("a", 1);
    stage.write(500);
    assert!(stage.model.bytes() <= 20_000);
    let id = stage.ids().remove(0);
    assert!(stage.read(&id).len() > 20);
    let refused = stage.numbered(&id, "AT_SEQUENCE_NUMBER", &first);
    assert_eq!(refused.unwrap_err(), "TrimmedDataAccessException");
}

#[test]
fn a_week_leaves_nothing_behind() {
    let mut stage = Stage::new(settings(4, 4 * HOUR));
    let mut most = 0;
    for n in 0..7 * 24 * 6 {
        stage.put(&format!("k{}", n % 40), n);
        stage.pass(10 * MINUTE);
        most = most.max(stage.model.all_shards());
    }
    assert!(most < 90, "{most} shards");
    stage.pass(25 * HOUR);
    stage.ids();
    assert_eq!(stage.model.bytes(), 0);
}
