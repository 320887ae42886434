//! Several records under one number, as a batch gets it elsewhere than on AWS: none of them is
//! passed over, whatever comes to an end between them, and what is there twice is another record
//! unless it says that it is the same one.

use shardstream::model::{Page, Position};
use shardstream::pb;
use shardstream::upstream::{IteratorStart, Operation, Upstream as _};

use crate::sim::fake::{Answer, FakeUpstream, Shared};
use crate::support::client::{At, Client, after, at, horizon, indexes, seconds, span};

/// One, four of one number, two of another, one.
const ALL: [u64; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn alike(shared: Shared, page_records: usize) -> Client {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.share_numbers(shared);
    fake.behave(&shard, |shard| shard.page_records = page_records);
    for count in [1, 4, 2, 1] {
        fake.write(&shard, count);
    }
    let client = Client::over(fake, shard, |limits| limits.reading.shard_calls_per_second = 100.0);
    let numbers = client.numbers();
    assert!(numbers[1] == numbers[4] && numbers[0] < numbers[1] && numbers[4] < numbers[5]);
    client
}

/// However pages come.
fn ways() -> Vec<(Shared, usize)> {
    [Shared::Cut, Shared::Whole]
        .into_iter()
        .flat_map(|shared| [1, 2, 3, 1_000].map(|page| (shared, page)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn records_of_one_number_come_one_by_one_on_a_lease() {
    for (shared, page) in ways() {
        let client = alike(shared, page);
        let lease = client.lease(horizon()).await;
        let mut all = vec![];
        loop {
            let answer =
                client.get_with(&lease, |request| request.max_records = 1).await.expect("read");
            assert!(answer.records.len() <= 1);
            if answer.records.is_empty() {
                break;
            }
            all.extend(indexes(&answer.records));
        }
        assert_eq!(all, ALL, "{shared:?}, pages of {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_among_records_of_one_number_resumes_behind_the_last_one() {
    for (shared, page) in ways() {
        let client = alike(shared, page);
        let mut start = horizon();
        for index in ALL {
            // Each on a server that knows nothing.
            let server = client.elsewhere();
            let answer =
                server.read_with(start, |request| request.max_records = 1).await.expect("read");
            assert_eq!(indexes(&answer.records), [index], "{shared:?}, pages of {page}");
            let rest: Vec<u64> = (index + 1..8).collect();
            let (found, _) = client.elsewhere().drain(At::Token(answer.token.clone())).await;
            assert_eq!(found, rest, "{shared:?}, pages of {page}, behind {index}");
            // The same server has the others in memory.
            let (found, _) = server.drain(At::Token(answer.token.clone())).await;
            assert_eq!(found, rest, "{shared:?}, pages of {page}, behind {index}, in memory");
            start = At::Token(answer.token);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewed_iterator_goes_on_among_records_of_one_number() {
    for (shared, page) in ways() {
        let client = alike(shared, page);
        let mut live = client.live_with(horizon(), |request| request.max_batch_records = 1).await;
        let mut all = vec![];
        while all.len() < ALL.len() {
            all.extend(live.records(1).await.0);
            client.fake.expire_iterators(&client.shard);
        }
        client.fake.write(&client.shard, 1);
        all.extend(live.records(1).await.0);
        assert_eq!(all, [&ALL[..], &[8]].concat(), "{shared:?}, pages of {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_large_is_cut_among_records_of_one_number() {
    for (shared, page) in ways() {
        let client = alike(shared, page);
        let small = Client::over(client.fake.clone(), client.shard.clone(), |limits| {
            limits.reading.page_bytes = 900;
            limits.reading.shard_calls_per_second = 100.0;
        });
        assert_eq!(small.drain(horizon()).await.0, ALL, "{shared:?}, pages of {page}");
        let mut live = small.live(horizon()).await;
        assert_eq!(live.records(8).await.0, ALL, "{shared:?}, pages of {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_notes_down_numbers_gets_the_others_again_rather_than_not_at_all() {
    let client = alike(Shared::Whole, 1_000);
    let number = client.numbers()[1];
    assert_eq!(client.elsewhere().drain(at(number)).await.0, ALL[1..]);
    assert_eq!(
        client.elsewhere().drain(after(number)).await.0,
        ALL[2..],
        "which of the four is meant nobody knows"
    );
    let three = client.read_with(horizon(), |request| request.max_records = 3).await.expect("read");
    assert_eq!(
        indexes(&three.records),
        [0],
        "those of one number are kept together where they fit"
    );
    let five = client.read_with(horizon(), |request| request.max_records = 5).await.expect("read");
    assert_eq!(indexes(&five.records), ALL[..5]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_comes_again_is_told_from_another_of_its_number() {
    let client = alike(Shared::Cut, 1_000);
    let (fake, shard) = (&client.fake, &client.shard);
    let start = IteratorStart::Position(Position::TrimHorizon);
    let iterator = fake
        .shard_iterator(&shard.stream, &shard.shard, start)
        .await
        .expect("an iterator")
        .iterator;
    let whole = FakeUpstream::records(fake, &iterator, 1_000).await.expect("a page");
    let page = |indexes: &[usize]| {
        let entries = indexes.iter().map(|index| whole.entries[*index].clone()).collect();
        Answer::Page(Page { entries, next_iterator: whole.next_iterator.clone() })
    };
    // Within a page, from page to page, and a page that is nothing but what came before.
    let pages = [
        page(&[0, 1, 1, 2]),
        page(&[2, 1, 3, 3]),
        page(&[3]),
        page(&[0, 4, 5, 6]),
        page(&[6, 5, 7]),
    ];
    fake.script(shard, Operation::GetRecords, pages);
    assert_eq!(client.drain(horizon()).await.0, ALL);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_gets_all_records_of_one_number() {
    for (shared, page) in ways() {
        let client = alike(shared, page);
        let lease = client.lease(horizon()).await;
        let mut all = vec![];
        for count in [3, 2, 5, 12] {
            client.fake.write(&client.shard, count);
        }
        loop {
            let answer = client.get_with(&lease, |request| {
                (request.max_records, request.wait) = (7, Some(span(seconds(5))));
            });
            let records = answer.await.expect("read").records;
            if records.is_empty() {
                break;
            }
            all.extend(indexes(&records));
        }
        assert_eq!(all, (0..30).collect::<Vec<u64>>(), "{shared:?}, pages of {page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_among_records_of_one_number_is_repeated_from_where_it_began() {
    for (shared, page) in ways() {
        let client = alike(shared, page);
        let lease = client.lease(horizon()).await;
        for index in ALL {
            for repeated in [false, true] {
                let change = |request: &mut pb::GetRecordsRequest| {
                    (request.max_records, request.request_id) = (1, index.to_string());
                };
                let answer = client.get_with(&lease, change).await.expect("read");
                assert_eq!(
                    (indexes(&answer.records), answer.repeated),
                    (vec![index], repeated),
                    "{shared:?}, {page}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_far_behind_the_first_of_its_number_is_reached_with_little_memory() {
    let client = alike(Shared::Whole, 1_000);
    client.fake.write(&client.shard, 12);
    let mut start = horizon();
    for index in 0..20 {
        let answer =
            client.read_with(start, |request| request.max_records = 1).await.expect("read");
        assert_eq!(indexes(&answer.records), [index]);
        // Two pages of a few records each are all that it keeps.
        let small = Client::over(client.fake.clone(), client.shard.clone(), |limits| {
            (limits.reading.page_bytes, limits.reading.window_bytes_per_shard) = (900, 1_800);
            limits.reading.shard_calls_per_second = 100.0;
        });
        let mut live = small.live(At::Token(answer.token.clone())).await;
        client.fake.write(&client.shard, 1);
        let rest: Vec<u64> = (index + 1..21 + index).collect();
        assert_eq!(live.records(rest.len()).await.0, rest);
        start = At::Token(answer.token);
    }
}
