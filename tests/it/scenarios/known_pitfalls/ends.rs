//! The end of a shard.

use shardstream::pb;
use shardstream::pb::stream_records_response::Event;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::support::client::{Client, detail, horizon, hours, pass, refused, token};

#[tokio::test(start_paused = true)]
async fn the_last_page_with_no_next_iterator_is_delivered() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let lease = client.lease(horizon()).await;
    let last = client.get(&lease).await.expect("read");
    assert_eq!((last.records.len(), last.exhausted), (3, false), "the last page and its end, both");
    let end = client.get(&lease).await.expect("read");
    assert_eq!((end.records.len(), end.exhausted), (0, true));
    assert_eq!(client.reads(), 1, "AWS said all of that in one page");

    let rest = client.live(horizon()).await.rest().await;
    assert_eq!(
        (rest.records, rest.end, rest.code),
        (vec![0, 1, 2], Some(pb::EndReason::ShardEnd), Some(Code::Ok))
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_as_a_page_of_its_own_is_an_end() {
    let client = Client::new();
    client.fake.behave(&client.shard, |shard| shard.end_alone = true);
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let rest = client.live(horizon()).await.rest().await;
    assert_eq!((rest.records, rest.end), (vec![0, 1, 2], Some(pb::EndReason::ShardEnd)));
    assert!(matches!(rest.events[..], [Event::ShardEnd(_)]), "{:?}", rest.events);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_closes_while_it_is_followed_gives_its_last_records() {
    let client = Client::new();
    let mut live = client.live(horizon()).await;
    client.fake.write(&client.shard, 2);
    assert_eq!(live.records(2).await.0, [0, 1]);
    client.fake.write(&client.shard, 2);
    client.fake.close(&client.shard);
    let rest = live.rest().await;
    assert_eq!((rest.records, rest.end), (vec![2, 3], Some(pb::EndReason::ShardEnd)));
}

#[tokio::test(start_paused = true)]
async fn a_finished_shard_is_not_read_again() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let rest = client.live(horizon()).await.rest().await;
    let elsewhere = client.elsewhere();
    client.forget_calls();
    let again = elsewhere.read(token(&rest.token)).await.expect("read");
    assert_eq!(
        (again.records.len(), again.exhausted),
        (0, true),
        "found again, and still finished"
    );
    let resumed = elsewhere.live(token(&rest.token)).await.rest().await;
    assert_eq!((resumed.records, resumed.end), (vec![], Some(pb::EndReason::ShardEnd)));
    assert_eq!(client.reads(), 1, "one answer says that it is over");
    assert_eq!(resumed.token, rest.token);
}

#[tokio::test(start_paused = true)]
async fn a_finished_shard_that_is_gone_is_told_so() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let rest = client.live(horizon()).await.rest().await;
    pass(hours(25)).await;
    client.fake.truth();
    let gone = refused(client.read(token(&rest.token)).await, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(detail(&gone, "cause"), "SHARD_EXPIRED");
    assert_eq!(client.fake.calls_on(&client.shard, Operation::GetRecords), 1);
}
