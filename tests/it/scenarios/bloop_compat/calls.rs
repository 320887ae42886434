//! What AWS sees.

use shardstream::pb;
use tonic::Code;

use crate::support::client::{Client, detail, horizon, hours, refused, seconds, span};

#[tokio::test(start_paused = true)]
async fn many_sessions_on_a_shard_are_one_reader() {
    let client = Client::new();
    client.fake.write(&client.shard, 10);
    let mut leases = vec![];
    for _ in 0..50 {
        leases.push(client.lease(horizon()).await);
    }
    let reads = leases.iter().map(|lease| client.given(lease));
    for seen in futures::future::join_all(reads).await {
        assert_eq!(seen, (0..10).collect::<Vec<u64>>());
    }
    assert!(client.calls().len() <= 3, "{:?}", client.calls());

    let begun = client.fake.now();
    let wait = |request: &mut pb::GetRecordsRequest| request.wait = Some(span(seconds(30)));
    let waits = leases.iter().map(|lease| client.get_with(lease, wait));
    futures::future::join_all(waits).await;
    let most = 5.0 * (client.fake.now() - begun).as_secs_f64() + 5.0;
    assert!((client.calls().len() as f64) <= most, "{} calls", client.calls().len());
    assert!(client.calls().iter().all(|call| call.in_flight <= 2));
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_no_burst() {
    let client = Client::new();
    let lease = client.lease(horizon()).await;
    for _ in 0..20 {
        client.get(&lease).await.expect("read");
    }
    let per_second = client.calls().len() as f64 / client.fake.now().as_secs_f64();
    assert!(per_second <= 7.0, "{per_second} calls a second");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_stream_and_an_unknown_shard_are_told_apart() {
    let client = Client::new();
    let other = client.elsewhere().fake.add_stream("Customers");
    let shard =
        crate::sim::fake::ShardRef { stream: other.clone(), shard: client.shard.shard.clone() };
    let unknown =
        refused(client.on(&shard).open(Some(horizon())).await, Code::NotFound, "SHARD_NOT_FOUND");
    assert_eq!(detail(&unknown, "shard_id"), client.shard.shard.to_string());
    client.fake.delete_stream(&other);
    // What is known of the stream is a minute old at most.
    crate::support::client::pass(seconds(61)).await;
    refused(client.on(&shard).open(Some(horizon())).await, Code::NotFound, "STREAM_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn a_listed_shard_that_is_gone_is_a_gap_and_then_an_end() {
    let client = Client::old(hours(25));
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    client.fake.set_gone(&client.shard, true);
    // One answer is no proof.
    refused(client.open(Some(horizon())).await, Code::Unavailable, "UPSTREAM_UNAVAILABLE");

    let pass_gaps: fn(&mut pb::StreamRecordsRequest) =
        |request| request.set_gap_policy(pb::GapPolicy::Continue);
    let rest = client.live_with(horizon(), pass_gaps).await.rest().await;
    assert_eq!(
        (rest.gap().0, rest.end),
        (pb::GapCause::ShardExpired, Some(pb::EndReason::ShardEnd))
    );
    assert_eq!(rest.code, Some(Code::Ok));
    let rest = client.live(horizon()).await.rest().await;
    assert_eq!((rest.gap().0, rest.end), (pb::GapCause::ShardExpired, Some(pb::EndReason::Gap)));
    let status = refused(client.open(Some(horizon())).await, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(detail(&status, "cause"), "SHARD_EXPIRED");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_goes_while_it_is_read_is_a_gap_and_then_an_end() {
    for expired in [true, false] {
        let client = Client::new();
        client.fake.write(&client.shard, 3);
        let pass_gaps: fn(&mut pb::StreamRecordsRequest) =
            |request| request.set_gap_policy(pb::GapPolicy::Continue);
        let mut live = client.live_with(horizon(), pass_gaps).await;
        live.records(3).await;
        if expired {
            client.fake.expire_iterators(&client.shard);
        }
        client.fake.set_gone(&client.shard, true);
        client.fake.set_unlisted(&client.shard, true);
        let rest = live.rest().await;
        assert_eq!(
            (rest.gap().0, rest.end),
            (pb::GapCause::ShardExpired, Some(pb::EndReason::ShardEnd))
        );
    }
}
