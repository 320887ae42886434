//! Other rules of bloop's `Shard` that hold here too.

use shardstream::pb;

use crate::sim::fake::Split;
use crate::support::client::{Client, horizon, indexes, latest, numbers};

#[tokio::test(start_paused = true)]
async fn exhausted_comes_after_the_last_record_and_apart_from_it() {
    let client = Client::new();
    client.fake.behave(&client.shard, |shard| shard.page_records = 2);
    client.fake.write(&client.shard, 5);
    client.fake.close(&client.shard);
    let lease = client.lease(horizon()).await;
    let mut seen = vec![];
    loop {
        let answer = client.get(&lease).await.expect("read");
        assert_ne!(answer.exhausted, !answer.records.is_empty(), "one or the other");
        if answer.exhausted {
            break;
        }
        assert!(!answer.session.expect("the session").exhausted);
        seen.extend(indexes(&answer.records));
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_session_knows_its_stream_its_shard_and_its_parent() {
    let client = Client::new();
    let children = client.fake.split(&client.shard, Split::default());
    let session = client.on(&children[0]).open(Some(horizon())).await.expect("opened");
    assert_eq!(session.stream_arn, client.shard.stream.to_string());
    assert_eq!(session.shard_id, children[0].shard.to_string());
    assert_eq!(session.parent_shard_id, client.shard.shard.to_string());
    assert_eq!(client.open(None).await.expect("opened").parent_shard_id, "");
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_session_keeps_its_place() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    client.fake.close(&client.shard);
    let lease = client.lease(horizon()).await;
    let last = client.get(&lease).await.expect("read");
    client.get(&lease).await.expect("read");
    let session = client.session(&lease).await;
    assert!(session.exhausted);
    assert_eq!(session.position.expect("a place").sequence_number, numbers(&last.records)[1]);
}

#[tokio::test(start_paused = true)]
async fn latest_of_a_closed_shard_is_its_end() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    client.fake.close(&client.shard);
    let lease = client.lease(latest()).await;
    let answer = client.get(&lease).await.expect("read");
    assert_eq!((answer.records.len(), answer.exhausted), (0, true));
    let rest = client.live(latest()).await.rest().await;
    assert_eq!((rest.records, rest.end), (vec![], Some(pb::EndReason::ShardEnd)));
}
