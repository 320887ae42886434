//! The fake does what AWS is known to do: each promise of its documentation that a scenario leans
//! on.

mod hiding;
mod streams;

use std::time::Duration;

use shardstream::model::{Page, PageEntry, Position as TokenPosition};
use shardstream::upstream::{ErrorClass, ITERATOR_LIFE, IteratorStart, Operation, Upstream};
use tokio::time::sleep;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// The indices of a page's entries in the full log.
fn indices(page: &Page) -> Vec<u64> {
    let index = |entry: &PageEntry| match entry {
        PageEntry::Record(record) => {
            EntryId::parse(record.event_id.as_deref().unwrap_or("")).map(|id| id.index)
        }
        PageEntry::Unreadable(_) => None,
    };
    page.entries.iter().filter_map(index).collect()
}

async fn iterator(
    fake: &FakeUpstream,
    shard: &ShardRef,
    start: IteratorStart,
) -> Result<String, ErrorClass> {
    let issued = fake.shard_iterator(&shard.stream, &shard.shard, start).await;
    issued.map(|issued| issued.iterator).map_err(|error| error.class)
}

#[track_caller]
fn class<T: std::fmt::Debug>(
    result: Result<T, shardstream::upstream::UpstreamError>,
) -> ErrorClass {
    result.expect_err("a failure").class
}

/// Every page from `start` on until the first empty one or the end.
async fn read(fake: &FakeUpstream, shard: &ShardRef, start: TokenPosition) -> (Vec<u64>, bool) {
    let mut at = iterator(fake, shard, IteratorStart::Position(start)).await.expect("an iterator");
    let mut seen = Vec::new();
    loop {
        let page = fake.records(&at, 1_000).await.expect("a page");
        seen.extend(indices(&page));
        match page.next_iterator {
            Some(next) if !page.entries.is_empty() => at = next,
            next => return (seen, next.is_none()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_page_of_a_closed_shard_bears_records_and_no_next_iterator() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.behave(&shard, |behaviour| behaviour.page_records = 2);
    fake.write(&shard, 4);
    fake.close(&shard);
    let first = iterator(&fake, &shard, IteratorStart::Position(TokenPosition::TrimHorizon))
        .await
        .expect("an iterator");
    let page = fake.records(&first, 1_000).await.expect("a page");
    let last = fake.records(&page.next_iterator.expect("a next one"), 1_000).await.expect("a page");
    assert_eq!((indices(&last), last.next_iterator), (vec![2, 3], None));
}

#[tokio::test(start_paused = true)]
async fn every_iterator_type_finds_its_place() {
    for seed in 0..3 {
        let (fake, shard) = FakeUpstream::with_shard(seed);
        fake.write(&shard, 10);
        sleep(Duration::from_secs(5)).await;
        let second = fake.wall();
        fake.write(&shard, 10);
        let numbers = fake.numbers(&shard);
        let all: Vec<u64> = (0..20).collect();
        assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(read(&fake, &shard, TokenPosition::TrimHorizon).await.0, all);
        assert_eq!(
            read(&fake, &shard, TokenPosition::AtSequenceNumber(numbers[7])).await.0,
            all[7..]
        );
        assert_eq!(
            read(&fake, &shard, TokenPosition::AfterSequenceNumber(numbers[7])).await.0,
            all[8..]
        );
        assert_eq!(
            read(&fake, &shard, TokenPosition::AtTimestamp(second.floor())).await.0,
            all[10..]
        );
        let latest = iterator(&fake, &shard, IteratorStart::Latest).await.expect("an iterator");
        fake.write(&shard, 1);
        assert_eq!(indices(&fake.records(&latest, 10).await.expect("a page")), [20]);
        let ahead = IteratorStart::Position(TokenPosition::AtTimestamp(fake.wall().plus(HOUR)));
        assert_eq!(iterator(&fake, &shard, ahead).await, Err(ErrorClass::Invalid));
    }
}

#[tokio::test(start_paused = true)]
async fn iterators_live_fifteen_minutes() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    let first = iterator(&fake, &shard, IteratorStart::Position(TokenPosition::TrimHorizon))
        .await
        .expect("an iterator");
    sleep(ITERATOR_LIFE - Duration::from_secs(1)).await;
    let next =
        fake.records(&first, 10).await.expect("still valid").next_iterator.expect("an open shard");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(class(fake.records(&first, 10).await), ErrorClass::ExpiredIterator);
    fake.records(&next, 10).await.expect("its life began with its answer");
    fake.expire_iterators(&shard);
    assert_eq!(class(fake.records(&next, 10).await), ErrorClass::ExpiredIterator);
    assert_eq!(class(fake.records("nonsense", 10).await), ErrorClass::Invalid);
}

#[tokio::test(start_paused = true)]
async fn records_are_trimmed_after_a_day_and_only_numbers_tell() {
    let fake = FakeUpstream::new(1);
    let shard = fake.add_old_shard(&fake.add_stream("Orders"), None, 25 * HOUR);
    fake.write_with(
        &shard,
        Writing { count: 3, ago: 24 * HOUR - Duration::from_secs(60), ..Writing::default() },
    );
    fake.write(&shard, 2);
    let numbers = fake.numbers(&shard);
    let held = iterator(
        &fake,
        &shard,
        IteratorStart::Position(TokenPosition::AtSequenceNumber(numbers[1])),
    )
    .await
    .expect("an iterator");
    sleep(Duration::from_secs(61)).await;
    assert_eq!(
        read(&fake, &shard, TokenPosition::TrimHorizon).await.0,
        [3, 4],
        "TRIM_HORIZON moves silently"
    );
    assert_eq!(class(fake.records(&held, 10).await), ErrorClass::Trimmed);
    for place in [
        TokenPosition::AtSequenceNumber(numbers[0]),
        TokenPosition::AtSequenceNumber(numbers[2]),
        TokenPosition::AfterSequenceNumber(numbers[2]),
    ] {
        assert_eq!(
            iterator(&fake, &shard, IteratorStart::Position(place)).await,
            Err(ErrorClass::Trimmed)
        );
    }
    assert_eq!(read(&fake, &shard, TokenPosition::AtSequenceNumber(numbers[3])).await.0, [3, 4]);
    let trimmed = fake.truth().shards[0].entries[2].trimmed.expect("trimmed");
    assert!((Duration::from_secs(59)..=Duration::from_secs(61)).contains(&trimmed), "{trimmed:?}");
}

#[tokio::test(start_paused = true)]
async fn empty_pages_come_before_data_but_never_five_in_a_row() {
    let (fake, shard) = FakeUpstream::with_shard(5);
    fake.behave(&shard, |behaviour| {
        behaviour.empties = Empties { chance: 1.0, most: 4, between: true };
        behaviour.page_records = 3;
    });
    fake.write(&shard, 60);
    let mut at = iterator(&fake, &shard, IteratorStart::Position(TokenPosition::TrimHorizon))
        .await
        .expect("an iterator");
    let (mut seen, mut row, mut rows) = (0, 0, Vec::new());
    while seen < 60 {
        let page = fake.records(&at, 1_000).await.expect("a page");
        at = page.next_iterator.expect("an open shard");
        seen += page.entries.len();
        if page.entries.is_empty() {
            row += 1;
        } else {
            rows.push(std::mem::take(&mut row));
        }
    }
    assert_eq!((rows.iter().min(), rows.iter().max()), (Some(&1), Some(&4)), "{rows:?}");
}

#[tokio::test(start_paused = true)]
async fn pages_end_at_their_limits() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.write_with(&shard, Writing { count: 5, padding: 400_000, ..Writing::default() });
    let at = iterator(&fake, &shard, IteratorStart::Position(TokenPosition::TrimHorizon))
        .await
        .expect("an iterator");
    assert_eq!(fake.records(&at, 1_000).await.expect("a page").entries.len(), 2, "a megabyte");
    assert_eq!(fake.records(&at, 1).await.expect("a page").entries.len(), 1, "the limit");
    fake.behave(&shard, |behaviour| behaviour.page_bytes = 10);
    assert_eq!(
        fake.records(&at, 1_000).await.expect("a page").entries.len(),
        1,
        "one record always fits"
    );
    fake.behave(&shard, |behaviour| {
        behaviour.over_limit = true;
        behaviour.page_bytes = usize::MAX;
    });
    assert_eq!(
        fake.records(&at, 1).await.expect("a page").entries.len(),
        5,
        "an emulator without a limit"
    );
}

#[tokio::test(start_paused = true)]
async fn a_script_comes_before_everything_and_calls_are_noted() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    let at = iterator(&fake, &shard, IteratorStart::Position(TokenPosition::TrimHorizon))
        .await
        .expect("an iterator");
    fake.script(
        &shard,
        Operation::GetRecords,
        [Answer::Fail(Fault::Throttle), Answer::Fail(Fault::Hang)],
    );
    assert_eq!(class(fake.records(&at, 10).await), ErrorClass::Throttled);
    let hung = tokio::time::timeout(HOUR, fake.records(&at, 10)).await;
    assert!(hung.is_err(), "it hangs until it is given up");
    let gate = fake.hold(&shard, Operation::GetRecords);
    let at = iterator(&fake, &shard, IteratorStart::Position(TokenPosition::TrimHorizon))
        .await
        .expect("an iterator");
    let (page, ()) = tokio::join!(fake.records(&at, 10), async {
        sleep(Duration::from_secs(3)).await;
        fake.write(&shard, 1);
        gate.open();
    });
    assert_eq!(indices(&page.expect("a page")), [0], "what was written before the gate opened");
    let outcomes: Vec<_> =
        fake.all_calls().into_iter().map(|call| (call.outcome, call.in_flight)).collect();
    let expected = [
        Outcome::Iterator(Some(0)),
        Outcome::Failed(ErrorClass::Throttled),
        Outcome::Abandoned,
        Outcome::Iterator(Some(0)),
        Outcome::Page { entries: 1, more: true },
    ];
    assert_eq!(outcomes, expected.map(|outcome| (outcome, 1)));
    assert_eq!((fake.calls_on(&shard, Operation::GetRecords), fake.script_left()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_answers_and_logs_do_not_depend_on_readers() {
    let run = async |reads: usize| {
        let (fake, shard) = FakeUpstream::with_shard(9);
        fake.behave_all(|behaviour| {
            behaviour.faults = Rates { throttle: 0.3, unavailable: 0.2, ..Rates::NONE }
        });
        for _ in 0..20 {
            fake.write(&shard, 5);
            for _ in 0..reads {
                let _ =
                    iterator(&fake, &shard, IteratorStart::Position(TokenPosition::TrimHorizon))
                        .await;
            }
        }
        fake.truth()
    };
    let (one, two, idle) = (run(2).await, run(2).await, run(0).await);
    assert_eq!(one.calls, two.calls);
    assert!(one.calls.iter().any(|call| call.outcome == Outcome::Failed(ErrorClass::Throttled)));
    let numbers = |truth: &Truth| {
        truth.shards[0].entries.iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&one), numbers(&idle));
}

#[tokio::test(start_paused = true)]
async fn bad_entries_lie_in_their_places() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    for kind in [
        EntryKind::Record,
        EntryKind::Unreadable,
        EntryKind::Unnumbered,
        EntryKind::UnreadableUnnumbered,
    ] {
        fake.write_with(&shard, Writing { kind, ..Writing::default() });
    }
    let number = fake.numbers(&shard)[0];
    let at = iterator(
        &fake,
        &shard,
        IteratorStart::Position(TokenPosition::AfterSequenceNumber(number)),
    )
    .await
    .expect("an iterator");
    let page = fake.records(&at, 10).await.expect("a page");
    let numbered: Vec<_> =
        page.entries.iter().map(|entry| entry.sequence_number().is_some()).collect();
    assert_eq!(numbered, [true, false, false]);
    fake.set_gone(&shard, true);
    assert_eq!(class(fake.records(&at, 10).await), ErrorClass::NotFound);
    assert_eq!(
        fake.describe_stream(&shard.stream, None, None).await.expect("a page").shards.len(),
        1
    );
}
