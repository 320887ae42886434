//! Iterators that expire.

use shardstream::model::Position;
use shardstream::upstream::{ErrorClass, IteratorStart, Operation};

use crate::sim::fake::{Answer, EntryKind, Fault, Outcome, Writing};
use crate::support::client::{At, Client, horizon, hours, latest, minutes, pass, seconds};

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_renewed_behind_the_last_record() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut live = client.live(horizon()).await;
    assert_eq!(live.records(3).await.0, [0, 1, 2]);
    client.forget_calls();
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 2);
    assert_eq!(live.records(2).await.0, [3, 4], "nothing twice, nothing skipped");
    let last = client.numbers()[2];
    assert_eq!(client.iterators(), [IteratorStart::Position(Position::AfterSequenceNumber(last))]);
    let expired = |call: &&crate::sim::fake::Call| {
        call.outcome == Outcome::Failed(ErrorClass::ExpiredIterator)
    };
    assert_eq!(
        client.fake.all_calls().iter().filter(expired).count(),
        1,
        "never tried again unchanged"
    );
}

#[tokio::test(start_paused = true)]
async fn iterators_that_always_expire_are_asked_for_with_pauses() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    client.fake.script(&client.shard, Operation::GetRecords, vec![Answer::Fail(Fault::Expired); 8]);
    let mut live = client.live(horizon()).await;
    assert_eq!(live.records(3).await.0, [0, 1, 2]);
    assert!(client.fake.now() > seconds(2), "a hot loop");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_slept_past_its_iterator_goes_on() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [0, 1, 2]);
    pass(minutes(40)).await;
    client.fake.write(&client.shard, 2);
    assert_eq!(client.given(&lease).await, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_before_the_first_record_goes_back_to_the_horizon() {
    let client = Client::new();
    let mut live = client.live(horizon()).await;
    live.heartbeat().await;
    client.forget_calls();
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 2);
    assert_eq!(live.records(2).await.0, [0, 1]);
    assert_eq!(client.iterators(), [IteratorStart::Position(Position::TrimHorizon)]);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_before_the_first_record_never_asks_for_a_new_latest() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    pass(seconds(10)).await;
    let mut live = client.live(latest()).await;
    live.heartbeat().await;
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 2);
    assert_eq!(live.records(2).await.0, [2, 3], "written between the LATEST and its renewal");
    let asked = client.iterators();
    assert_eq!(
        asked.iter().filter(|start| **start == IteratorStart::Latest).count(),
        1,
        "{asked:?}"
    );
    assert!(
        matches!(asked.last(), Some(IteratorStart::Position(Position::AtTimestamp(_)))),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_latest_is_renewed_where_no_timestamps_are_known() {
    let client = Client::new();
    client.fake.set_traits(|traits| traits.at_timestamp = false);
    client.fake.write(&client.shard, 2);
    pass(seconds(10)).await;
    let mut live = client.live(latest()).await;
    live.heartbeat().await;
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 2);
    assert_eq!(live.records(2).await.0, [2, 3], "older ones are dropped on the way");
}

#[tokio::test(start_paused = true)]
async fn an_idle_latest_loses_nothing_and_costs_a_call_in_ten_minutes() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    pass(seconds(10)).await;
    let lease = client.lease(latest()).await;
    client.forget_calls();
    pass(minutes(31)).await;
    assert!(client.calls().len() <= 3, "{:?}", client.calls());
    client.fake.write(&client.shard, 2);
    pass(minutes(28)).await;
    assert!(client.calls().len() <= 6, "{:?}", client.calls());
    assert_eq!(client.given(&lease).await, [2, 3]);
    assert!(!client.iterators().contains(&IteratorStart::Latest), "{:?}", client.iterators());
}

#[tokio::test(start_paused = true)]
async fn an_idle_latest_that_expires_all_the_same_loses_nothing() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    pass(seconds(10)).await;
    let lease = client.lease(latest()).await;
    pass(minutes(7)).await;
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 2);
    pass(minutes(20)).await;
    assert_eq!(client.given(&lease).await, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_latest_resumes_by_time_on_another_server() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    pass(seconds(10)).await;
    let session = client.open(Some(latest())).await.expect("opened");
    let position = session.position.expect("a position");
    assert_eq!(position.iterator_type(), shardstream::pb::IteratorType::AtTimestamp);
    client.fake.write(&client.shard, 2);
    pass(hours(2)).await;
    assert_eq!(client.elsewhere().drain(At::Token(session.token)).await.0, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn other_idle_sessions_cost_no_call() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let leases = [client.lease(horizon()).await, client.lease(horizon()).await];
    assert_eq!(client.given(&leases[0]).await, [0, 1, 2]);
    pass(minutes(1)).await;
    client.forget_calls();
    pass(minutes(50)).await;
    assert_eq!(client.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_iterator_counts_what_has_no_number_from_its_own_place() {
    let client = Client::new();
    // What comes again after a renewal then comes on several pages.
    client.fake.behave(&client.shard, |shard| shard.page_records = 1);
    client.fake.write(&client.shard, 1);
    let nameless = Writing { count: 3, kind: EntryKind::Unnumbered, ..Writing::default() };
    client.fake.write_with(&client.shard, nameless);
    let mut live = client.live(horizon()).await;
    assert_eq!(live.records(4).await.0, [0, 1, 2, 3]);
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 1);
    assert_eq!(live.records(1).await.0, [4], "the others came before");
}
