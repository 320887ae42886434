//! Sequence numbers are numbers.

use shardstream::model::Position;
use shardstream::upstream::IteratorStart;

use crate::sim::fake::{FakeUpstream, Numbers};
use crate::support::client::{At, Client, after, at, horizon};

/// Thirty records whose numbers grow by a digit on the way, one a page.
fn crossing() -> Client {
    let fake = FakeUpstream::new(0);
    fake.number(Numbers::Crossing);
    let stream = fake.add_stream("Orders");
    let shard = fake.add_shard(&stream, None);
    fake.behave(&shard, |shard| shard.page_records = 1);
    fake.write(&shard, 30);
    let client = Client::over(fake, shard, |limits| limits.reading.shard_calls_per_second = 100.0);
    let texts: Vec<_> = client.numbers().iter().map(ToString::to_string).collect();
    assert!(
        !texts.is_sorted() && client.numbers().is_sorted(),
        "as text they are in another order"
    );
    client
}

#[tokio::test(start_paused = true)]
async fn numbers_that_grow_a_digit_stay_in_order() {
    let client = crossing();
    let all: Vec<u64> = (0..30).collect();
    assert_eq!(client.drain(horizon()).await.0, all);
    client.fake.expire_iterators(&client.shard);
    assert_eq!(client.elsewhere().drain(horizon()).await.0, all);
}

#[tokio::test(start_paused = true)]
async fn renewing_across_the_digit_drops_and_repeats_nothing() {
    let client = crossing();
    let mut live = client.live(horizon()).await;
    let mut seen = vec![];
    while seen.len() < 30 {
        seen.extend(live.records(1).await.0);
        client.fake.expire_iterators(&client.shard);
    }
    assert_eq!(seen, (0..30).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn numbers_of_forty_digits_are_kept_whole() {
    let fake = FakeUpstream::new(0);
    fake.number(Numbers::Longest);
    let stream = fake.add_stream("Orders");
    let shard = fake.add_shard(&stream, None);
    fake.write(&shard, 5);
    let client = Client::over(fake, shard, |_| {});
    let third = client.numbers()[2];
    assert_eq!(third.as_str().len(), 40);
    assert_eq!(client.drain(after(third)).await.0, [3, 4]);
    let (_, token) = client.drain(horizon()).await;
    assert_eq!(client.elsewhere().drain(At::Token(token)).await.0, [0; 0]);
    let last = client.numbers()[4];
    assert_eq!(
        client.iterators().last(),
        Some(&IteratorStart::Position(Position::AfterSequenceNumber(last)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_number_with_zeros_before_it_is_the_same_number() {
    let fake = FakeUpstream::new(0);
    fake.number(Numbers::Usual);
    let stream = fake.add_stream("Orders");
    let shard = fake.add_shard(&stream, None);
    fake.write(&shard, 5);
    let client = Client::over(fake, shard, |_| {});
    let padded = format!("000{}", client.numbers()[2]);
    assert_eq!(client.drain(at(&padded)).await.0, [2, 3, 4]);
    assert_eq!(client.drain(after(&padded)).await.0, [3, 4]);
}
