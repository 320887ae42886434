//! The Rust example, on the embedded DynamoDB. Those in other languages are run by the foreign suite.

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use shardstream::limits::Limits;
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};
use tokio::sync::mpsc;

use crate::dev::support::{House, clients, make_table};
use crate::support::server::{Server, in_time};

#[path = "../../examples/rust/follow.rs"]
mod follow;

const TABLE: &str = "followed-by-the-example";

/// The keys that the example prints until `last` has come and it has kept a token; then it is killed.
async fn life(server: &str, file: &Path, last: &str) -> Vec<String> {
    let (told, mut lines) = mpsc::channel(1_000);
    let (server, file) = (server.to_owned(), file.to_owned());
    let kept = file.clone();
    let running = tokio::spawn(async move {
        let print = &mut |line: String| drop(told.try_send(line));
        follow::follow(TABLE, &file, &server, print).await.map_err(|error| error.to_string())
    });
    let mut keys = vec![];
    while keys.last().is_none_or(|key| key != last) {
        let line = in_time("the next record", lines.recv()).await.expect("it follows");
        keys.push(line.rsplit_once("pk=").expect("a key").1.to_owned());
    }
    in_time("a token", async {
        while !kept.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    running.abort();
    let _ = running.await;
    keys
}

#[tokio::test]
async fn it_prints_every_record_and_goes_on_after_it_was_killed() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, _) = clients(&embedded);
    make_table(&items, TABLE).await;
    let options =
        AwsOptions { endpoint_url: Some(embedded.endpoint()), static_credentials: true, ..AwsOptions::default() };
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 200.0;
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    let server =
        Server::start(std::sync::Arc::new(AwsUpstream::connect(options).await.expect("an endpoint")), limits).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, url) = (folder.path().join("token"), format!("http://{}", server.address));

    let (mut printed, mut written) = (vec![], vec![]);
    for number in 0..3 {
        for item in 0..5 {
            let key = format!("life-{number}-{item}");
            let put = items.put_item().table_name(TABLE).item("pk", AttributeValue::S(key.clone()));
            put.send().await.expect("written");
            written.push(key);
        }
        printed.extend(life(&url, &file, written.last().expect("written")).await);
    }
    let mut once = printed.clone();
    once.dedup();
    let mut seen = std::collections::BTreeSet::new();
    once.retain(|key| seen.insert(key.clone()));
    assert_eq!(once, written);
    assert!(printed.len() < 3 * written.len(), "the token is used: {printed:?}");
    server.end().await;
    house.end().await;
}
