//! An upstream that refuses.

use shardstream::pb;
use shardstream::upstream::Operation;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::sim::fake::{Answer, Asked, Call, Fault};
use crate::support::client::{At, Client, horizon, latest, minutes, refused, seconds, since};

const TROUBLES: [(Fault, Code, &str, &str); 3] = [
    (Fault::Denied, Code::FailedPrecondition, "UPSTREAM_ACCESS_DENIED", "AccessDeniedException"),
    (Fault::Throttle, Code::Unavailable, "UPSTREAM_THROTTLED", "LimitExceededException"),
    (Fault::Unavailable, Code::Unavailable, "UPSTREAM_UNAVAILABLE", "InternalServerError"),
];

fn fail(client: &Client, fault: Fault, times: usize) {
    client.fake.script(&client.shard, Operation::GetRecords, vec![Answer::Fail(fault); times]);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_survived_and_heartbeats_say_so() {
    for (fault, _, reason, _) in TROUBLES {
        let client = Client::new();
        client.fake.write(&client.shard, 2);
        let mut live = client.live(horizon()).await;
        live.records(2).await;
        fail(&client, fault, 12);
        let told = live.heartbeat_that(|beat| !beat.upstream_error.is_empty()).await;
        client.fake.write(&client.shard, 2);
        assert_eq!((told.upstream_error.as_str(), told.at_tip), (reason, false));
        assert_eq!(live.records(2).await.0, [2, 3], "{fault:?}");
        let (beat, _) = live.heartbeat().await;
        assert_eq!(beat.upstream_error, "", "over and forgotten");
    }
}

/// What fails may have been too large to be read, or to come in time.
#[tokio::test(start_paused = true)]
async fn after_failures_smaller_pages_are_asked_for_and_grow_again() {
    let client = Client::new();
    client.fake.write(&client.shard, 1_500);
    fail(&client, Fault::Unavailable, 3);
    let mut live = client.live(horizon()).await;
    live.records(1_500).await;
    let asked = |client: &Client| -> Vec<u32> {
        let limit = |call: Call| match call.asked {
            Asked::Records { limit, .. } => Some(limit),
            _ => None,
        };
        client.fake.all_calls().into_iter().filter_map(limit).collect()
    };
    assert_eq!(asked(&client)[..7], [1_000, 500, 250, 125, 250, 500, 1_000]);
    fail(&client, Fault::Unavailable, 9);
    client.fake.write(&client.shard, 1);
    live.records(1).await;
    assert_eq!(asked(&client).last(), Some(&16));
    for fault in [Fault::Throttle, Fault::Denied] {
        let client = Client::new();
        client.fake.write(&client.shard, 1);
        fail(&client, fault, 3);
        client.live(horizon()).await.records(1).await;
        assert_eq!(asked(&client)[..4], [1_000; 4], "{fault:?} says nothing of sizes");
    }
}

#[tokio::test(start_paused = true)]
async fn patience_ends_and_the_stream_with_its_token() {
    for (fault, ..) in TROUBLES {
        let client = Client::new();
        client.fake.write(&client.shard, 2);
        let mut live = client.live(horizon()).await;
        live.records(2).await;
        let begun = client.fake.now();
        fail(&client, fault, 500);
        let rest = live.rest().await;
        assert_eq!(
            (rest.end, rest.code),
            (Some(pb::EndReason::Upstream), Some(Code::Unavailable)),
            "{fault:?}"
        );
        let patience = client.fake.now() - begun;
        assert!((minutes(5)..minutes(5) + seconds(30)).contains(&patience), "{patience:?}");
        let left = client.fake.script_left();
        assert!(left > 400, "{} calls in five minutes", 500 - left);
        client.fake.drop_script(&client.shard);
        client.fake.write(&client.shard, 2);
        assert_eq!(client.elsewhere().drain(At::Token(rest.token)).await.0, [2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_call_says_at_once_what_is_wrong() {
    for (fault, code, reason, word) in TROUBLES {
        let client = Client::new();
        client.fake.write(&client.shard, 2);
        let lease = client.lease(horizon()).await;
        fail(&client, fault, 1);
        let begun = client.fake.now();
        let status = refused(client.get(&lease).await, code, reason);
        assert!(client.fake.now() - begun < seconds(1));
        assert!(status.message().contains(word), "{}", status.message());
        let retry = status.get_details_retry_info().is_some();
        assert_eq!(retry, code == Code::Unavailable, "RetryInfo with what may pass by itself");
        assert_eq!(client.given(&lease).await, [0, 1], "nothing was lost");
    }
}

#[tokio::test(start_paused = true)]
async fn opening_says_at_once_what_is_wrong() {
    for (fault, code, reason, _) in TROUBLES {
        for start in [horizon, latest] {
            let client = Client::new();
            client.fake.script(&client.shard, Operation::GetShardIterator, [Answer::Fail(fault)]);
            refused(client.open(Some(start())).await, code, reason);
            client.open(Some(start())).await.expect("opened");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_to_wait_is_kept() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    fail(&client, Fault::ThrottleFor(seconds(7)), 1);
    let begun = client.fake.now();
    let mut live = client.live(horizon()).await;
    assert_eq!(live.records(2).await.0, [0, 1]);
    assert!(client.fake.now() - begun >= seconds(7));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_is_given_up() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    fail(&client, Fault::Hang, 1);
    let mut live = client.live(horizon()).await;
    assert_eq!(live.records(2).await.0, [0, 1]);
    assert!(client.fake.now() < minutes(2));
}

#[tokio::test(start_paused = true)]
async fn listings_that_fail_are_told_with_their_reason() {
    for (fault, code, reason, _) in TROUBLES {
        let client = Client::new();
        client.fake.script_listing(Operation::DescribeStream, [Answer::Fail(fault)]);
        refused(client.open(Some(since(client.fake.wall()))).await, code, reason);
        client
            .open(Some(At::Position(crate::support::client::position(pb::IteratorType::Latest))))
            .await
            .expect("opened");
    }
}
