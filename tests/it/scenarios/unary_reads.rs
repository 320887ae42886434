//! Unary reads give at once what is there, and keep to their deadlines.

use std::time::Duration;

use shardstream::model::Timestamp;
use shardstream::pb;
use shardstream::pb::SeekOutcome::Found;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::sim::fake::{Answer, Gate, Writing};
use crate::support::client::{At, Client, horizon, indexes, latest, refused, seconds, span};

/// What a call takes; more than a record comes in that time.
const SLOW: Duration = Duration::from_millis(250);

/// As long as `work` runs, a record each tenth of a second.
async fn while_written<T>(client: &Client, work: impl Future<Output = T>) -> T {
    let writing = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.fake.write(&client.shard, 1);
        }
    };
    // Both may be dropped: one is what the test waits for, the other stops with it.
    tokio::select! {
        biased;
        done = work => done,
        () = writing => unreachable!("it writes on"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_of_a_busy_shard_ends_with_the_first_records() {
    let client = Client::new();
    let lease = client.lease(latest()).await;
    while_written(&client, async {
        let mut given = 0;
        for wait in [Some(span(seconds(15))), None, Some(span(seconds(60)))] {
            let begun = client.fake.now();
            let answer =
                client.get_with(&lease, |request| request.wait = wait).await.expect("read");
            let took = client.fake.now() - begun;
            assert!(
                !answer.records.is_empty() && took <= seconds(1),
                "{} records in {took:?}",
                answer.records.len()
            );
            given += answer.records.len();
            tokio::time::sleep(Duration::from_millis(350)).await;
        }
        assert!(given < 40, "{given} records");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_read_without_a_lease_gives_what_is_in_memory_without_a_call() {
    let client = Client::new();
    client.fake.write(&client.shard, 5);
    let first = client.read(horizon()).await.expect("read");
    assert_eq!(indexes(&first.records), [0, 1, 2, 3, 4]);
    client.forget_calls();
    let begun = client.fake.now();
    let waiting = |request: &mut pb::GetRecordsRequest| request.wait = Some(span(seconds(30)));
    let again = client.read_with(horizon(), waiting).await.expect("read");
    assert_eq!(
        (indexes(&again.records), client.fake.now() - begun),
        (vec![0, 1, 2, 3, 4], Duration::ZERO)
    );
    assert_eq!(client.reads(), 0, "what is in memory asks for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_seek_in_a_busy_shard_ends_with_the_first_records() {
    for knows in [true, false] {
        let client = Client::new();
        client.fake.set_traits(|traits| traits.at_timestamp = knows);
        // Every answer brings something.
        client.fake.behave(&client.shard, |shard| shard.latency = (SLOW, SLOW));
        client.fake.write_with(&client.shard, Writing { count: 20, ..Writing::default() });
        let lease = client.lease(horizon()).await;
        while_written(&client, async {
            for deadline in [None, Some(seconds(10))] {
                let (begun, time): (_, Timestamp) = (client.fake.now(), client.fake.wall());
                let found = client.seek_within(&lease, time, deadline).await.expect("found");
                let took = client.fake.now() - begun;
                assert_eq!(found.outcome(), Found);
                assert!(took <= seconds(2), "{} records in {took:?}", found.records.len());
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_from_the_call_not_from_the_reading() {
    let slow = || {
        let client = Client::new();
        client.fake.behave(&client.shard, |shard| shard.latency = (seconds(2), seconds(2)));
        client.fake.listing(|listing| listing.latency = (seconds(2), seconds(2)));
        client
    };
    // A seek: two seconds for the listing, then calls of two seconds each, and nothing to be found.
    let client = slow();
    let begun = client.fake.now();
    let late = client.seek_shard_within(client.fake.wall(), Some(seconds(5))).await;
    refused(late, Code::DeadlineExceeded, "DEADLINE");
    assert!(client.fake.now() - begun < seconds(5), "{:?}", client.fake.now() - begun);
    // A read that waits gives what it has, which is nothing, before the client gives up.
    let client = slow();
    let begun = client.fake.now();
    let wait = |request: &mut pb::GetRecordsRequest| request.wait = Some(span(seconds(30)));
    let empty = client.read_within(latest(), Some(seconds(7)), wait).await.expect("an answer");
    assert_eq!(indexes(&empty.records), [0_u64; 0]);
    assert!(client.fake.now() - begun < seconds(7), "{:?}", client.fake.now() - begun);
    // A stream says so itself, with a token, before its client would break it off.
    let client = slow();
    let begun = client.fake.now();
    let rest = client.live_for(latest(), Some(seconds(9))).await.rest().await;
    assert_eq!(rest.end, Some(pb::EndReason::Deadline));
    assert!(client.fake.now() - begun < seconds(9), "{:?}", client.fake.now() - begun);
    client.read(At::Token(rest.token)).await.expect("goes on");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_answers_reads_that_are_being_placed() {
    for listing in [true, false] {
        let client = Client::new();
        let gate = Gate::closed();
        match listing {
            true => {
                client.fake.script_listing(Operation::DescribeStream, [Answer::Wait(gate.clone())])
            }
            false => client.fake.script(
                &client.shard,
                Operation::GetShardIterator,
                [Answer::Wait(gate.clone())],
            ),
        }
        let wait = |request: &mut pb::GetRecordsRequest| request.wait = Some(span(seconds(30)));
        let leaving = async {
            tokio::time::sleep(seconds(1)).await;
            client.server.context.drain.cancel();
        };
        let begun = client.fake.now();
        let placed = tokio::time::timeout(seconds(20), client.read_with(latest(), wait));
        let (answer, ()) = tokio::join!(placed, leaving);
        refused(answer.expect("an answer"), Code::Unavailable, "DRAINING");
        assert_eq!(client.fake.now() - begun, seconds(1));
        gate.open();
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_cannot_be_read_in_time_does_not_say_that_the_server_goes_away() {
    let client =
        Client::limited(|limits| limits.reading.reader_idle_timeout = Duration::from_millis(1));
    client.fake.write(&client.shard, 3);
    let lease = client.lease(horizon()).await;
    let named = |request: &mut pb::GetRecordsRequest| request.request_id = "a".into();
    assert_eq!(indexes(&client.get_with(&lease, named).await.expect("read").records), [0, 1, 2]);
    tokio::time::sleep(seconds(60)).await;
    client.fake.script(
        &client.shard,
        Operation::GetShardIterator,
        vec![Answer::Wait(Gate::closed()); 9],
    );
    refused(client.get_with(&lease, named).await, Code::DeadlineExceeded, "DEADLINE");
}

#[tokio::test(start_paused = true)]
async fn where_a_stream_stands_is_told_before_it_has_read_anything() {
    let client = Client::new();
    let lease = client.lease(horizon()).await;
    let source = Some(pb::stream_records_request::Source::LeaseId(lease.clone()));
    let live = client
        .stream(pb::StreamRecordsRequest { source, ..Default::default() })
        .await
        .expect("a stream");
    let session = client.session(&lease).await;
    assert_eq!(session.streaming_position, session.position);
    drop(live);
    assert_eq!(client.session(&lease).await.streaming_position, None);
}
