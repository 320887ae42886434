//! Where a session stands and how it gets there.

use shardstream::model::Position;
use shardstream::pb;
use shardstream::upstream::{IteratorStart, Operation};
use tonic::Code;

use crate::sim::fake::{Answer, Fault};
use crate::support::client::{
    At, Client, after, at, horizon, latest, minutes, pass, position, refused, seconds, stamp,
};

#[tokio::test(start_paused = true)]
async fn an_expired_relative_iterator_is_renewed() {
    let client = Client::new();
    let leases = [client.lease(horizon()).await, client.lease(latest()).await];
    pass(minutes(20)).await;
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 3);
    for lease in leases {
        assert_eq!(client.given(&lease).await, [0, 1, 2]);
    }
    assert_eq!(
        client.iterators().iter().filter(|start| **start == IteratorStart::Latest).count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_place_says_so() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let session = client.open(None).await.expect("opened");
    assert_eq!((session.position, session.token.as_str()), (None, ""));
    let lease = session.lease.expect("a lease").lease_id;
    refused(client.get(&lease).await, Code::FailedPrecondition, "NOT_POSITIONED");
    let source = Some(pb::stream_records_request::Source::LeaseId(lease.clone()));
    let stream = client.stream(pb::StreamRecordsRequest { source, ..Default::default() }).await;
    refused(stream.map(|_| ()), Code::FailedPrecondition, "NOT_POSITIONED");
    assert_eq!(client.calls(), [], "nothing was asked of AWS");
    client.jump(&lease, horizon()).await.expect("jumped");
    assert_eq!(client.given(&lease).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn jumps_that_contradict_themselves_are_refused() {
    use pb::IteratorType::{
        AfterSequenceNumber, AtSequenceNumber, AtTimestamp, Latest, TrimHorizon, Unspecified,
    };
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let number = client.numbers()[0].to_string();
    let time = Some(stamp(client.fake.wall()));
    let lease = client.lease(horizon()).await;
    client.forget_calls();
    for kind in [TrimHorizon, Latest, AtTimestamp] {
        let wrong = pb::Position { sequence_number: number.clone(), ..position(kind) };
        refused(
            client.jump(&lease, At::Position(wrong)).await,
            Code::InvalidArgument,
            "POSITION_MALFORMED",
        );
    }
    for kind in [TrimHorizon, Latest] {
        let wrong = pb::Position { time, ..position(kind) };
        refused(
            client.jump(&lease, At::Position(wrong)).await,
            Code::InvalidArgument,
            "POSITION_MALFORMED",
        );
    }
    for kind in [AtSequenceNumber, AfterSequenceNumber] {
        let (both, none) = (
            pb::Position { time, sequence_number: number.clone(), ..position(kind) },
            position(kind),
        );
        refused(
            client.jump(&lease, At::Position(both)).await,
            Code::InvalidArgument,
            "POSITION_MALFORMED",
        );
        refused(
            client.jump(&lease, At::Position(none)).await,
            Code::InvalidArgument,
            "POSITION_MALFORMED",
        );
    }
    let untimed = client.jump(&lease, At::Position(position(AtTimestamp))).await;
    refused(untimed, Code::InvalidArgument, "POSITION_MALFORMED");
    let nothing = client.jump(&lease, At::Position(position(Unspecified))).await;
    refused(nothing, Code::InvalidArgument, "POSITION_MALFORMED");
    assert_eq!(client.calls(), [], "nothing was asked of AWS");
    assert_eq!(client.given(&lease).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_told_apart_by_their_lease_alone() {
    let client = Client::new();
    client.fake.write(&client.shard, 4);
    let (one, two) = (client.lease(horizon()).await, client.lease(horizon()).await);
    assert_ne!(one, two);
    let first = client.get_with(&one, |request| request.max_records = 2).await.expect("read");
    assert_eq!(first.records.len(), 2);
    assert_eq!(client.given(&two).await, [0, 1, 2, 3]);
    assert_eq!(client.given(&one).await, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_revives_an_exhausted_session() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [0, 1, 2]);
    assert!(client.get(&lease).await.expect("read").exhausted);
    assert!(client.session(&lease).await.exhausted);
    let session = client.jump(&lease, after(client.numbers()[0])).await.expect("jumped");
    assert!(!session.exhausted);
    assert_eq!(client.given(&lease).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_that_fails_changes_nothing() {
    for fault in [Fault::Denied, Fault::Throttle, Fault::Unavailable, Fault::Invalid] {
        let client = Client::new();
        client.fake.write(&client.shard, 4);
        let lease = client.lease(horizon()).await;
        let some = client.get_with(&lease, |request| request.max_records = 2).await.expect("read");
        client.fake.script(&client.shard, Operation::GetShardIterator, [Answer::Fail(fault)]);
        // Far away from everything in memory.
        let error = client.jump(&lease, at(1)).await.expect_err("should fail");
        assert_ne!(error.code(), Code::Internal);
        assert_eq!(client.session(&lease).await.token, some.token, "{fault:?}");
        assert_eq!(client.given(&lease).await, [2, 3], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_to_a_trimmed_number_is_refused_and_changes_nothing() {
    let client = Client::new();
    client.fake.write(&client.shard, 4);
    client.fake.trim_to_newest(&client.shard, 2);
    let lease = client.lease(horizon()).await;
    pass(seconds(1)).await;
    refused(
        client.jump(&lease, at(client.numbers()[0])).await,
        Code::OutOfRange,
        "RECORDS_TRIMMED",
    );
    assert_eq!(client.given(&lease).await, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_asks_for_an_iterator_before_it_moves_and_for_nothing_in_memory() {
    let client = Client::new();
    client.fake.write(&client.shard, 4);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.iterators(), [IteratorStart::Position(Position::TrimHorizon)]);
    assert_eq!(client.given(&lease).await, [0, 1, 2, 3]);
    client.forget_calls();
    client.jump(&lease, at(client.numbers()[2])).await.expect("jumped");
    assert_eq!(client.given(&lease).await, [2, 3]);
    assert_eq!(client.iterators(), []);
}

#[tokio::test(start_paused = true)]
async fn a_relative_jump_forgets_the_number() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let lease = client.lease(horizon()).await;
    client.given(&lease).await;
    let session = client.jump(&lease, horizon()).await.expect("jumped");
    assert_eq!(session.position, Some(position(pb::IteratorType::TrimHorizon)));
    assert_eq!(client.given(&lease).await, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_no_record_bears_means_the_next_one() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let between = client.numbers()[1].to_string().parse::<u128>().expect("26 digits") - 1;
    for start in [at(between), after(between)] {
        assert_eq!(client.drain(start).await.0, [1, 2]);
    }
    assert_eq!(client.drain(at(client.numbers()[1])).await.0, [1, 2]);
    assert_eq!(client.drain(after(client.numbers()[1])).await.0, [2]);
}
