//! Everybody gets a lane, memory and a turn: many places of one shard, many shards in one memory.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures::future::join_all;
use shardstream::encode::{ReadLimit, encode};
use shardstream::hub::shard::poll::Poller;
use shardstream::hub::shard::schedule::Action;
use shardstream::hub::shard::state::ShardState;
use shardstream::hub::shard::upstream_behaviour::UpstreamBehaviour;
use shardstream::hub::{Polled, ReadPosition, WaitFor};
use shardstream::limits::{Limits, ReadingLimits};
use shardstream::model::{Now, Page, PageEntry, Position, Record, SequenceNumber, Timestamp};
use shardstream::pb;
use shardstream::upstream::{IssuedIterator, IteratorStart, Operation};

use crate::sim::fake::{Answer, FakeUpstream, Fault, Shared, Writing};
use crate::support::client::{
    At, Client, Live, horizon, indexes, latest, minutes, pass, seconds, since, span,
};

const ROOM: ReadLimit = ReadLimit { records: 1_000, bytes: 1 << 20, before: None };

/// What must not take long.
async fn soon<T>(what: &str, done: impl Future<Output = T>) -> T {
    tokio::time::timeout(seconds(20), done)
        .await
        .unwrap_or_else(|_| panic!("{what} waits for ever"))
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_at_latest_leave_lanes_to_all_others() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    pass(minutes(1)).await;
    let mut leases = vec![];
    for session in 0..40 {
        leases.push(soon("a session at LATEST", client.lease(latest())).await);
        pass(seconds(5)).await;
        client.fake.write(&client.shard, 1);
        assert_eq!(client.fake.numbers(&client.shard).len(), session + 2);
    }
    let from_horizon = soon("a reader at the horizon", client.read(horizon())).await.expect("read");
    assert_eq!(from_horizon.records.len(), 41);
    soon("a stream at LATEST", async {
        client.live(latest()).await.heartbeat_that(|beat| beat.at_tip).await
    })
    .await;
    // Whoever's iterator made way lost nothing by it; what was written just before may come, too.
    for (session, lease) in leases.iter().enumerate() {
        let answer = client.get_with(lease, |request| request.wait = Some(span(seconds(30))));
        let given = indexes(&soon("an idle session", answer).await.expect("read").records);
        let first = session as u64 + 1;
        assert!(
            given.first().is_some_and(|index| (first - 1..=first).contains(index)),
            "session {session}: {given:?}"
        );
        assert_eq!(given.last(), Some(&40));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_passed_at_one_number_is_not_read_page_by_page_again() {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.share_numbers(Shared::Whole);
    let small = |limits: &mut Limits| {
        (limits.reading.window_bytes_per_shard, limits.reading.page_bytes) = (100 << 10, 80 << 10);
    };
    let client = Client::over(fake.clone(), shard.clone(), small);
    fake.write_with(&shard, Writing { count: 10, padding: 60_000, ..Writing::default() });
    let (records, token) = client.live(horizon()).await.records(8).await;
    assert_eq!(records, [0, 1, 2, 3, 4, 5, 6, 7]);
    let elsewhere = Client::over(fake, shard, small);
    elsewhere.forget_calls();
    assert_eq!(elsewhere.live(At::Token(token)).await.records(1).await.0, [8]);
    assert!(elsewhere.reads() <= 2, "{:?}", elsewhere.calls());
}

/// A stream that has read twenty pages of ten, and stands at the tip.
async fn window_of_twenty_pages() -> (Client, Live) {
    let client = Client::new();
    client.fake.behave(&client.shard, |shard| shard.page_records = 10);
    client.fake.write(&client.shard, 200);
    let mut live = client.live(horizon()).await;
    live.records(200).await;
    live.heartbeat_that(|beat| beat.at_tip).await;
    (client, live)
}

/// What a replay of everything costs.
async fn cost_of_a_replay(client: &Client, records: usize) -> usize {
    let calls = || {
        client.calls().iter().filter(|call| call.operation == Operation::GetShardIterator).count()
    };
    client.forget_calls();
    let mut replay = client.live(horizon()).await;
    replay.records(records).await;
    calls() + client.reads()
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_at_latest_leaves_the_window_alone() {
    let (client, mut live) = window_of_twenty_pages().await;
    let lease = client.lease(latest()).await;
    client.fake.write(&client.shard, 1);
    live.records(1).await;
    assert!(cost_of_a_replay(&client, 201).await <= 2);
    // Nor does one that goes on from there.
    assert_eq!(client.given(&lease).await, [200]);
    client.fake.write(&client.shard, 1);
    assert_eq!(client.given(&lease).await, [201]);
    live.records(1).await;
    assert!(cost_of_a_replay(&client, 202).await <= 3);
}

#[tokio::test(start_paused = true)]
async fn latest_iterators_of_their_own_leave_the_window_alone() {
    let client = Client::new();
    client.fake.behave(&client.shard, |shard| shard.page_records = 10);
    client.fake.write(&client.shard, 200);
    // While nobody has seen the tip each has its own.
    let mut live = client.live(horizon()).await;
    let leases = join_all((0..20).map(|_| client.lease(latest()))).await;
    live.records(200).await;
    client.fake.write(&client.shard, 1);
    live.records(1).await;
    assert_eq!(client.given(&leases[0]).await, [200]);
    client.fake.write(&client.shard, 1);
    live.records(1).await;
    assert!(cost_of_a_replay(&client, 202).await <= 3);
}

/// A shard with two lanes, and three cursors that wait at places of their own: the third for a
/// lane.
fn crowded(now: Now) -> (ShardState, [(ReadPosition, Option<u64>); 3]) {
    let limits = ReadingLimits { lanes_per_shard: 2, ..ReadingLimits::default() };
    let mut shard = ShardState::new(
        limits,
        UpstreamBehaviour { at_timestamp: true, shared_numbers: false, is_scylla: false },
        1,
    );
    let cursors = ["200", "500", "100"].map(|number| {
        let place = Position::AfterSequenceNumber(SequenceNumber::parse(number).expect("a number"));
        let (mut position, mut want) = (ReadPosition::asked(place, None, now), None);
        assert!(matches!(
            shard.poll(
                Poller { position: &mut position, waiter: &mut want },
                ROOM,
                WaitFor::Data,
                now
            ),
            Polled::Pending(_)
        ));
        (position, want)
    });
    assert!(shard.take_needs_scheduling());
    (shard, cursors)
}

/// Does what the shard wants done until it waits: until when.
fn work(shard: &mut ShardState, now: Now, opened: &mut Vec<IteratorStart>) -> Option<Instant> {
    loop {
        match shard.next(now) {
            Action::Open { lane, start } => {
                opened.push(start);
                let issued = IssuedIterator { iterator: "iterator".into(), date: None };
                shard.opened(lane, now, Ok(issued), now);
            }
            Action::Read(page) => {
                // Each place has a record of its own, so that no lane reaches another's.
                let next = page
                    .cut
                    .known
                    .0
                    .expect("a number")
                    .to_string()
                    .parse::<u64>()
                    .expect("a small one")
                    + 50;
                let sequence_number = SequenceNumber::parse(&next.to_string()).ok();
                let record = Record { sequence_number, ..Record::default() };
                let entries = vec![PageEntry::Record(Box::new(record))];
                let answer = Page { entries, next_iterator: Some("next".into()) };
                let read = encode(answer.into(), page.cut, 1 << 20, None).expect("a page");
                shard.answered(page.lane, now, Ok(read), now);
            }
            Action::Wait(until) => return until,
            other => panic!("{other:?}"),
        }
    }
}

fn now(after: Duration) -> Now {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let wall = Timestamp::from_millis(1_717_243_200_250).expect("a time");
    Now { at: *BEGUN + after, wall: wall.plus(after) }
}

#[test]
fn a_lane_that_is_let_go_wakes_who_waits_for_one() {
    let (mut shard, [(_, mut first), _, (third, _)]) = crowded(now(Duration::ZERO));
    shard.leave(&mut first);
    assert!(shard.take_needs_scheduling(), "somebody waits for the lane");
    let mut opened = vec![];
    work(&mut shard, now(Duration::ZERO), &mut opened);
    assert!(opened.contains(&IteratorStart::Position(third.base.position())), "{opened:?}");
}

#[test]
fn a_lane_whose_finds_nobody_takes_goes_to_who_waits_for_one() {
    let (mut shard, [first, second, (third, _)]) = crowded(now(Duration::ZERO));
    let mut opened = vec![];
    work(&mut shard, now(Duration::ZERO), &mut opened);
    for (mut position, mut want) in [first, second] {
        assert!(matches!(
            shard.peek(
                Poller { position: &mut position, waiter: &mut want },
                ROOM,
                WaitFor::Data,
                now(Duration::ZERO)
            ),
            Polled::Records(..)
        ));
    }
    let linger = ReadingLimits::default().reader_idle_timeout;
    let until = work(&mut shard, now(seconds(1)), &mut opened).expect("it looks again");
    assert!(
        until <= now(linger).at
            && !opened.contains(&IteratorStart::Position(third.base.position())),
        "{opened:?}"
    );
    work(&mut shard, now(linger), &mut opened);
    assert!(opened.contains(&IteratorStart::Position(third.base.position())), "{opened:?}");
}

fn memory(bytes: usize) -> impl FnOnce(&mut Limits) {
    move |limits| limits.reading.window_bytes = bytes
}

fn large(count: usize) -> Writing {
    Writing { count, padding: 5_000, ..Writing::default() }
}

/// Forty shards whose windows are filled and that are then written to all the time: calls in twenty
/// seconds.
async fn calls_of_forty(window_bytes: usize) -> usize {
    let client = Client::limited(memory(window_bytes));
    let shards: Vec<_> =
        (0..40).map(|_| client.fake.add_shard(&client.shard.stream, None)).collect();
    client.fake.behave_all(|shard| {
        shard.latency = (Duration::from_millis(90), Duration::from_millis(110))
    });
    let mut streams = vec![];
    for shard in &shards {
        client.fake.write_with(shard, large(50));
        streams.push(client.on(shard).live(horizon()).await);
    }
    join_all(streams.iter_mut().map(|live| live.records(50))).await;
    let before = client.fake.calls(Operation::GetRecords);
    let writing = async {
        for _ in 0..80 {
            pass(seconds(1) / 4).await;
            for shard in &shards {
                client.fake.write_with(shard, large(1));
            }
        }
        client.fake.calls(Operation::GetRecords) - before
    };
    let reading = join_all(streams.iter_mut().map(|live| live.records(80)));
    let (_, calls) = tokio::join!(reading, writing);
    assert!(client.server.context.hub.window_bytes() <= window_bytes);
    calls
}

#[tokio::test(start_paused = true)]
async fn full_windows_do_not_slow_reading_down() {
    let (roomy, full) = (calls_of_forty(1 << 30).await, calls_of_forty(8 << 20).await);
    assert!(roomy > 40 * 20, "{roomy} calls: the scenario reads at all");
    assert!(full * 10 >= roomy * 9, "{full} calls with full windows, {roomy} with room");
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_keep_no_memory_from_others() {
    let client = Client::limited(memory(16 << 20));
    let shards: Vec<_> =
        (0..60).map(|_| client.fake.add_shard(&client.shard.stream, None)).collect();
    let mut streams = vec![];
    for shard in &shards {
        // Nothing is known of the first ones; of the others that their pages are large.
        let known = streams.len() >= 30;
        let mut live = client.on(shard).live(horizon()).await;
        if known {
            client.fake.write_with(shard, large(100));
            live.records(100).await;
        }
        client.fake.script(shard, Operation::GetRecords, vec![Answer::Fail(Fault::Hang); 2]);
        client.fake.write_with(shard, large(1));
        streams.push(live);
    }
    let _ =
        tokio::time::timeout(seconds(10), join_all(streams.iter_mut().map(|live| live.records(1))))
            .await;
    client.fake.write(&client.shard, 3);
    let mut healthy = client.live(horizon()).await;
    let begun = client.fake.now();
    healthy.records(3).await;
    assert!(client.fake.now() - begun < seconds(3), "{:?}", client.fake.now() - begun);
    let until = pb::Until { record_count: 3, ..Default::default() };
    let again =
        client.live_with(horizon(), |request| request.until = Some(until)).await.rest().await;
    assert_eq!(again.records, [0, 1, 2]);
}

/// A stand-in that does not know AT_TIMESTAMP: so many pages of ten, all older than the time that
/// comes with it, and three records that are not; the shard has two lanes, and a window of 100 KiB.
async fn long_search(pages: usize) -> (Client, Timestamp) {
    let (fake, shard) = FakeUpstream::with_shard(1);
    fake.set_traits(|traits| traits.at_timestamp = false);
    fake.behave(&shard, |shard| shard.page_records = 10);
    fake.write_with(&shard, Writing { count: pages * 10, padding: 500, ..Writing::default() });
    let client = Client::over(fake, shard, |limits| {
        (limits.reading.window_bytes_per_shard, limits.reading.page_bytes) = (100 << 10, 80 << 10);
    });
    pass(minutes(5)).await;
    let since = client.fake.wall();
    client.fake.write(&client.shard, 3);
    (client, since)
}

#[tokio::test(start_paused = true)]
async fn searches_by_time_make_way_for_who_waits_for_a_lane() {
    let (client, time) = long_search(1_000).await;
    // Four places, for what was created since any of these times is the same.
    let searches = (0..4).map(|ago| client.live(since(time.minus(minutes(ago)))));
    let searches = join_all(searches).await;
    let found = async {
        let each = searches.into_iter().map(async |mut live: Live| live.records(3).await.0);
        tokio::time::timeout(minutes(30), join_all(each)).await.expect("found in time")
    };
    let read = async {
        pass(minutes(1)).await;
        soon("a reader at the horizon", async { client.live(horizon()).await.records(10).await.0 })
            .await
    };
    let (found, read) = tokio::join!(found, read);
    assert_eq!(read, (0..10).collect::<Vec<_>>());
    assert_eq!(found, vec![vec![10_000, 10_001, 10_002]; 4]);
}
