//! Records and pages.

use serde_json::{Value, json};
use shardstream_simulator::{Change, Settings, ViewType};

use crate::stage::{HOUR, MINUTE, Stage, item, put, settings, text};

fn modify() -> Change {
    let mut change = put("orders", "a", 2);
    change.old = Some(item(json!({"pk": {"S": "a"}, "n": {"N": "1"}})));
    change
}

fn only(stage: &mut Stage) -> Value {
    let id = stage.ids().remove(0);
    let mut records = stage.read(&id);
    assert_eq!(records.len(), 1);
    records.remove(0)
}

#[test]
fn a_record_has_what_aws_gives() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    stage.model.change(&modify(), stage.now).unwrap();
    let record = only(&mut stage);
    assert_eq!(record["eventName"], "MODIFY");
    assert_eq!(record["eventVersion"], "1.1");
    assert_eq!(record["eventSource"], "aws:dynamodb");
    assert_eq!(record["awsRegion"], "us-east-1");
    let id = text(&record["eventID"]);
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let change = &record["dynamodb"];
    assert_eq!(change["Keys"], json!({"pk": {"S": "a"}}));
    assert_eq!(change["NewImage"], json!({"pk": {"S": "a"}, "n": {"N": "2"}}));
    assert_eq!(change["OldImage"], json!({"pk": {"S": "a"}, "n": {"N": "1"}}));
    assert_eq!(change["StreamViewType"], "NEW_AND_OLD_IMAGES");
    assert!(record.get("userIdentity").is_none());
}

#[test]
fn a_view_type_says_which_images_there_are() {
    let views = [
        (ViewType::KeysOnly, "KEYS_ONLY", false, false),
        (ViewType::NewImage, "NEW_IMAGE", true, false),
        (ViewType::OldImage, "OLD_IMAGE", false, true),
        (ViewType::NewAndOldImages, "NEW_AND_OLD_IMAGES", true, true),
    ];
    for (view, name, new, old) in views {
        let mut stage = Stage::with(settings(1, 4 * HOUR), view);
        stage.model.change(&modify(), stage.now).unwrap();
        let change = only(&mut stage)["dynamodb"].clone();
        assert_eq!(change["StreamViewType"], name);
        assert_eq!(
            (change.get("NewImage").is_some(), change.get("OldImage").is_some()),
            (new, old)
        );
    }
}

#[test]
fn times_are_rounded_down_to_the_second() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    stage.pass(999);
    stage.write(1);
    let at = only(&mut stage)["dynamodb"]["ApproximateCreationDateTime"].clone();
    assert_eq!(at, json!(stage.now / 1_000));
    assert!(at.is_u64());
}

#[test]
fn size_bytes_counts_keys_and_images() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let mut change = put("orders", "a", 1);
    let rich = json!({
        "pk": {"S": "a"}, "blob": {"B": "AAECAw=="}, "set": {"NS": ["1", "23"]}, "yes": {"BOOL": true},
        "map": {"M": {"list": {"L": [{"S": "xy"}]}}}, "n": {"N": "-12.5"},
    });
    change.new = Some(item(rich));
    stage.model.change(&change, stage.now).unwrap();
    // Keys 2 + 1; image: pk 3, blob 4 + 4, set 3 + 2 + 2, yes 3 + 1, map 3 + 3 + 1 + 4 + 3 + 1 + 2, n 1 + 3.
    assert_eq!(only(&mut stage)["dynamodb"]["SizeBytes"], json!(3 + 3 + 8 + 7 + 4 + 17 + 4));
}

#[test]
fn a_write_that_changes_nothing_leaves_no_record() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let mut change = put("orders", "a", 1);
    let set = |members: [&str; 2]| Some(item(json!({"pk": {"S": "a"}, "s": {"SS": members}})));
    (change.old, change.new) = (set(["x", "y"]), set(["y", "x"]));
    assert_eq!(stage.model.change(&change, stage.now), None);
    change.new = set(["x", "z"]);
    assert!(stage.model.change(&change, stage.now).is_some());
    only(&mut stage);
}

#[test]
fn a_deletion_by_time_to_live_names_the_service() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let change = put("orders", "a", 1);
    let gone = Change { old: change.new.clone(), new: None, expired: true, ..change };
    stage.model.change(&gone, stage.now).unwrap();
    let record = only(&mut stage);
    assert_eq!(record["eventName"], "REMOVE");
    let service = json!({"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"});
    assert_eq!(record["userIdentity"], service);
}

#[test]
fn a_page_has_a_thousand_records_at_most() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    stage.write(2_500);
    let id = stage.ids().remove(0);
    let mut iterator = stage.iterator(&id, "TRIM_HORIZON");
    let mut sizes = Vec::new();
    for _ in 0..10 {
        let page = stage.page(&iterator).unwrap();
        sizes.push(page["Records"].as_array().unwrap().len());
        iterator = text(&page["NextShardIterator"]);
    }
    sizes.retain(|size| *size > 0);
    assert_eq!(sizes, [1_000, 1_000, 500]);
}

#[test]
fn a_page_has_as_many_records_as_asked_for() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    stage.write(10);
    let id = stage.ids().remove(0);
    let mut iterator = stage.iterator(&id, "TRIM_HORIZON");
    for _ in 0..5 {
        let page =
            stage.call("GetRecords", json!({"ShardIterator": iterator, "Limit": 3})).unwrap();
        let found = page["Records"].as_array().unwrap().len();
        if found > 0 {
            return assert_eq!(found, 3);
        }
        iterator = text(&page["NextShardIterator"]);
    }
    panic!("only empty pages");
}

#[test]
fn a_page_has_a_megabyte_at_most_but_a_record_always_fits() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let large = "x".repeat(399_000);
    for n in 0..6 {
        let mut change = put("orders", &format!("k{n}"), n);
        for image in [&mut change.old, &mut change.new] {
            *image = Some(item(json!({"pk": {"S": format!("k{n}")}, "big": {"S": large}})));
        }
        change.old.as_mut().unwrap().insert("was".into(), json!({"BOOL": true}));
        stage.model.change(&change, stage.now).unwrap();
    }
    let id = stage.ids().remove(0);
    let mut iterator = stage.iterator(&id, "TRIM_HORIZON");
    let mut sizes = Vec::new();
    for _ in 0..10 {
        let page = stage.page(&iterator).unwrap();
        sizes.push(page["Records"].as_array().unwrap().len());
        iterator = text(&page["NextShardIterator"]);
    }
    sizes.retain(|size| *size > 0);
    assert_eq!(sizes, [1; 6]);
}

/// The pages of a closed shard, by how many records each has.
fn pages_of_a_closed_shard(seed: u64) -> Vec<usize> {
    let mut stage = Stage::new(Settings { seed, ..settings(1, HOUR) });
    let id = stage.ids().remove(0);
    stage.write(30);
    stage.pass(2 * HOUR);
    let mut next = Some(stage.iterator(&id, "TRIM_HORIZON"));
    let mut sizes = Vec::new();
    while let Some(iterator) = next {
        let page = stage.page(&iterator).unwrap();
        sizes.push(page["Records"].as_array().unwrap().len());
        next = page.get("NextShardIterator").map(text);
    }
    sizes
}

#[test]
fn the_last_page_of_a_shard_has_records_and_no_next_iterator() {
    let ends: Vec<_> = (0..20).map(|seed| *pages_of_a_closed_shard(seed).last().unwrap()).collect();
    assert!(ends.iter().filter(|last| **last == 30).count() > 5, "{ends:?}");
    // Of some shards the end is a page of its own.
    assert!(ends.iter().filter(|last| **last == 0).count() > 2, "{ends:?}");
}

#[test]
fn empty_pages_come_before_the_tip() {
    let before = |seed| pages_of_a_closed_shard(seed).iter().take_while(|size| **size == 0).count();
    let counts: Vec<_> = (0..40).map(before).collect();
    assert!(counts.iter().filter(|count| **count > 0).count() > 4, "{counts:?}");
    assert!(counts.iter().all(|count| *count <= 3), "{counts:?}");
}

#[test]
fn an_open_shard_always_has_a_next_iterator() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    let id = stage.ids().remove(0);
    let mut iterator = stage.iterator(&id, "LATEST");
    for _ in 0..50 {
        let page = stage.page(&iterator).unwrap();
        assert_eq!(page["Records"], json!([]));
        iterator = text(&page["NextShardIterator"]);
        stage.pass(MINUTE);
    }
    stage.write(1);
    assert_eq!(stage.page(&iterator).unwrap()["Records"].as_array().unwrap().len(), 1);
}
