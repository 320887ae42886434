//! Shards: their names, their lives, their children, and how they are listed.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use shardstream_simulator::Settings;

use crate::stage::{BEGIN, HOUR, MINUTE, SECOND, Stage, below, settings, text};

fn children_of<'a>(shards: &'a [Value], id: &str) -> Vec<&'a Value> {
    shards.iter().filter(|shard| shard["ParentShardId"] == id).collect()
}

fn ending(shard: &Value) -> Option<&str> {
    shard["SequenceNumberRange"].get("EndingSequenceNumber").and_then(Value::as_str)
}

#[test]
fn a_shards_id_tells_when_it_was_made() {
    let mut stage = Stage::new(settings(3, 4 * HOUR));
    for id in stage.ids() {
        assert!((28..=65).contains(&id.len()), "{id}");
        let rest = id.strip_prefix("shardId-").unwrap();
        let (time, tail) = rest.split_once('-').unwrap();
        assert_eq!((time.len(), time.parse::<u64>().unwrap()), (20, BEGIN));
        assert!(tail.len() == 8 && tail.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}

#[test]
fn a_stream_begins_with_as_many_shards_as_told() {
    for count in [1, 4, 250] {
        let ids = Stage::new(settings(count, 4 * HOUR)).ids();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), count as usize);
    }
}

#[test]
fn a_key_stays_in_its_shard_and_keys_are_spread_over_all() {
    let mut stage = Stage::new(settings(4, 4 * HOUR));
    for _ in 0..3 {
        stage.write(200);
    }
    let mut home = HashMap::new();
    for (shard, records) in stage.read_all() {
        assert!(records.len() > 60, "{}", records.len());
        for record in &records {
            assert_eq!(*home.entry(crate::stage::pk(record)).or_insert(shard.clone()), shard);
        }
    }
    assert_eq!(home.len(), 200);
}

#[test]
fn a_shard_ends_after_four_hours_on_average_and_a_child_goes_on() {
    let mut stage = Stage::new(settings(20, 4 * HOUR));
    let first = stage.ids();
    let mut lives = Vec::new();
    let mut ended = HashSet::new();
    while ended.len() < first.len() {
        stage.pass(MINUTE);
        let shards = stage.shards();
        for shard in &shards {
            let id = text(&shard["ShardId"]);
            if first.contains(&id) && ending(shard).is_some() && ended.insert(id) {
                lives.push(stage.now - BEGIN);
            }
        }
    }
    assert!(lives.iter().all(|life| (3 * HOUR..=5 * HOUR + MINUTE).contains(life)), "{lives:?}");
    let average = lives.iter().sum::<u64>() / lives.len() as u64;
    assert!(average.abs_diff(4 * HOUR) < 20 * MINUTE, "{average}");
    stage.pass(10 * SECOND);
    let shards = stage.shards();
    for id in first {
        assert!((1..=2).contains(&children_of(&shards, &id).len()), "{id}");
    }
}

#[test]
fn a_parent_has_one_child_or_two() {
    let mut stage = Stage::new(settings(8, 4 * HOUR));
    stage.pass(12 * HOUR);
    let shards = stage.shards();
    let mut families = BTreeMap::<usize, usize>::new();
    for shard in shards.iter().filter(|shard| ending(shard).is_some()) {
        *families.entry(children_of(&shards, &text(&shard["ShardId"])).len()).or_default() += 1;
    }
    let sizes: Vec<_> = families.keys().copied().collect();
    assert_eq!(sizes, [1, 2], "{families:?}");
}

#[test]
fn a_shard_that_is_written_to_too_fast_splits_in_two() {
    let mut stage = Stage::new(Settings { split_rate: 10, ..settings(1, 4 * HOUR) });
    let parent = stage.ids().remove(0);
    for n in 0..600 {
        stage.put(&format!("k{n}"), n);
    }
    assert_eq!(stage.model.open_shards(), 1);
    stage.put("last", 0);
    assert_eq!(stage.model.open_shards(), 2);
    stage.pass(5 * SECOND);
    stage.write(100);
    let shards = stage.shards();
    let children = children_of(&shards, &parent);
    assert_eq!(children.len(), 2);
    let parents: Vec<_> = stage.read(&parent).iter().map(crate::stage::pk).collect();
    assert_eq!(parents.len(), 601);
    for child in children {
        let read = stage.read(&text(&child["ShardId"])).len();
        assert!((20..=80).contains(&read), "{read}");
    }
}

#[test]
fn writes_spread_over_time_split_nothing() {
    let mut stage = Stage::new(Settings { split_rate: 10, ..settings(1, 4 * HOUR) });
    for n in 0..2_000 {
        stage.put(&format!("k{n}"), n);
        stage.pass(150);
    }
    assert_eq!(stage.model.all_shards(), 1);
}

#[test]
fn numbers_have_21_to_40_digits_and_rise_with_gaps_and_without_zeros_before_them() {
    let mut lengths = HashSet::new();
    for seed in 0..40 {
        let mut stage = Stage::new(Settings { seed, ..settings(1, 4 * HOUR) });
        let numbers: Vec<_> = (0..200).map(|n| stage.put("a", n)).collect();
        for number in &numbers {
            assert!((21..=40).contains(&number.len()) && !number.starts_with('0'), "{number}");
            lengths.insert(number.len());
        }
        assert!(numbers.windows(2).all(|pair| below(&pair[0], &pair[1])));
        let tails: HashSet<_> = numbers.iter().map(|number| &number[number.len() - 3..]).collect();
        assert!(tails.len() > 100, "they are dense");
    }
    assert!(lengths.contains(&21) && lengths.contains(&22) && lengths.contains(&40));
}

#[test]
fn numbers_compared_as_text_are_out_of_order() {
    let crosses = |seed| {
        let mut stage = Stage::new(Settings { seed, ..settings(1, 4 * HOUR) });
        let numbers: Vec<_> = (0..200).map(|n| stage.put("a", n)).collect();
        numbers.windows(2).any(|pair| pair[0] > pair[1])
    };
    assert!((0..20).filter(|seed| crosses(*seed)).count() > 2);
}

#[test]
fn a_childs_numbers_are_above_its_parents_end() {
    let mut stage = Stage::new(settings(2, HOUR));
    stage.write(20);
    stage.pass(3 * HOUR);
    let shards = stage.shards();
    let find = |id: &Value| shards.iter().find(|shard| shard["ShardId"] == *id).unwrap();
    let mut seen = 0;
    for child in shards.iter().filter(|shard| shard.get("ParentShardId").is_some()) {
        let end = ending(find(&child["ParentShardId"])).unwrap();
        let start = child["SequenceNumberRange"]["StartingSequenceNumber"].as_str().unwrap();
        assert!(below(end, start), "{end} {start}");
        seen += 1;
    }
    assert!(seen > 2);
}

#[test]
fn an_open_shard_has_no_ending_number_and_a_closed_one_has() {
    let mut stage = Stage::new(settings(1, 4 * HOUR));
    assert!(ending(&stage.shards()[0]).is_none());
    stage.write(5);
    assert!(ending(&stage.shards()[0]).is_none());
    stage.pass(6 * HOUR);
    let shards = stage.shards();
    let open = shards.iter().filter(|shard| ending(shard).is_none()).count();
    assert!(open == stage.model.open_shards() && open < shards.len());
}

/// Looks once a tenth of a second, from before the first end on, until `found`.
fn watch(seed: u64, found: impl Fn(&[Value]) -> bool) -> bool {
    let mut stage = Stage::new(Settings { seed, ..settings(4, MINUTE) });
    for _ in 0..3_000 {
        stage.pass(100);
        if found(&stage.shards()) {
            return true;
        }
    }
    false
}

#[test]
fn a_child_may_be_listed_late() {
    let orphaned = |shards: &[Value]| {
        let closed = shards.iter().filter(|shard| ending(shard).is_some());
        closed.into_iter().any(|shard| children_of(shards, &text(&shard["ShardId"])).is_empty())
    };
    assert!(watch(1, orphaned));
}

#[test]
fn a_parent_may_be_listed_as_open_beside_its_child() {
    let open_parent = |shards: &[Value]| {
        let open = shards.iter().filter(|shard| ending(shard).is_none());
        open.into_iter().any(|shard| !children_of(shards, &text(&shard["ShardId"])).is_empty())
    };
    assert!(watch(1, open_parent));
}

#[test]
fn what_is_late_is_listed_within_three_seconds() {
    let mut stage = Stage::new(settings(50, HOUR));
    stage.pass(75 * MINUTE + 4 * SECOND);
    let shards = stage.shards();
    let old = |shard: &&Value| !text(&shard["ShardId"]).contains(&format!("{BEGIN:020}"));
    for shard in shards.iter().filter(|shard| !old(shard)) {
        assert!(ending(shard).is_some());
        assert!(!children_of(&shards, &text(&shard["ShardId"])).is_empty());
    }
}

#[test]
fn a_listing_has_pages_of_a_hundred() {
    let mut stage = Stage::new(settings(250, 4 * HOUR));
    let page = stage.call("DescribeStream", json!({"StreamArn": stage.arn})).unwrap();
    let page = &page["StreamDescription"];
    assert_eq!(page["Shards"].as_array().unwrap().len(), 100);
    assert_eq!(page["LastEvaluatedShardId"], page["Shards"][99]["ShardId"]);
    let small = json!({"StreamArn": stage.arn, "Limit": 7});
    let small = stage.call("DescribeStream", small).unwrap();
    assert_eq!(small["StreamDescription"]["Shards"].as_array().unwrap().len(), 7);
}

#[test]
fn a_listing_has_no_order_that_says_anything() {
    let mut stage = Stage::new(settings(4, HOUR));
    stage.pass(8 * HOUR);
    let ids = stage.ids();
    let times: Vec<_> = ids.iter().map(|id| &id[8..28]).collect();
    assert!(!times.is_sorted() && !times.iter().rev().is_sorted());
    assert_eq!(ids, stage.ids());
}

#[test]
fn child_shards_are_the_listed_children_and_nothing_else() {
    let mut stage = Stage::new(settings(2, HOUR));
    stage.pass(3 * HOUR);
    let shards = stage.shards();
    for shard in &shards {
        let filter = json!({"Type": "CHILD_SHARDS", "ShardId": shard["ShardId"]});
        let request = json!({"StreamArn": stage.arn, "ShardFilter": filter});
        let answer = stage.call("DescribeStream", request).unwrap();
        let mut found: Vec<_> =
            answer["StreamDescription"]["Shards"].as_array().unwrap().iter().collect();
        let mut children = children_of(&shards, &text(&shard["ShardId"]));
        found.sort_by_key(|shard| text(&shard["ShardId"]));
        children.sort_by_key(|shard| text(&shard["ShardId"]));
        assert_eq!(found, children);
    }
}

#[test]
fn a_shard_may_end_without_a_record() {
    let mut stage = Stage::new(settings(1, HOUR));
    stage.pass(3 * HOUR);
    let shards = stage.shards();
    let closed = shards.iter().find(|shard| ending(shard).is_some()).unwrap();
    let id = text(&closed["ShardId"]);
    let iterator = stage.iterator(&id, "TRIM_HORIZON");
    let page = stage.page(&iterator).unwrap();
    assert_eq!(page, json!({"Records": []}));
}

#[test]
fn the_same_seed_makes_the_same_ids_splits_and_pages() {
    let play = |seed| {
        let mut stage = Stage::new(Settings { seed, ..settings(3, HOUR) });
        for n in 0..300 {
            stage.put(&format!("k{}", n % 17), n);
            stage.pass(MINUTE);
        }
        (stage.shards(), stage.read_all())
    };
    assert_eq!(play(5), play(5));
    assert_ne!(play(5).0, play(6).0);
}

#[test]
fn it_does_not_matter_when_anybody_looks() {
    let play = |look: bool| {
        let mut stage = Stage::new(settings(3, HOUR));
        for n in 0..300 {
            stage.put(&format!("k{}", n % 17), n);
            for _ in 0..4 {
                stage.pass(MINUTE);
                if look {
                    stage.shards();
                }
            }
        }
        (stage.shards(), stage.read_all())
    };
    assert_eq!(play(true), play(false));
}
