//! Every response stream that the server ends has a last message, with a token, and its status
//! after it.

use std::time::Duration;

use shardstream::pb;
use shardstream::upstream::Operation;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::sim::fake::{Answer, Fault};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Fate, Start, What, Wish};
use crate::support::client::{At, Client, after, horizon, minutes, seconds, token};
use crate::support::watcher::Watcher;

async fn ended(client: &Client, start: At, timeout: Option<Duration>) -> (Vec<u64>, String) {
    let rest = client.live_for(start, timeout).await.rest().await;
    let (reason, code) = match timeout {
        Some(_) => (pb::EndReason::Deadline, Code::DeadlineExceeded),
        None => (pb::EndReason::Refused, Code::InvalidArgument),
    };
    assert_eq!((rest.end, rest.code), (Some(reason), Some(code)));
    assert_ne!(rest.token, "");
    (rest.records, rest.token)
}

#[tokio::test(start_paused = true)]
async fn a_shards_stream_ends_before_the_clients_deadline_with_its_token() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let begun = client.fake.now();
    let (records, bookmark) = ended(&client, horizon(), Some(seconds(5))).await;
    let taken = client.fake.now() - begun;
    assert!(taken < seconds(5) && taken > seconds(4), "in time to arrive: {taken:?}");
    assert_eq!(records, [0, 1, 2]);
    client.fake.write(&client.shard, 1);
    assert_eq!(client.elsewhere().drain(token(&bookmark)).await.0, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_shards_stream_at_a_place_that_aws_refuses_ends_with_its_token() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    client.fake.script(&client.shard, Operation::GetShardIterator, [Answer::Fail(Fault::Invalid)]);
    let (records, bookmark) = ended(&client, after(client.numbers()[0]), None).await;
    assert_eq!(records, [0; 0]);
    assert_eq!(
        client.elsewhere().drain(token(&bookmark)).await.0,
        [1, 2],
        "it stands where it stood"
    );
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_before_the_clients_deadline_with_its_token() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut watcher =
        Watcher::within(&client.server, &client.fake, Start::Horizon, seconds(5)).await;
    watcher.settle(seconds(20)).await;
    assert_eq!(watcher.end(), Some(EndReason::Deadline));
    assert_eq!(watcher.fate, Some(Fate::Closed("DEADLINE_EXCEEDED".into())));
    let end = watcher.messages.last().expect("the end");
    assert!(matches!(end.what, What::End { .. }) && !end.token.is_empty());
    client.fake.write(&client.shard, 1);
    let resume = Start::Token(end.token.clone(), vec![]);
    let mut again =
        Watcher::start(&client.elsewhere().server, &client.fake, &Wish::default(), resume).await;
    assert_eq!(again.settle(seconds(20)).await.order(), [(0, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_of_a_place_that_aws_refuses_ends_with_its_token() {
    let client = Client::new();
    let other = client.fake.add_shard(&client.shard.stream, None);
    client.fake.write(&client.shard, 3);
    client.fake.script(
        &other,
        Operation::GetShardIterator,
        [Answer::Pass, Answer::Fail(Fault::Invalid)],
    );
    let mut watcher =
        Watcher::start(&client.server, &client.fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(seconds(20)).await;
    assert_eq!(watcher.order().len(), 3);
    let resume = Start::Token(watcher.token(), vec![]);
    let mut refused =
        Watcher::start(&client.elsewhere().server, &client.fake, &Wish::default(), resume).await;
    refused.settle(seconds(20)).await;
    assert_eq!(refused.end(), Some(EndReason::Refused));
    assert_eq!(refused.fate, Some(Fate::Closed("INVALID_ARGUMENT".into())));
    client.fake.write(&other, 1);
    let resume = Start::Token(refused.token(), vec![]);
    let mut again =
        Watcher::start(&client.elsewhere().server, &client.fake, &Wish::default(), resume).await;
    assert_eq!(again.settle(seconds(20)).await.order(), [(1, 0)]);
}

/// Reads until the stream is as old as one may be: when that was, its last message but for the
/// status, and that.
async fn aged(client: &Client) -> (Duration, pb::StreamRecordsResponse, tonic::Status) {
    let begun = client.fake.now();
    let mut live = client.live(horizon()).await;
    let mut last = pb::StreamRecordsResponse::default();
    loop {
        match live.next().await.expect("a status") {
            Ok(message) => last = message,
            Err(status) => return (client.fake.now() - begun, last, status),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_as_old_as_one_may_be_comes_again_at_once() {
    let client = Client::limited(|limits| limits.streams.max_age = Some(minutes(30)));
    client.fake.write(&client.shard, 3);
    let mut ages = vec![];
    for _ in 0..4 {
        let (age, last, status) = aged(&client).await;
        let Some(pb::stream_records_response::Event::End(end)) = last.event else {
            panic!("no end: {last:?}")
        };
        assert_eq!((end.reason(), end.retry_delay), (pb::EndReason::MaxAge, None));
        let again = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!((status.code(), again), (Code::Unavailable, Some(Duration::ZERO)));
        assert_eq!(status.get_error_details().error_info().expect("a reason").reason, "DRAINING");
        assert_eq!(status.message(), "the server is going away; ask again, another will answer");
        assert_eq!(
            client.drain(token(&last.token)).await.0,
            [0; 0],
            "the token covers what was sent"
        );
        assert!((minutes(27)..=minutes(33)).contains(&age), "{age:?}");
        ages.push(age);
    }
    ages.dedup();
    assert_eq!(ages.len(), 4, "each has an age of its own to reach");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_as_old_as_one_may_be_ends_with_its_token() {
    let client = Client::limited(|limits| limits.streams.max_age = Some(minutes(30)));
    client.fake.write(&client.shard, 3);
    let mut watcher =
        Watcher::start(&client.server, &client.fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(minutes(34)).await;
    assert_eq!(watcher.end(), Some(EndReason::MaxAge));
    assert_eq!(watcher.fate, Some(Fate::Closed("UNAVAILABLE".into())));
    client.fake.write(&client.shard, 1);
    let resume = Start::Token(watcher.token(), vec![]);
    let mut again =
        Watcher::start(&client.elsewhere().server, &client.fake, &Wish::default(), resume).await;
    assert_eq!(again.settle(seconds(20)).await.order(), [(0, 3)]);
}
