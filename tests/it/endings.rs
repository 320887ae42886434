//! Every response stream that the server ends has a last message, with a token, and its status after it.

use std::time::Duration;

use shardstream::pb;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::support::client::{At, Client, after, horizon, seconds, token};
use crate::support::fake::{Answer, Fault};
use crate::support::history::EndReason;
use crate::support::whole::history::{Fate, Start, What, Wish};
use crate::support::whole::watcher::Watcher;

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
    assert_eq!(client.elsewhere().drain(token(&bookmark)).await.0, [1, 2], "it stands where it stood");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_before_the_clients_deadline_with_its_token() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut watcher = Watcher::within(&client.server, &client.fake, Start::Horizon, seconds(5)).await;
    watcher.settle(seconds(20)).await;
    assert_eq!(watcher.end(), Some(EndReason::Deadline));
    assert_eq!(watcher.fate, Some(Fate::Closed("DEADLINE_EXCEEDED".into())));
    let end = watcher.messages.last().expect("the end");
    assert!(matches!(end.what, What::End { .. }) && !end.token.is_empty());
    client.fake.write(&client.shard, 1);
    let resume = Start::Token(end.token.clone(), vec![]);
    let mut again = Watcher::start(&client.elsewhere().server, &client.fake, &Wish::default(), resume).await;
    assert_eq!(again.settle(seconds(20)).await.order(), [(0, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_of_a_place_that_aws_refuses_ends_with_its_token() {
    let client = Client::new();
    let other = client.fake.add_shard(&client.shard.stream, None);
    client.fake.write(&client.shard, 3);
    client.fake.script(&other, Operation::GetShardIterator, [Answer::Pass, Answer::Fail(Fault::Invalid)]);
    let mut watcher = Watcher::start(&client.server, &client.fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(seconds(20)).await;
    assert_eq!(watcher.order().len(), 3);
    let resume = Start::Token(watcher.token(), vec![]);
    let mut refused = Watcher::start(&client.elsewhere().server, &client.fake, &Wish::default(), resume).await;
    refused.settle(seconds(20)).await;
    assert_eq!(refused.end(), Some(EndReason::Refused));
    assert_eq!(refused.fate, Some(Fate::Closed("INVALID_ARGUMENT".into())));
    client.fake.write(&other, 1);
    let resume = Start::Token(refused.token(), vec![]);
    let mut again = Watcher::start(&client.elsewhere().server, &client.fake, &Wish::default(), resume).await;
    assert_eq!(again.settle(seconds(20)).await.order(), [(1, 0)]);
}
