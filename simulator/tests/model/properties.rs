//! Random histories, judged by what was written and by nothing that the model says of itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use serde_json::Value;
use shardstream_simulator::{Model, Settings, ViewType};

use crate::stage::{BEGIN, HOUR, MINUTE, Stage, below, key, number, pk, settings, text};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// So many changes of keys from here on.
    Write { first: u64, count: u64 },
    /// So many minutes.
    Pass(u64),
    /// Look at everything.
    Read,
    /// The process ends and begins anew.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..60u64, 1..40u64).prop_map(|(first, count)| Step::Write { first, count }),
        3 => (1..180u64).prop_map(Step::Pass),
        1 => Just(Step::Read),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// A change as the oracle keeps it: key, count, when, and its number.
type Written = (String, u64, u64, String);

struct Oracle {
    written: Vec<Written>,
    /// Parents by child, as listings showed them.
    parents: HashMap<String, Option<String>>,
}

impl Oracle {
    fn judge(&mut self, stage: &mut Stage) {
        let shards = stage.shards();
        for shard in &shards {
            let (id, parent) = (text(&shard["ShardId"]), shard.get("ParentShardId").map(text));
            let known = self.parents.entry(id).or_insert(parent.clone());
            assert_eq!(*known, parent, "a parent never changes");
        }
        let read = stage.read_all();
        let mut home = HashMap::new();
        for (shard, records) in &read {
            let numbers: Vec<_> = records.iter().map(number).collect();
            assert!(numbers.windows(2).all(|pair| below(&pair[0], &pair[1])), "order in a shard");
            for record in records {
                let twice = home.insert(number(record), (shard.clone(), record.clone()));
                assert!(twice.is_none(), "a record in two shards");
            }
        }
        self.judge_loss(stage, &home);
        self.judge_keys(&home);
    }

    /// What is not trimmed can be read, what is trimmed cannot, and nothing else is there.
    fn judge_loss(&self, stage: &Stage, home: &HashMap<String, (String, Value)>) {
        // A child that is not listed yet hides what is in it.
        let listed_late = stage.now - 3_001;
        let mut expected = 0;
        for (key, n, at, number) in &self.written {
            let kept = at + 24 * HOUR >= stage.now;
            match home.get(number) {
                Some((_, record)) => {
                    expected += 1;
                    assert!(kept, "{number} should be trimmed");
                    assert_eq!((pk(record), n), (key.clone(), &count(record)));
                }
                None => assert!(!kept || *at > listed_late, "{number} is lost"),
            }
        }
        assert_eq!(home.len(), expected, "records that nobody wrote");
    }

    /// The records of a key, in the order of their writing, lie in one line of descent.
    fn judge_keys(&self, home: &HashMap<String, (String, Value)>) {
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        for (key, _, _, number) in &self.written {
            let Some((shard, _)) = home.get(number) else { continue };
            if let Some(before) = last.insert(key, shard) {
                assert!(self.descends(shard, before), "{key}: {before} then {shard}");
            }
        }
    }

    fn descends(&self, shard: &str, from: &str) -> bool {
        let mut at = Some(shard.to_owned());
        let mut seen = HashSet::new();
        while let Some(shard) = at {
            assert!(seen.insert(shard.clone()), "a circle");
            if shard == from {
                return true;
            }
            at = self.parents.get(&shard).cloned().flatten();
        }
        false
    }
}

fn count(record: &Value) -> u64 {
    text(&record["dynamodb"]["NewImage"]["n"]["N"]).parse().expect("a number")
}

fn play(settings: Settings, steps: Vec<Step>) {
    let mut stage = Stage::new(settings);
    let mut oracle = Oracle { written: Vec::new(), parents: HashMap::new() };
    let mut n = 0;
    for step in steps.into_iter().chain([Step::Pass(1), Step::Read]) {
        match step {
            Step::Write { first, count } => {
                for at in first..first + count {
                    let key = format!("k{}", at % 60);
                    stage.pass(at % 700);
                    let number = stage.put(&key, n);
                    oracle.written.push((key, n, stage.now, number));
                    n += 1;
                }
            }
            Step::Pass(minutes) => {
                // Shards come and go between two looks: the oracle sees each that held a record.
                for _ in 0..minutes.div_ceil(20) {
                    stage.pass(minutes.min(20) * MINUTE);
                    oracle.judge(&mut stage);
                }
            }
            Step::Read => oracle.judge(&mut stage),
            Step::Restart => {
                let kept = serde_json::to_string(&stage.model).expect("it can be kept");
                stage.model = serde_json::from_str(&kept).expect("it can be read");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_is_in_one_shard_in_order_until_it_is_trimmed(
        steps in steps(), seed: u64, shards in 1..6u32, rollover in 30..300u64, split_rate in 1..4u32,
    ) {
        let settings = settings(shards, rollover * MINUTE);
        play(Settings { seed, split_rate, ..settings }, steps);
    }

    #[test]
    fn no_request_makes_it_panic(operation in 0..5usize, body in ".{0,80}", now in BEGIN..BEGIN + 100 * HOUR) {
        let mut model = Model::new(Settings::default());
        model.enable("t", ViewType::KeysOnly, key(), BEGIN);
        let operations = ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords", "x"];
        let target = format!("DynamoDBStreams_20120810.{}", operations[operation]);
        model.answer(&target, body.as_bytes(), now);
        let request = serde_json::json!({"ShardIterator": body, "StreamArn": body, "ShardId": body, "TableName": body});
        model.answer(&target, request.to_string().as_bytes(), now);
    }
}
