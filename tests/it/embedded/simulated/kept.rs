//! Data that are kept, through ends of every kind.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use shardstream::dev::SimulatedOptions;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::{Stage, fast};
use crate::embedded::dev::support::{House, clients, clients_of, make_table};
use crate::support::server::in_time;

fn kept(folder: &Path) -> SimulatedOptions {
    // Where it was not ended in order it goes on hours later, so shards must not be too short.
    let rollover = Duration::from_secs(1_000);
    SimulatedOptions { data_dir: Some(folder.to_owned()), rollover, ..fast() }
}

/// What identifies a record, whoever asks.
fn identity(record: &Record) -> (String, String) {
    let change = record.dynamodb().unwrap();
    let key = change.keys().unwrap()["pk"].as_s().unwrap().clone();
    (change.sequence_number().unwrap().to_owned(), key)
}

async fn all(stage: &Stage, arn: &str) -> BTreeSet<(String, String)> {
    stage.read_all(arn).await.iter().map(identity).collect()
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::new(kept(folder.path())).await;
    let arn = make_table(&stage.items, "kept-through-it").await;
    for n in 0..40 {
        stage.put("kept-through-it", &format!("k{n}"), n).await;
    }
    let shards = stage.at_least(&arn, 10).await;
    let records = all(&stage, &arn).await;
    assert_eq!(records.len(), 40);
    stage.house.end().await;
    drop(stage.simulated);

    let stage = Stage::new(kept(folder.path())).await;
    let again = stage.shards(&arn).await;
    assert!(shards.iter().all(|(id, parent)| again.get(id) == Some(parent)));
    assert_eq!(all(&stage, &arn).await, records);
    let newest = records.iter().map(|(number, _)| (number.len(), number.clone())).max().unwrap();
    stage.put("kept-through-it", "later", 1).await;
    let later = all(&stage, &arn).await;
    let later = later.difference(&records).next().unwrap().0.clone();
    assert!((later.len(), later) > newest);
    stage.house.end().await;
}

#[tokio::test]
async fn a_folder_without_streams_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::new();
    let embedded = house.embedded(Some(folder.path())).await;
    let (items, _) = clients(&embedded);
    make_table(&items, "made-by-dev-before").await;
    let put = items.put_item().table_name("made-by-dev-before");
    put.item("pk", AttributeValue::S("old".into())).send().await.unwrap();
    house.end().await;
    drop(embedded);

    let stage = Stage::new(kept(folder.path())).await;
    let table = stage.items.describe_table().table_name("made-by-dev-before").send().await.unwrap();
    let arn = table.table.unwrap().latest_stream_arn.unwrap();
    assert!(arn.contains(":us-east-1:"), "{arn}");
    stage.at_least(&arn, 4).await;
    stage.put("made-by-dev-before", "new", 1).await;
    let keys: Vec<_> = all(&stage, &arn).await.into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, ["new"]);
    stage.house.end().await;
}

#[tokio::test]
async fn what_cannot_be_noted_is_noted_later() {
    let folder = tempfile::tempdir().unwrap();
    let slow = SimulatedOptions { rollover: Duration::from_secs(14_400), ..kept(folder.path()) };
    let stage = Stage::new(slow.clone()).await;
    let arn = make_table(&stage.items, "noted-in-a-log").await;
    for n in 0..5 {
        stage.put("noted-in-a-log", &format!("k{n}"), n).await;
    }
    let records = all(&stage, &arn).await;
    stage.house.end().await;
    drop(stage.simulated);
    // As a full disk leaves it: half of the last line. What it said is in the database, and taken
    // again.
    let logs = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let log = logs.into_iter().find(|path| path.extension().is_some_and(|end| end == "log"));
    let (log, text) =
        log.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).unwrap();
    let cut = text.rfind(r#"{"change""#).unwrap() + 20;
    std::fs::write(log, &text[..cut]).unwrap();
    let stage = Stage::new(slow).await;
    let again = all(&stage, &arn).await;
    let keys = |records: &BTreeSet<(String, String)>| {
        records.iter().map(|(_, key)| key.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!((again.len(), keys(&again)), (5, keys(&records)));
    stage.house.end().await;
}

fn simulate(mut command: Command, folder: &Path) -> Command {
    command.args(["simulate", "--dynamodb-port", "0", "--time-scale", "500", "--rollover", "1h"]);
    command.args(["--no-stream-limits", "--data-dir"]).arg(folder).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// `simulate` as a process.
async fn process(folder: &Path) -> (Child, String) {
    let command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    let command = simulate(command, folder);
    let (child, endpoint, mut said) = begun(command).await;
    // What it says later is nobody's concern, but it must be able to.
    tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    (child, endpoint)
}

/// The process, where it is, and what it says from there on.
async fn begun(mut command: Command) -> (Child, String, Lines<BufReader<ChildStderr>>) {
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let endpoint = async {
        loop {
            let line = said.next_line().await.unwrap().expect("it says where it is");
            if let Some((_, rest)) = line.split_once(" on http://") {
                let address = rest.split(',').next().unwrap();
                return format!("http://{address}");
            }
        }
    };
    let endpoint = in_time("the endpoint", endpoint).await;
    (child, endpoint, said)
}

/// Everything in a stream, by an SDK alone.
async fn read(streams: &aws_sdk_dynamodbstreams::Client, arn: &str) -> Vec<Record> {
    let stream = streams.describe_stream().stream_arn(arn).send().await.unwrap();
    let mut records = Vec::new();
    for shard in stream.stream_description.unwrap().shards.unwrap_or_default() {
        let iterator = streams.get_shard_iterator().stream_arn(arn);
        let iterator = iterator.shard_id(shard.shard_id.unwrap());
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut next = iterator.send().await.unwrap().shard_iterator;
        let mut empty = 0;
        while let Some(iterator) = next.filter(|_| empty < 5) {
            let page = streams.get_records().shard_iterator(iterator).send().await.unwrap();
            empty = if page.records().is_empty() { empty + 1 } else { 0 };
            records.extend(page.records.unwrap_or_default());
            next = page.next_shard_iterator;
        }
    }
    records
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_was_answered_is_there() {
    let folder = tempfile::tempdir().unwrap();
    // No file of it may grow beyond some hundred kilobytes: that is what a full disk is to it.
    let mut command = Command::new("/bin/sh");
    let limited = r#"trap '' XFSZ; ulimit -S -f 1600; exec "$0" "$@""#;
    command.arg("-c").arg(limited).arg(env!("CARGO_BIN_EXE_shardstream"));
    let (mut child, endpoint, mut said) = begun(simulate(command, folder.path())).await;
    let told = tokio::spawn(async move {
        let mut all = String::new();
        while let Ok(Some(line)) = said.next_line().await {
            all += &line;
        }
        all
    });
    let (items, _) = clients_of(&endpoint);
    let arn = make_table(&items, "written-on-a-full-disk").await;
    let (mut answered, mut refused) = (BTreeSet::new(), Vec::new());
    for n in 0..200 {
        let key = format!("k{n}");
        let put = items.put_item().table_name("written-on-a-full-disk");
        let put = put.item("pk", AttributeValue::S(key.clone()));
        let put = put.item("much", AttributeValue::S("x".repeat(20_000)));
        let once = Builder::new().retry_config(RetryConfig::disabled());
        match put.customize().config_override(once).send().await {
            Ok(_) => drop(answered.insert(key)),
            Err(error) => refused.push(error),
        }
        if refused.len() > 5 {
            break;
        }
    }
    child.kill().await.unwrap();
    let told = in_time("all it says", told).await.unwrap();
    // By the database, or by the log of what the streams are.
    let full = ["disk is full", "disk I/O error", "File too large"];
    assert!(full.iter().any(|words| told.contains(words)), "{told}");
    assert!(answered.len() > 5, "{refused:?}");
    let (_child, endpoint) = process(folder.path()).await;
    let (_, streams) = clients_of(&endpoint);
    let keys: BTreeSet<_> = read(&streams, &arn).await.iter().map(|r| identity(r).1).collect();
    assert!(answered.is_subset(&keys), "{:?}", answered.difference(&keys).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, endpoint) = process(folder.path()).await;
    let (items, streams) = clients_of(&endpoint);
    let arn = make_table(&items, "killed-while-written").await;
    let mut answered = BTreeSet::new();
    let mut told = BTreeSet::new();
    let mut endpoint = endpoint;
    for round in 0..3 {
        let (items, streams) = clients_of(&endpoint);
        for n in 0..25 {
            let key = format!("{round}-{n}");
            let put = items.put_item().table_name("killed-while-written");
            put.item("pk", AttributeValue::S(key.clone())).send().await.unwrap();
            answered.insert(key);
        }
        told.extend(read(&streams, &arn).await.iter().map(identity));
        // SIGKILL, amid a write that nobody waits for.
        let late = items.put_item().table_name("killed-while-written");
        let late = late.item("pk", AttributeValue::S(format!("{round}-late"))).send();
        tokio::select! {
            biased;
            _ = late => {}
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
        child.kill().await.unwrap();
        (child, endpoint) = process(folder.path()).await;
    }
    let (_, streams_now) = clients_of(&endpoint);
    drop(streams);
    let now: Vec<_> = read(&streams_now, &arn).await.iter().map(identity).collect();
    let once: BTreeSet<_> = now.iter().cloned().collect();
    assert_eq!(once.len(), now.len(), "a record came twice");
    assert!(told.is_subset(&once), "{:?}", told.difference(&once).collect::<Vec<_>>());
    let keys: BTreeSet<_> = once.into_iter().map(|(_, key)| key).collect();
    assert!(answered.is_subset(&keys), "{:?}", answered.difference(&keys).collect::<Vec<_>>());
}
