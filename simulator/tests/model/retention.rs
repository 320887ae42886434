//! What is kept, for how long, and who is told of a loss.

use shardstream_simulator::Settings;

use crate::stage::{BEGIN, HOUR, MINUTE, SECOND, Stage, key, number, put, settings, text};

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

/// Every number that can be read now.
fn readable(stage: &mut Stage) -> Vec<String> {
    stage.read_all().iter().flat_map(|(_, records)| records.iter().map(number)).collect()
}

#[test]
fn a_child_keeps_what_it_is_given_while_its_parent_fills_the_memory() {
    let small = Settings { max_bytes: 20_000, split_rate: 1, ..settings(1, 100 * HOUR) };
    let mut stage = Stage::new(small);
    let written: Vec<_> = (0..70).map(|n| stage.put(&format!("k{n}"), n)).collect();
    assert!(stage.model.all_shards() > 1, "nothing has split");
    stage.pass(4 * SECOND);
    let kept = readable(&mut stage);
    // Of all that there was the newest is what is left, whichever shard it lies in.
    assert!(kept.len() > 20 && kept.len() < 70, "{}", kept.len());
    assert!(written[70 - kept.len()..].iter().all(|number| kept.contains(number)));
    let told = stage.model.summary(stage.now)["trimmed_early"].as_u64();
    assert_eq!(told, Some(70 - kept.len() as u64));
}

#[test]
fn what_no_listing_shows_yet_is_not_trimmed_early() {
    let small = Settings { max_bytes: 20_000, split_rate: 1, ..settings(1, 100 * HOUR) };
    let mut hidden = 0;
    // Half of the children are listed late, by the seed.
    for seed in 0..8 {
        let mut stage = Stage::new(Settings { seed, ..small.clone() });
        stage.write(61);
        let listed = stage.ids();
        for n in 0..70 {
            stage.put(&format!("l{n}"), n);
        }
        stage.pass(4 * SECOND);
        for shard in stage.shards() {
            let id = text(&shard["ShardId"]);
            if !listed.contains(&id) {
                hidden += 1;
                let first = text(&shard["SequenceNumberRange"]["StartingSequenceNumber"]);
                stage.numbered(&id, "AT_SEQUENCE_NUMBER", &first).expect("nothing is trimmed");
            }
        }
    }
    assert!(hidden > 0, "no child was listed late");
}

#[test]
fn a_table_that_is_written_to_leaves_the_newest_of_others_alone() {
    let mut stage = Stage::new(Settings { max_bytes: 20_000, ..settings(1, 100 * HOUR) });
    stage.write(100);
    stage.pass(MINUTE);
    let arn =
        stage.model.enable("payments", shardstream_simulator::ViewType::KeysOnly, key(), BEGIN);
    stage.arn = arn;
    stage.pass(MINUTE);
    let number = stage.model.change(&put("payments", "p", 1), stage.now).unwrap().to_string();
    assert_eq!(readable(&mut stage), [number]);
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
