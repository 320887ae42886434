//! Looking for a time, where AWS knows AT_TIMESTAMP and where it must be scanned for.

use std::time::Duration;

use shardstream::model::{Page, Timestamp};
use shardstream::pb;
use shardstream::pb::SeekOutcome::{AtTip, Found, ShardEnded};
use shardstream::upstream::{IteratorStart, Operation, Upstream as _};
use tonic::Code;

use crate::sim::fake::{Answer, Empties, Fault, Writing};
use crate::support::client::{
    At, Client, horizon, indexes, minutes, pass, refused, seconds, token,
};

/// Records said to be created so many seconds ago, in this order, on an upstream that knows
/// AT_TIMESTAMP and on one that does not.
fn created(agos: &[u64]) -> [Client; 2] {
    [true, false].map(|knows| {
        let client = Client::old(minutes(60));
        client.fake.set_traits(|traits| traits.at_timestamp = knows);
        for ago in agos {
            let ago = seconds(*ago);
            client.fake.write_with(&client.shard, Writing { ago, ..Writing::default() });
        }
        client
    })
}

fn ago(client: &Client, time: Duration) -> Timestamp {
    // The records were written when the fake was made.
    client.fake.base().minus(time)
}

#[track_caller]
fn sought(answer: &pb::SeekToResponse) -> (pb::SeekOutcome, Vec<u64>) {
    (answer.outcome(), indexes(&answer.records))
}

#[tokio::test(start_paused = true)]
async fn a_token_after_a_seek_stands_behind_what_was_found() {
    for client in created(&[100, 50, 20, 10]) {
        let lease = client.lease(horizon()).await;
        let found = client.seek(&lease, ago(&client, seconds(30))).await.expect("found");
        assert_eq!(sought(&found), (Found, vec![2, 3]));
        let session = found.session.expect("the session");
        assert_eq!(session.token, found.token);
        assert_eq!(
            session.position.expect("a place").sequence_number,
            client.numbers()[3].to_string()
        );
        client.fake.write(&client.shard, 1);
        assert_eq!(client.elsewhere().drain(At::Token(found.token)).await.0, [4]);
        assert_eq!(client.given(&lease).await, [4]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_seek_that_found_nothing_no_older_record_comes() {
    for client in created(&[100, 50, 20]) {
        let lease = client.lease(horizon()).await;
        let nothing = client.seek(&lease, ago(&client, seconds(5))).await.expect("an answer");
        assert_eq!(sought(&nothing), (AtTip, vec![]));
        client.fake.expire_iterators(&client.shard);
        client.fake.write(&client.shard, 2);
        assert_eq!(client.given(&lease).await, [3, 4]);
        assert_eq!(client.elsewhere().drain(token(&nothing.token)).await.0, [3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn records_whose_stamps_regress_are_not_passed_over() {
    for client in created(&[100, 20, 60, 10, 40]) {
        let found = client.seek_shard(ago(&client, seconds(30))).await.expect("found");
        assert_eq!(
            sought(&found),
            (Found, vec![1, 2, 3, 4]),
            "from the first that is new enough, all"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_record_at_the_end_of_a_page_hides_nothing() {
    for client in created(&[100, 20, 60]) {
        let found = client.seek_shard(ago(&client, seconds(30))).await.expect("found");
        assert_eq!(sought(&found), (Found, vec![1, 2]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_is_floored_to_its_second() {
    for client in created(&[100, 50]) {
        let second = ago(&client, seconds(50)).floor();
        let late = second.plus(Duration::from_millis(999));
        let found = client.seek_shard(late).await.expect("found");
        assert_eq!(
            sought(&found),
            (Found, vec![1]),
            "stamps are rounded down, so a fraction later is the same"
        );
        let next = client.seek_shard(second.plus(seconds(1))).await.expect("an answer");
        assert_eq!(sought(&next), (AtTip, vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_seek_does_not_give_up_in_a_gap() {
    for client in created(&[100, 90, 80, 70, 60, 20]) {
        client.fake.behave(&client.shard, |shard| {
            shard.page_records = 1;
            shard.empties = Empties { chance: 1.0, most: 4, between: true };
        });
        let lease = client.lease(horizon()).await;
        let found = client.seek(&lease, ago(&client, seconds(40))).await.expect("found");
        assert_eq!(sought(&found), (Found, vec![5]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_is_looked_through_to_its_end() {
    for client in created(&[100, 90, 80]) {
        client.fake.close(&client.shard);
        let (stream, shard) = (&client.shard.stream, &client.shard.shard);
        let start = IteratorStart::Position(shardstream::model::Position::TrimHorizon);
        let next =
            client.fake.shard_iterator(stream, shard, start).await.expect("an iterator").iterator;
        let empty = Answer::Page(Page { entries: vec![], next_iterator: Some(next) });
        client.fake.script(&client.shard, Operation::GetRecords, vec![empty; 9]);
        let found = client.seek_shard(ago(&client, seconds(95))).await.expect("found");
        assert_eq!(found.outcome(), Found, "nine empty answers are not the end of a closed shard");
        let ended = client.seek_shard(ago(&client, seconds(5))).await.expect("an answer");
        assert_eq!(sought(&ended), (ShardEnded, vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_seek_that_fails_moves_nothing() {
    for client in created(&[100, 50, 20]) {
        let lease = client.lease(horizon()).await;
        let before = client.session(&lease).await;
        for fault in [Fault::Denied, Fault::Throttle, Fault::Unavailable] {
            for operation in [Operation::GetShardIterator, Operation::GetRecords] {
                client.fake.script(&client.shard, operation, [Answer::Fail(fault)]);
                let error = client.seek(&lease, ago(&client, seconds(30))).await;
                if operation == Operation::GetRecords || error.is_err() {
                    error.expect_err("should fail");
                }
                pass(minutes(1)).await;
            }
        }
        let after = client.session(&lease).await;
        assert_eq!((after.token, after.position), (before.token, before.position));
        assert_eq!(client.given(&lease).await, [0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_seek_that_is_cancelled_moves_nothing() {
    for client in created(&[100, 50, 20]) {
        let lease = client.lease(horizon()).await;
        client.fake.behave(&client.shard, |shard| shard.latency = (seconds(1), seconds(1)));
        let seek = client.seek(&lease, ago(&client, seconds(30)));
        tokio::time::timeout(Duration::from_millis(500), seek).await.expect_err("too early");
        client
            .fake
            .behave(&client.shard, |shard| shard.latency = (seconds(0), Duration::from_millis(5)));
        assert_eq!(client.given(&lease).await, [0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_met_its_deadline_goes_on_where_it_was() {
    let client = created(&[])[1].elsewhere();
    client.fake.behave(&client.shard, |shard| shard.page_records = 1);
    client
        .fake
        .write_with(&client.shard, Writing { count: 60, ago: minutes(50), ..Writing::default() });
    client.fake.write_with(&client.shard, Writing { count: 1, ..Writing::default() });
    let time = ago(&client, minutes(1));
    let lease = client.lease(horizon()).await;
    let mut tries = 0;
    let found = loop {
        tries += 1;
        match client.seek_within(&lease, time, Some(seconds(4))).await {
            Ok(found) => break found,
            Err(late) => assert_eq!(late.code(), Code::DeadlineExceeded),
        }
        assert_eq!(
            client.session(&lease).await.position.expect("a place").sequence_number,
            "",
            "moves nothing"
        );
    };
    assert_eq!(sought(&found), (Found, vec![60]));
    assert!((2..10).contains(&tries), "{tries}");
    assert!(client.reads() <= 63, "{} reads of 61 pages", client.reads());
}

#[tokio::test(start_paused = true)]
async fn a_seek_is_one_iterator_where_timestamps_are_known() {
    let [client, _] = created(&[100, 90, 80, 20]);
    client.fake.behave(&client.shard, |shard| shard.page_records = 1);
    let found = client.seek_shard(ago(&client, seconds(30))).await.expect("found");
    assert_eq!(sought(&found), (Found, vec![3]));
    let operations: Vec<_> = client.calls().iter().map(|call| call.operation).collect();
    assert_eq!(operations[..2], [Operation::GetShardIterator, Operation::GetRecords]);
    assert!(matches!(
        client.iterators()[..],
        [IteratorStart::Position(shardstream::model::Position::AtTimestamp(_))]
    ));
}

#[tokio::test(start_paused = true)]
async fn a_time_ahead_is_refused_and_a_little_ahead_means_now() {
    for client in created(&[100]) {
        let ahead = client.fake.wall().plus(seconds(60));
        refused(client.seek_shard(ahead).await, Code::InvalidArgument, "TIME_IN_FUTURE");
        let little =
            client.seek_shard(client.fake.wall().plus(seconds(4))).await.expect("an answer");
        assert_eq!(sought(&little), (AtTip, vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_seek_past_the_last_record_of_a_closed_shard_exhausts_the_session() {
    for client in created(&[100, 50]) {
        client.fake.close(&client.shard);
        let lease = client.lease(horizon()).await;
        let ended = client.seek(&lease, ago(&client, seconds(10))).await.expect("an answer");
        assert_eq!(sought(&ended), (ShardEnded, vec![]));
        assert!(ended.session.expect("the session").exhausted);
        let found = client.seek(&lease, ago(&client, seconds(70))).await.expect("found");
        assert_eq!(sought(&found), (Found, vec![1]));
        assert!(!found.session.expect("the session").exhausted, "revived");
    }
}
