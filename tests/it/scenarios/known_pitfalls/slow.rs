//! One slow subscriber.

use crate::sim::fake::Writing;
use crate::support::client::{Client, horizon, latest, minutes, pass, seconds, span};

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_read_changes_nothing_for_others() {
    let quick = |slow: bool| async move {
        let client = Client::new();
        let mut live = client.live(latest()).await;
        let _stalled = if slow { Some(client.live(latest()).await) } else { None };
        live.heartbeat().await;
        let mut arrivals = vec![];
        for _ in 0..20 {
            client.fake.write(&client.shard, 50);
            let (records, _) = live.records(50).await;
            arrivals.push((records, client.fake.now()));
        }
        let waited = arrivals.windows(2).map(|pair| pair[1].1 - pair[0].1).max();
        assert!(waited < Some(seconds(3)), "{waited:?}");
        arrivals.into_iter().flat_map(|(records, _)| records).collect::<Vec<_>>()
    };
    let alone = quick(false).await;
    assert_eq!(alone, (0..1_000).collect::<Vec<u64>>());
    assert_eq!(quick(true).await, alone);
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_loses_nothing_when_the_window_moves_on() {
    let client = Client::limited(|limits| {
        limits.reading.window_bytes_per_shard = 64 << 10;
        limits.reading.page_bytes = 16 << 10;
    });
    let mut quick = client.live(horizon()).await;
    let mut slow = client.live(horizon()).await;
    for round in 0..20_u64 {
        client
            .fake
            .write_with(&client.shard, Writing { count: 40, padding: 1_000, ..Writing::default() });
        let (seen, _) = quick.records(40).await;
        assert_eq!(seen, (40 * round..40 * round + 40).collect::<Vec<u64>>());
        pass(seconds(1)).await;
        assert!(
            client.server.context.hub.window_bytes() <= 96 << 10,
            "{}",
            client.server.context.hub.window_bytes()
        );
    }
    assert_eq!(slow.records(800).await.0, (0..800).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_read_asks_for_nothing() {
    let client = Client::new();
    client.fake.write(&client.shard, 10);
    let mut stalled = client.live_with(horizon(), |request| request.max_batch_records = 1).await;
    stalled.records(1).await;
    pass(seconds(5)).await;
    client.forget_calls();
    pass(minutes(10)).await;
    assert_eq!(client.calls(), []);
    assert_eq!(stalled.records(9).await.0, (1..10).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_is_never_ended_for_it() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut slow = client
        .live_with(horizon(), |request| request.heartbeat_interval = Some(span(seconds(1))))
        .await;
    pass(minutes(59)).await;
    let (records, _) = slow.records(3).await;
    assert_eq!(records, [0, 1, 2]);
}
