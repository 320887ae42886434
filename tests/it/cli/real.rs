//! The commands against the real server over the embedded DynamoDB.

use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};

use super::*;
use crate::embedded::dev::support::{House, clients, make_table};
use crate::support::server::Server;

const TABLE: &str = "orders-of-the-cli";

async fn ran(url: &str, args: &[&str]) -> Ran {
    let (data, talk) = (Shared::default(), Shared::default());
    let format = if args.contains(&"json") { Format::Json } else { Format::Table };
    let mut out = Output::to(data.clone(), talk.clone(), format, Some(80));
    let exit = cli::run_on(&command(args, url), &mut out, &CancellationToken::new()).await;
    Ran { exit, data: data.text(), talk: talk.text() }
}

/// The keys of records; other lines are events.
fn keys(data: &str) -> Vec<String> {
    let objects =
        data.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let records = objects.filter(|object| object.get("meta").is_some());
    records.map(|object| object["key"]["pk"]["S"].as_str().expect("a key").to_owned()).collect()
}

fn token_of(talk: &str) -> &str {
    talk.split("--from ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a token")
}

#[tokio::test]
async fn every_command_tells_the_same_of_a_real_stream() {
    let house = House::new();
    let embedded = house.embedded(None).await;
    let (items, _) = clients(&embedded);
    make_table(&items, TABLE).await;
    for n in 0..25 {
        let key = aws_sdk_dynamodb::types::AttributeValue::S(format!("k{n}"));
        items.put_item().table_name(TABLE).item("pk", key).send().await.expect("written");
    }
    let options = AwsOptions {
        endpoint_url: Some(embedded.endpoint()),
        static_credentials: true,
        ..AwsOptions::default()
    };
    let upstream = AwsUpstream::connect(options).await.expect("an endpoint");
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 200.0;
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    let server = Server::start(Arc::new(upstream), limits).await;
    let url = &format!("http://{}", server.address);

    let streams = ran(url, &["streams", TABLE]).await;
    assert_eq!(streams.exit, Exit::Ok, "{}", streams.talk);
    assert!(streams.data.contains(TABLE) && streams.data.contains("ENABLED"), "{}", streams.data);

    let tree = ran(url, &["tree", TABLE, "--output", "json"]).await;
    let tree: serde_json::Value = serde_json::from_str(&tree.data).expect("one shard");
    let shard = tree["shard_id"].as_str().expect("an id");
    assert_eq!(tree["state"], "OPEN");

    let all: Vec<String> = (0..25).map(|n| format!("k{n}")).collect();
    let got = ran(url, &["get", TABLE, shard, "--output", "json"]).await;
    assert_eq!((got.exit, keys(&got.data)), (Exit::Ok, all.clone()), "{}", got.talk);

    let from = ["--from", "trim-horizon", "--output", "json"];
    let first = ran(url, &[&["tail", TABLE, shard, "-n", "10"], from.as_slice()].concat()).await;
    assert_eq!((first.exit, keys(&first.data)), (Exit::Ok, all[..10].to_vec()), "{}", first.talk);
    let token = token_of(&first.talk);
    let rest =
        ran(url, &["tail", TABLE, "--from", token, "--exit-at-tip", "--output", "json"]).await;
    assert_eq!((rest.exit, keys(&rest.data)), (Exit::Ok, all[10..].to_vec()), "{}", rest.talk);

    let first = ran(url, &[&["tail", TABLE, "-n", "10"], from.as_slice()].concat()).await;
    assert_eq!((first.exit, keys(&first.data)), (Exit::Ok, all[..10].to_vec()), "{}", first.talk);
    let rest =
        ["tail", TABLE, "--from", token_of(&first.talk), "--exit-at-tip", "--output", "json"];
    let rest = ran(url, &rest).await;
    assert_eq!((rest.exit, keys(&rest.data)), (Exit::Ok, all[10..].to_vec()), "{}", rest.talk);

    let children = ran(url, &["children", TABLE, shard]).await;
    assert_eq!((children.exit, children.data.as_str()), (Exit::Ok, ""), "{}", children.talk);

    let unknown = ran(url, &["tail", "no-such-table", shard]).await;
    assert_eq!(unknown.exit, Exit::NotFound, "{}", unknown.talk);
    let unknown = ran(url, &["get", TABLE, "shardId-00000001795428000000-no"]).await;
    assert_eq!(unknown.exit, Exit::NotFound, "{}", unknown.talk);
    assert!(unknown.talk.contains("SHARD_NOT_FOUND"), "{}", unknown.talk);

    server.end().await;
    house.end().await;
}
