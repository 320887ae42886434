//! The Rust example, on the embedded DynamoDB. Those in other languages are run by the foreign
//! suite.

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use parking_lot::Mutex;
use shardstream::limits::Limits;
use shardstream::pb::subscribe_request::Start;
use shardstream::pb::subscribe_response::Event;
use shardstream::pb::{ChangeRecord, End, EndReason, Gap, Meta, SubscribeResponse};
use shardstream::upstream::aws::{AwsOptions, AwsUpstream};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::embedded::dev::support::{House, clients, make_table};
use crate::support::scripted_server::{Push, Script, ScriptedServer};
use crate::support::server::{Server, in_time};

#[path = "../../../examples/rust/follow.rs"]
mod follow;

const TABLE: &str = "followed-by-the-example";

/// The keys that the example prints until `last` has come and it has kept a token; then it is
/// killed.
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
    let options = AwsOptions {
        endpoint_url: Some(embedded.endpoint()),
        static_credentials: true,
        ..AwsOptions::default()
    };
    let mut limits = Limits::default();
    limits.reading.shard_calls_per_second = 200.0;
    limits.reading.idle_poll_interval = Duration::from_millis(20);
    let server = Server::start(
        std::sync::Arc::new(AwsUpstream::connect(options).await.expect("an endpoint")),
        limits,
    )
    .await;
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

fn records(number: &str, token: &str) -> Push<SubscribeResponse> {
    let meta = Meta { sequence_number: number.into(), ..Meta::default() };
    let records = vec![ChangeRecord { meta: Some(meta), ..ChangeRecord::default() }];
    Push::Message(Box::new(SubscribeResponse {
        records,
        token: token.into(),
        ..SubscribeResponse::default()
    }))
}

fn told(event: Event, token: &str) -> Push<SubscribeResponse> {
    let token = token.into();
    Push::Message(Box::new(SubscribeResponse {
        event: Some(event),
        token,
        ..SubscribeResponse::default()
    }))
}

fn end(reason: EndReason, delay: Option<Duration>) -> Event {
    let retry_delay = delay.map(|delay| delay.try_into().expect("short"));
    Event::End(End { reason: reason.into(), retry_delay, ..End::default() })
}

fn fails(code: Code) -> Push<SubscribeResponse> {
    Push::Fail(Status::new(code, "as the script says"))
}

/// What the example printed of the script, what became of it, and the tokens that it asked with.
async fn scripted(
    calls: Vec<Vec<Push<SubscribeResponse>>>,
) -> (Vec<String>, Result<(), String>, Vec<String>) {
    let subscriptions = Mutex::new(calls.into_iter().map(Ok).collect());
    let server = ScriptedServer::start(Script { subscriptions, ..Script::default() });
    let folder = tempfile::tempdir().expect("a folder");
    let (mut lines, file) = (vec![], folder.path().join("token"));
    let url = server.url();
    let mut print = |line| lines.push(line);
    let done = in_time("its end", follow::follow(TABLE, &file, &url, &mut print)).await;
    let done = done.map_err(|error| error.to_string());
    let asked = server.script.asked_subscriptions.lock();
    let token = |start: Option<Start>| match start {
        Some(Start::Token(token)) => token,
        other => format!("{other:?}"),
    };
    let tokens = asked.iter().skip(1).map(|request| token(request.start.clone()));
    let kept = std::fs::read_to_string(&file).expect("a token");
    let tokens = tokens.chain([kept]).collect();
    let number = |line: &String| line.split_whitespace().next().unwrap_or_default().to_owned();
    (lines.iter().map(number).collect(), done, tokens)
}

#[tokio::test]
async fn it_comes_again_when_the_server_ends_the_stream() {
    let soon = Some(Duration::from_millis(20));
    let gap = |certain| Event::Gap(Gap { certain, ..Gap::default() });
    let (printed, done, tokens) = scripted(vec![
        vec![
            records("1", "one"),
            told(gap(true), "two"),
            told(end(EndReason::Gap, None), "two"),
            fails(Code::OutOfRange),
        ],
        vec![told(end(EndReason::Draining, soon), "three"), fails(Code::Unavailable)],
        vec![
            records("2", "four"),
            told(end(EndReason::ShardLimit, soon), "five"),
            fails(Code::ResourceExhausted),
        ],
        vec![records("3", "six"), fails(Code::Unavailable)],
        vec![records("4", "seven")],
    ])
    .await;
    assert_eq!((printed.join(" ").as_str(), done), ("1 2 3 4", Ok(())));
    assert_eq!(tokens, ["two", "three", "five", "six", "seven"]);
}

#[tokio::test]
async fn it_does_not_come_again_for_what_stays_as_it_is() {
    let unreadable = told(end(EndReason::Unreadable, None), "two");
    let (printed, done, tokens) =
        scripted(vec![vec![records("1", "one"), unreadable, fails(Code::DataLoss)]]).await;
    assert!(done.is_err(), "{done:?}");
    assert_eq!((printed, tokens), (vec!["1".to_owned()], vec!["two".to_owned()]));
}
