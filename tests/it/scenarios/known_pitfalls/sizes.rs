//! Buffers and messages.

use shardstream::pb;
use tonic::Code;

use crate::sim::fake::Writing;
use crate::support::client::{Client, horizon, indexes, refused};

/// The most that clients in other languages take in one message.
const MESSAGE: usize = 4 << 20;

fn with_records(count: usize, padding: usize) -> Client {
    let client = Client::new();
    client.fake.write_with(&client.shard, Writing { count, padding, ..Writing::default() });
    client
}

async fn sizes(client: &Client, count: usize, bytes: i32) -> Vec<(usize, usize)> {
    let mut live = client.live_with(horizon(), |request| request.max_batch_bytes = bytes).await;
    let (mut sizes, mut seen) = (vec![], 0);
    while seen < count {
        let message = live.news().await;
        seen += message.records.len();
        sizes.push((message.records.len(), prost::Message::encoded_len(&message)));
    }
    sizes
}

#[tokio::test(start_paused = true)]
async fn batches_stay_near_256_kib() {
    let client = with_records(400, 10_000);
    let sizes = sizes(&client, 400, 0).await;
    assert!(sizes.iter().all(|(_, bytes)| *bytes <= (256 << 10) + 1_024), "{sizes:?}");
    assert!(sizes.len() < 40, "and are not cut smaller than that: {sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_larger_record_travels_alone() {
    let client = with_records(5, 400 << 10);
    let sizes = sizes(&client, 5, 0).await;
    assert!(sizes.iter().all(|(records, bytes)| *records == 1 && *bytes < 450 << 10), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn no_message_is_larger_than_clients_take() {
    let client = with_records(40, 380_000);
    let sizes = sizes(&client, 40, i32::MAX).await;
    assert!(sizes.iter().all(|(_, bytes)| *bytes <= (3 << 20) + 1_024), "{sizes:?}");

    let lease = client.lease(horizon()).await;
    let mut seen = vec![];
    while seen.len() < 40 {
        let answer =
            client.get_with(&lease, |request| request.max_bytes = i32::MAX).await.expect("read");
        assert!(prost::Message::encoded_len(&answer) < MESSAGE);
        seen.extend(indexes(&answer.records));
    }
    assert_eq!(seen, (0..40).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn an_answer_stays_near_a_mebibyte_and_one_record_always_fits() {
    let client = with_records(40, 100_000);
    let lease = client.lease(horizon()).await;
    let answer = client.get(&lease).await.expect("read");
    assert!((1..=10).contains(&answer.records.len()), "{}", answer.records.len());
    let answer = client.get_with(&lease, |request| request.max_bytes = 1).await.expect("read");
    assert_eq!(answer.records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_any_message_is_unreadable_in_its_place() {
    let client = with_records(2, 10);
    client.fake.write_with(&client.shard, Writing { padding: 5 << 20, ..Writing::default() });
    client.fake.write(&client.shard, 2);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [0, 1]);
    refused(client.get(&lease).await, Code::DataLoss, "RECORD_UNREADABLE");
    let skipped = client
        .get_with(&lease, |request| request.set_unreadable_policy(pb::UnreadablePolicy::Skip))
        .await;
    let skipped = skipped.expect("read");
    assert_eq!((indexes(&skipped.records), skipped.unreadable.len()), (vec![3, 4], 1));
    assert_eq!(skipped.unreadable[0].sequence_number, client.numbers()[2].to_string());
}

#[tokio::test(start_paused = true)]
async fn windows_are_bounded_in_all() {
    let client = Client::limited(|limits| {
        limits.reading.window_bytes = 3 << 20;
        limits.reading.page_bytes = 1 << 20;
    });
    for _ in 0..8 {
        let shard = client.fake.add_shard(&client.shard.stream, None);
        client
            .fake
            .write_with(&shard, Writing { count: 60, padding: 50_000, ..Writing::default() });
        let one = client.on(&shard);
        let mut live = one.live(horizon()).await;
        assert_eq!(live.records(60).await.0, (0..60).collect::<Vec<u64>>());
        assert!(client.server.context.hub.window_bytes() <= 3 << 20);
    }
}
