//! Reading on.

use shardstream::model::Page;
use shardstream::pb;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::sim::fake::{Answer, Empties};
use crate::support::client::{At, Client, horizon, indexes, minutes, pass, refused, seconds, span};

#[tokio::test(start_paused = true)]
async fn the_checkpoint_advances_with_every_record() {
    let client = Client::new();
    client.fake.behave(&client.shard, |shard| shard.page_records = 2);
    client.fake.write(&client.shard, 4);
    let lease = client.lease(horizon()).await;
    let mut seen = vec![];
    while seen.len() < 4 {
        seen.extend(client.given(&lease).await);
    }
    client.fake.expire_iterators(&client.shard);
    client.fake.write(&client.shard, 2);
    assert_eq!(client.given(&lease).await, [4, 5], "an expired iterator rewinds nothing");
    let session = client.session(&lease).await;
    let position = session.position.expect("a position");
    assert_eq!(position.iterator_type(), pb::IteratorType::AfterSequenceNumber);
    assert_eq!(position.sequence_number, client.numbers()[5].to_string());
    client.fake.write(&client.shard, 1);
    assert_eq!(client.elsewhere().drain(At::Token(session.token)).await.0, [6], "nor does a token");
}

#[tokio::test(start_paused = true)]
async fn not_found_yet_and_not_there_are_told_apart() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let lease = client.lease(horizon()).await;
    client.given(&lease).await;
    let empty = client.get(&lease).await.expect("read");
    assert_eq!((empty.at_tip, empty.exhausted), (true, false));
    client.fake.behave(&client.shard, |shard| shard.latency = (seconds(3), seconds(3)));
    let unknown = client.get(&lease).await.expect("read");
    assert_eq!((unknown.at_tip, unknown.exhausted), (false, false));
    client.fake.close(&client.shard);
    let ended = client
        .get_with(&lease, |request| request.wait = Some(span(seconds(20))))
        .await
        .expect("read");
    assert!(ended.exhausted);
}

#[tokio::test(start_paused = true)]
async fn empty_answers_are_counted_in_a_row_not_in_all() {
    let client = Client::new();
    client.fake.behave(&client.shard, |shard| {
        shard.page_records = 1;
        shard.empties = Empties { chance: 1.0, most: 4, between: true };
    });
    client.fake.write(&client.shard, 8);
    let lease = client.lease(horizon()).await;
    let mut seen = vec![];
    for _ in 0..40 {
        seen.extend(indexes(&client.get(&lease).await.expect("read").records));
    }
    assert_eq!(seen, (0..8).collect::<Vec<u64>>());
    assert!(client.get(&lease).await.expect("read").at_tip);
}

#[tokio::test(start_paused = true)]
async fn a_page_without_a_next_iterator_is_the_last() {
    let client = Client::new();
    let lease = client.lease(horizon()).await;
    client.fake.script(&client.shard, Operation::GetRecords, [Answer::Page(Page::default())]);
    assert!(client.get(&lease).await.expect("read").exhausted);
}

#[tokio::test(start_paused = true)]
async fn of_two_calls_on_a_lease_the_newer_wins_and_nothing_is_lost() {
    let client = Client::new();
    client.fake.write(&client.shard, 4);
    let lease = client.lease(horizon()).await;
    let (older, newer) = tokio::join!(client.get(&lease), client.get(&lease));
    refused(older, Code::Aborted, "SUPERSEDED");
    assert_eq!(indexes(&newer.expect("read").records), [0, 1, 2, 3]);
    client.fake.write(&client.shard, 1);
    assert_eq!(client.given(&lease).await, [4]);
}

#[tokio::test(start_paused = true)]
async fn a_jump_ends_the_stream_on_its_lease() {
    let client = Client::new();
    client.fake.write(&client.shard, 4);
    let lease = client.lease(horizon()).await;
    let source = Some(pb::stream_records_request::Source::LeaseId(lease.clone()));
    let mut live = client
        .stream(pb::StreamRecordsRequest { source, ..Default::default() })
        .await
        .expect("a stream");
    live.records(4).await;
    client.jump(&lease, horizon()).await.expect("jumped");
    let rest = live.rest().await;
    assert_eq!((rest.end, rest.code), (Some(pb::EndReason::Superseded), Some(Code::Aborted)));
    assert_eq!(client.given(&lease).await, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_given_again() {
    let client = Client::new();
    client.fake.write(&client.shard, 6);
    let lease = client.lease(horizon()).await;
    let read = async |id: &str| {
        let asked = |request: &mut pb::GetRecordsRequest| {
            request.request_id = id.into();
            request.max_records = 2;
        };
        client.get_with(&lease, asked).await.expect("read")
    };
    let first = read("a").await;
    let again = read("a").await;
    assert_eq!(
        (again.repeated, again.records.clone(), again.token),
        (true, first.records, first.token)
    );
    // Also when the window has moved on.
    pass(minutes(2)).await;
    assert_eq!(read("a").await.records, again.records);
    let second = read("b").await;
    assert_eq!((second.repeated, indexes(&second.records)), (false, vec![2, 3]));
    assert_eq!(indexes(&read("b").await.records), [2, 3]);
    assert_eq!(indexes(&read("c").await.records), [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_a_repeat_is_harmless() {
    let client = Client::new();
    client.fake.write(&client.shard, 4);
    let first = client.read_with(horizon(), |request| request.max_records = 2).await.expect("read");
    for _ in 0..3 {
        let second = client.elsewhere().read(At::Token(first.token.clone())).await.expect("read");
        assert_eq!(indexes(&second.records), [2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_seek_found_is_found_again() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    pass(seconds(10)).await;
    let time = client.fake.wall();
    client.fake.write(&client.shard, 2);
    let lease = client.lease(horizon()).await;
    for _ in 0..2 {
        assert_eq!(indexes(&client.seek(&lease, time).await.expect("found").records), [2, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_session_costs_no_call() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    client.fake.close(&client.shard);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [0]);
    assert!(client.get(&lease).await.expect("read").exhausted);
    pass(minutes(10)).await;
    client.forget_calls();
    for _ in 0..10 {
        assert!(client.get(&lease).await.expect("read").exhausted);
    }
    assert_eq!(client.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_what_was_read_before_it() {
    use crate::sim::fake::Fault;
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    client.fake.behave(&client.shard, |shard| shard.page_records = 1);
    let lease = client.lease(horizon()).await;
    client.fake.script(
        &client.shard,
        Operation::GetRecords,
        [Answer::Pass, Answer::Fail(Fault::Unavailable)],
    );
    let mut seen = client.given(&lease).await;
    while seen.len() < 2 {
        match client.get(&lease).await {
            Ok(answer) => seen.extend(indexes(&answer.records)),
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
    }
    assert_eq!(seen, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn five_empty_answers_in_a_row_end_a_look() {
    let client = Client::new();
    let lease = client.lease(horizon()).await;
    let first = client.get(&lease).await.expect("read");
    assert_eq!((first.records.len(), first.at_tip, client.reads()), (0, true, 5));
    let second = client.get(&lease).await.expect("read");
    assert_eq!(
        (second.records.len(), second.at_tip, client.reads()),
        (0, true, 6),
        "then one call a look"
    );
}
