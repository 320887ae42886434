//! Many clients, one reader: the upstream sees the calls of one, everybody arrives, and nobody is
//! disturbed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{LocalBoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use shardstream::limits::Limits;
use shardstream::upstream::Operation;

use crate::sim::fake::{FakeUpstream, ShardRef};
use crate::sim::history::{Position, Room, What};
use crate::sim::inprocess::InProcess;
use crate::sim::service::{Read, Service as _, Source, Start, Stream};
use crate::support::client::{Client, horizon, hours, pass, seconds};

const ROOM: Room = Room { records: 1_000, bytes: 256 << 10 };

/// Runs a scenario on one thread and a paused clock.
fn scenario<T>(body: impl AsyncFnOnce(FakeUpstream, ShardRef) -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (fake, shard) = FakeUpstream::with_shard(7);
        body(fake, shard).await
    })
}

fn many(limit: usize) -> Limits {
    let mut limits = Limits::default();
    limits.streams.streams = limit;
    limits.sessions.lease_default = Duration::from_secs(3_600);
    limits
}

async fn stream(
    server: &InProcess,
    shard: &ShardRef,
    start: Start,
) -> LocalBoxStream<'static, What> {
    stream_with(server, shard, start, Duration::from_secs(10)).await
}

async fn stream_with(
    server: &InProcess,
    shard: &ShardRef,
    start: Start,
    heartbeat: Duration,
) -> LocalBoxStream<'static, What> {
    let asked = Stream {
        source: Source::Start(shard.clone(), start),
        room: ROOM,
        heartbeat,
        until_records: None,
        pass_gaps: false,
        skip_unreadable: false,
    };
    server.stream(asked).await.expect("opened")
}

/// How many records a stream gives until it has given `enough`.
async fn take(stream: &mut LocalBoxStream<'static, What>, enough: usize) -> usize {
    let mut taken = 0;
    while taken < enough {
        match stream.next().await.expect("goes on") {
            What::Records(batch) => taken += batch.entries.len(),
            What::Heartbeat { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    taken
}

/// Five hundred seconds of a shard with a record each ten, followed by so many streams beside so
/// many idle sessions; how many calls that took, and what each stream got.
fn calls_of(streams: usize, sessions: usize) -> (usize, usize, Vec<usize>) {
    scenario(async |fake, shard| {
        let server = InProcess::new(&fake, many(2_000), 1);
        fake.write(&shard, 10);
        let mut opened = vec![];
        for _ in 0..streams {
            opened.push(stream(&server, &shard, Start::Position(Position::Horizon)).await);
        }
        let held =
            join_all((0..sessions).map(|_| server.open(&shard, Start::Position(Position::Latest))))
                .await;
        assert!(held.iter().all(Result::is_ok));
        fake.forget_calls();
        let writing = async {
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_secs(10)).await;
                fake.write(&shard, 1);
            }
        };
        let reading = join_all(opened.iter_mut().map(|stream| take(stream, 60)));
        let (taken, ()) = tokio::join!(reading, writing);
        let counts = (fake.calls(Operation::GetRecords), fake.calls(Operation::GetShardIterator));
        drop(opened);
        server.shut_down().await;
        (counts.0, counts.1, taken)
    })
}

#[test]
fn a_thousand_streams_and_ten_thousand_idle_sessions_cost_the_calls_of_one() {
    let (of_one, iterators_of_one, _) = calls_of(1, 0);
    let (of_all, iterators_of_all, taken) = calls_of(1_000, 10_000);
    assert_eq!(taken, vec![60; 1_000]);
    assert!(
        iterators_of_all <= iterators_of_one + 1,
        "{iterators_of_all} iterators, {iterators_of_one} for one"
    );
    // The moments at which a lane may rest differ by a look or two.
    assert!(of_all <= of_one + 5, "{of_all} calls, {of_one} for one client");
    assert!(of_one > 100, "the scenario polls at all: {of_one}");
}

/// A stream that counts how often it was woken and had nothing more to say.
fn counting(
    mut stream: LocalBoxStream<'static, What>,
    woken: Rc<Cell<usize>>,
) -> LocalBoxStream<'static, What> {
    let counting = futures::stream::poll_fn(move |context| {
        let polled = stream.poll_next_unpin(context);
        woken.set(woken.get() + usize::from(polled.is_pending()));
        polled
    });
    counting.boxed_local()
}

/// Counts records for so long.
async fn listen(crowd: &mut SelectAll<LocalBoxStream<'static, What>>, time: Duration) -> usize {
    let (mut records, end) = (0, tokio::time::Instant::now() + time);
    // As many tasks in a server: one that polls so many would be made to poll them again and again.
    while let Ok(what) =
        tokio::task::unconstrained(tokio::time::timeout_at(end, crowd.next())).await
    {
        match what.expect("goes on") {
            What::Records(batch) => records += batch.entries.len(),
            What::Heartbeat { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    records
}

#[test]
fn an_hour_of_empty_answers_wakes_a_crowd_for_its_heartbeats_only() {
    scenario(async |fake, shard| {
        let (clients, heartbeats) = (2_000, 12);
        let server = InProcess::new(&fake, many(clients + 1), 1);
        fake.write(&shard, 3);
        let woken = Rc::new(Cell::new(0));
        let mut crowd = SelectAll::new();
        for _ in 0..clients {
            let stream = stream_with(
                &server,
                &shard,
                Start::Position(Position::Horizon),
                Duration::from_secs(300),
            )
            .await;
            crowd.push(counting(stream, woken.clone()));
        }
        assert_eq!(listen(&mut crowd, Duration::from_secs(120)).await, 3 * clients);

        fake.forget_calls();
        woken.set(0);
        assert_eq!(listen(&mut crowd, Duration::from_secs(3_600)).await, 0);
        assert!(fake.calls(Operation::GetRecords) > 3_000, "the shard is asked all the time");
        assert!(woken.get() <= heartbeats * clients, "{} times in an hour", woken.get());

        // One that comes late and reads everything disturbs nobody, and news still reach everybody.
        woken.set(0);
        let mut late = stream(&server, &shard, Start::Position(Position::Horizon)).await;
        assert_eq!(take(&mut late, 3).await, 3);
        assert_eq!(listen(&mut crowd, Duration::from_secs(1)).await, 0);
        assert!(woken.get() <= clients / 100, "{} times for one who came", woken.get());
        fake.write(&shard, 1);
        assert_eq!(listen(&mut crowd, Duration::from_secs(2)).await, clients);
        drop((crowd, late));
        server.shut_down().await;
    });
}

#[test]
fn an_idle_shard_wakes_nobody_who_waits_for_a_record() {
    scenario(async |fake, shard| {
        let clients = 500;
        let server = InProcess::new(&fake, many(clients + 1), 1);
        let sessions = (0..clients).map(|_| server.open(&shard, Start::Position(Position::Latest)));
        let sessions = join_all(sessions).await;
        let woken = Rc::new(Cell::new(0));
        let reads = sessions.into_iter().map(|session| {
            let read = Read {
                source: Source::Lease(session.expect("opened").lease),
                room: ROOM,
                wait: Some(Duration::from_secs(60)),
                request_id: None,
                skip_unreadable: false,
            };
            let (server, woken) = (server.clone(), woken.clone());
            let mut read = async move { server.read(read).await }.boxed_local();
            futures::future::poll_fn(move |context| {
                woken.set(woken.get() + 1);
                read.poll_unpin(context)
            })
        });
        let mut reads = join_all(reads);
        let early = Duration::from_secs(50);
        assert!(tokio::time::timeout(early, &mut reads).await.is_err(), "there is nothing");
        assert!(fake.calls(Operation::GetRecords) > 30, "the shard is asked all the time");
        assert!(woken.get() <= 8 * clients, "{} times in a minute", woken.get());
        fake.write(&shard, 1);
        let found = tokio::time::timeout(Duration::from_secs(5), reads).await.expect("news");
        let full = |answer: &Result<(What, bool), _>| matches!(answer, Ok((What::Records(batch), _)) if batch.entries.len() == 1);
        assert!(found.iter().all(full), "{:?}", found[0]);
        server.shut_down().await;
    });
}

#[test]
fn idle_sessions_at_latest_share_iterators_and_a_call_in_ten_minutes() {
    scenario(async |fake, shard| {
        let server = InProcess::new(&fake, many(10), 1);
        let sessions =
            join_all((0..500).map(|_| server.open(&shard, Start::Position(Position::Latest))))
                .await;
        let leases: Vec<String> =
            sessions.into_iter().map(|session| session.expect("opened").lease).collect();
        fake.forget_calls();
        tokio::time::sleep(Duration::from_secs(50 * 60)).await;
        let calls = fake.calls(Operation::GetRecords) + fake.calls(Operation::GetShardIterator);
        // Those who asked while the first iterator was on its way share a second one: a LATEST is
        // never older than its call.
        assert!((1..=2 * 6).contains(&calls), "{calls} calls in 50 minutes");
        fake.write(&shard, 3);
        let reads = leases.iter().map(|lease| {
            server.read(Read {
                source: Source::Lease(lease.clone()),
                room: ROOM,
                wait: Some(Duration::from_secs(30)),
                request_id: None,
                skip_unreadable: false,
            })
        });
        for read in join_all(reads).await {
            let (what, _) = read.expect("readable");
            assert!(matches!(&what, What::Records(batch) if batch.entries.len() == 3), "{what:?}");
        }
        server.shut_down().await;
    });
}

/// Streams at LATEST that begin one after the other over a shard without a record: the calls of ten
/// minutes once all are placed, then what each gets of three records.
fn calls_at_an_empty_tip(streams: u64) -> (usize, Vec<usize>) {
    scenario(async |fake, shard| {
        let server = InProcess::new(&fake, many(1_000), 1);
        let opening = (0..streams).map(|client| {
            let (server, shard) = (&server, &shard);
            async move {
                // A LATEST of its own while the calls of those before are still on their way, and
                // between their answers.
                tokio::time::sleep(Duration::from_millis(17 * client)).await;
                let mut stream = stream(server, shard, Start::Position(Position::Latest)).await;
                let first = stream.next().await.expect("goes on");
                assert!(matches!(first, What::Heartbeat { .. }), "{first:?}");
                stream
            }
        });
        let mut opened = join_all(opening).await;
        let calls = || fake.calls(Operation::GetRecords) + fake.calls(Operation::GetShardIterator);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = calls();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let calls = calls() - before;
        fake.write(&shard, 3);
        let taken = join_all(opened.iter_mut().map(|stream| take(stream, 3))).await;
        drop(opened);
        server.shut_down().await;
        (calls, taken)
    })
}

#[test]
fn a_hundred_streams_at_an_empty_tip_cost_the_calls_of_one() {
    let (of_one, _) = calls_at_an_empty_tip(1);
    let (of_all, taken) = calls_at_an_empty_tip(100);
    assert_eq!(taken, vec![3; 100]);
    assert!(of_one > 100, "the scenario polls at all: {of_one}");
    assert!(of_all <= of_one + 5, "{of_all} calls, {of_one} for one client");
}

#[test]
fn fifty_clients_at_fifty_places_far_behind_all_arrive_inside_one_budget() {
    scenario(async |fake, shard| {
        let server = InProcess::new(&fake, many(100), 1);
        let (clients, apart, page) = (50, 400, 100);
        fake.behave(&shard, |behaviour| behaviour.page_records = page);
        fake.write(&shard, clients * apart);
        let numbers = fake.numbers(&shard);
        let mut streams = vec![];
        for client in 0..clients {
            let place = Position::After(numbers[client * apart]);
            streams.push(stream(&server, &shard, Start::Position(place)).await);
        }
        let began = tokio::time::Instant::now();
        let arrivals = streams.iter_mut().enumerate().map(|(client, stream)| async move {
            let behind = clients * apart - client * apart - 1;
            assert_eq!(take(stream, behind).await, behind, "client {client}");
            began.elapsed()
        });
        let arrived = join_all(arrivals).await;
        let seconds = arrived.iter().max().expect("fifty").as_secs_f64();
        let calls = fake.calls(Operation::GetRecords) + fake.calls(Operation::GetShardIterator);
        let per_second = calls as f64 / seconds;
        assert!(per_second <= 5.2, "{per_second} calls a second");
        // Everybody reading alone would take the sum of all distances; merging makes it little more
        // than the longest way.
        let alone: usize = (0..clients).map(|client| (clients - client) * apart / page).sum();
        assert!(calls < alone / 4, "{calls} calls; {alone} if nobody shared");
        drop(streams);
        server.shut_down().await;
    });
}

/// When each of 200 live records reached a healthy client, with and without a client that does not
/// read.
fn arrivals(stalled: bool) -> Vec<Duration> {
    scenario(async |fake, shard| {
        let server = InProcess::new(&fake, many(10), 1);
        fake.write(&shard, 1);
        let mut silent = stream(&server, &shard, Start::Position(Position::Horizon)).await;
        if stalled {
            assert_eq!(take(&mut silent, 1).await, 1);
        }
        let mut healthy = stream(&server, &shard, Start::Position(Position::Horizon)).await;
        take(&mut healthy, 1).await;
        let began = fake.now();
        let writing = async {
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_millis(700)).await;
                fake.write(&shard, 1);
            }
        };
        let reading = async {
            let mut at = vec![];
            while at.len() < 200 {
                let taken = take(&mut healthy, 1).await;
                at.extend(std::iter::repeat_n(fake.now() - began, taken));
            }
            at
        };
        let (at, ()) = tokio::join!(reading, writing);
        drop((healthy, silent));
        server.shut_down().await;
        at
    })
}

#[test]
fn a_client_that_stops_reading_changes_nothing_for_the_others() {
    assert_eq!(arrivals(true), arrivals(false));
}

#[test]
fn memory_stays_inside_its_bounds_however_much_is_read() {
    scenario(async |fake, shard| {
        let mut limits = many(100);
        limits.reading.window_bytes_per_shard = 256 << 10;
        limits.reading.page_bytes = 32 << 10;
        limits.reading.window_bytes = 128 << 10;
        limits.reading.shard_calls_per_second = 100.0;
        let most = limits.reading.window_bytes;
        let server = InProcess::new(&fake, limits, 1);
        fake.write(&shard, 20_000);
        let mut streams = vec![];
        for _ in 0..5 {
            streams.push(stream(&server, &shard, Start::Position(Position::Horizon)).await);
        }
        let hub = server.context.hub.clone();
        let reading = join_all(streams.iter_mut().map(|stream| async {
            let mut taken = 0;
            while taken < 20_000 {
                taken += take(stream, 1).await;
                assert!(hub.window_bytes() <= most, "{} of {most}", hub.window_bytes());
            }
        }));
        reading.await;
        drop(streams);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(
            (hub.window_bytes(), hub.reader_count()),
            (0, 0),
            "nobody follows: nothing is kept"
        );
        server.shut_down().await;
    });
}

/// Room for four pages on their way, for more shards than that, whose pages all fit once they have
/// come.
#[test]
fn pages_on_their_way_do_not_push_out_those_that_came() {
    scenario(async |fake, shard| {
        let mut limits = many(100);
        limits.reading.page_bytes = 64 << 10;
        limits.reading.window_bytes_per_shard = 256 << 10;
        limits.reading.window_bytes = 256 << 10;
        let server = InProcess::new(&fake, limits, 1);
        let shards: Vec<_> = (0..40).map(|_| fake.add_shard(&shard.stream, None)).collect();
        let mut streams = vec![];
        for shard in &shards {
            fake.write(shard, 10);
            streams.push(stream(&server, shard, Start::Position(Position::Horizon)).await);
        }
        let taken = join_all(streams.iter_mut().map(|stream| take(stream, 10))).await;
        assert_eq!(taken, vec![10; 40]);
        let full = |shard| fake.calls_on(shard, Operation::GetRecords);
        let looks: Vec<usize> = shards.iter().map(full).collect();
        assert!(
            looks.iter().all(|looks| *looks <= 2),
            "each page was read once, and perhaps the tip: {looks:?}"
        );
        drop(streams);
        server.shut_down().await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_has_run_out_makes_room_at_once() {
    let client = Client::limited(|limits| limits.sessions.sessions = 1);
    let lease = client.lease(horizon()).await;
    pass(seconds(1)).await;
    client.session(&lease).await;
    pass(hours(1) + seconds(1)).await;
    client.lease(horizon()).await;
}
