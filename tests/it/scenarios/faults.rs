//! Faults of the program itself: a panic is told, counted and survived, wherever it happens, and
//! nobody waits for ever.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::upstream::Upstream;

use crate::contract::bad_input::fixture::{name, position};
use crate::sim::fake::{FakeUpstream, ShardRef, Split};
use crate::sim::history::subscribed::{Start, Wish};
use crate::sim::service::Service as _;
use crate::support::client::{At, Client, minutes, pass, seconds};
use crate::support::faulty::{Before, Faulty};
use crate::support::server::{Server, in_time};
use crate::support::watcher::Watcher;

/// An upstream in which the first calls of each operation panic.
fn faulty(fake: &FakeUpstream, listings: u32, iterators: u32, pages: u32) -> Arc<dyn Upstream> {
    let [listings, iterators, pages] = [listings, iterators, pages].map(AtomicU32::new);
    Faulty::over(fake, move |call| {
        let left = match call {
            Before::Streams | Before::IteratorMade => return false,
            Before::Listing | Before::Children => &listings,
            Before::Iterator => &iterators,
            Before::Page => &pages,
        };
        left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
    })
}

fn horizon() -> pb::Position {
    position(pb::IteratorType::TrimHorizon)
}

async fn streamed(server: &Server, shard: &ShardRef, records: usize) {
    let start = Some(pb::shard_start::Start::Position(horizon()));
    let start = pb::ShardStart { shard: Some(name(shard)), start };
    let source = Some(pb::stream_records_request::Source::Start(start));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut stream =
        server.shards().await.stream_records(request).await.expect("streams").into_inner();
    // Heartbeats come whatever happens.
    let all = async {
        let mut seen = 0;
        while seen < records {
            seen += stream.message().await.expect("it goes on").expect("it goes on").records.len();
        }
        seen
    };
    assert_eq!(in_time("what is streamed", all).await, records);
}

#[tokio::test]
async fn a_reader_that_panics_goes_on_for_all_who_follow_the_shard() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    let server = Server::start(faulty(&fake, 0, 2, 2), Limits::default()).await;
    tokio::join!(streamed(&server, &shard, 5), streamed(&server, &shard, 5));
    assert_eq!(server.counted("shardstream_panics_total").await, 4);
    assert_eq!(server.counted("shardstream_shard_readers_active").await, 1);
    server.end().await;
}

#[tokio::test]
async fn a_call_that_panics_while_it_is_put_together_has_failed() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    let left = AtomicU32::new(3);
    let upstream = Faulty::over(&fake, move |call| {
        let meant = call == Before::IteratorMade;
        meant
            && left
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1))
                .is_ok()
    });
    let server = Server::start(upstream, Limits::default()).await;
    tokio::join!(streamed(&server, &shard, 5), streamed(&server, &shard, 5));
    assert_eq!(server.counted("shardstream_panics_total").await, 3);
    let calls = "shardstream_upstream_calls_total{operation=\"GetShardIterator\"";
    assert_eq!(server.counted(calls).await, 4, "each is one call");
    assert_eq!(server.counted("shardstream_shard_readers_active").await, 1);
    server.end().await;
}

/// Wakes as it should, and panics so often: a fault in whatever the task that wakes does then.
struct Rude {
    waker: Mutex<Option<Waker>>,
    left: AtomicU32,
}

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        let waker = self.waker.lock().clone();
        waker.into_iter().for_each(Waker::wake);
        let left =
            self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        assert!(left.is_err(), "a fault, on purpose");
    }
}

/// Waits for what is to come so that the first who wake it panic.
async fn rudely<T>(panics: u32, task: impl Future<Output = T>) -> T {
    let rude = Arc::new(Rude { waker: Mutex::default(), left: AtomicU32::new(panics) });
    let waker = Waker::from(rude.clone());
    let mut task = pin!(task);
    poll_fn(|context| {
        *rude.waker.lock() = Some(context.waker().clone());
        task.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

fn panics(client: &Client, count: u32) -> bool {
    client.server.context.metrics.render().contains(&format!("shardstream_panics_total {count}\n"))
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_task_panics_again_and_again_is_run_again_each_time() {
    let client = Client::new();
    client.fake.write(&client.shard, 5);
    let (mut one, mut other) =
        (client.live(At::Position(horizon())).await, client.live(At::Position(horizon())).await);
    let ((one, _), (other, _)) = tokio::join!(rudely(3, one.records(5)), other.records(5));
    assert_eq!((one, other), (vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 4]));
    assert!(panics(&client, 3));
    assert_eq!(client.server.context.hub.reader_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_survey_whose_task_panics_is_run_again_and_tells_who_waits() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let wish = Wish { stream: client.shard.stream.to_string(), ..Wish::default() };
    let mut watcher = Watcher::start(&client.server, &client.fake, &wish, Start::Horizon).await;
    watcher.settle(seconds(20)).await;
    // It waits for a new listing.
    let told = rudely(1, client.server.subscribe(&wish, Start::Horizon)).await;
    let Err((_, reason)) = told else { panic!("it was let in") };
    assert_eq!(reason, "UPSTREAM_UNAVAILABLE");
    assert!(panics(&client, 1));
    // It rests before it runs again, and whoever comes meanwhile waits.
    pass(Duration::from_millis(50)).await;
    let child =
        client.fake.split(&client.shard, Split { children: 1, ..Split::default() }).remove(0);
    client.fake.write(&child, 3);
    let mut anew = Watcher::start(&client.server, &client.fake, &wish, Start::Horizon).await;
    for watcher in [&mut watcher, &mut anew] {
        watcher.settle(minutes(2)).await;
        assert_eq!(watcher.records(), [(0, vec![0, 1]), (1, vec![0, 1, 2])].into());
    }
    assert!(panics(&client, 1));
}

#[tokio::test]
async fn a_survey_that_panics_goes_on_for_all_who_follow_the_stream() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    let server = Server::start(faulty(&fake, 2, 0, 0), Limits::default()).await;
    let request = pb::WatchShardsRequest { stream: shard.stream.to_string(), ..Default::default() };
    let mut streams = server.streams().await;
    // Whoever asks first is told that it failed, and asks again.
    for left in (0..=2).rev() {
        match streams.watch_shards(request.clone()).await {
            Ok(watch) => {
                let first = in_time("what is watched", watch.into_inner().message()).await;
                if matches!(first, Ok(Some(_))) {
                    break;
                }
                assert!(left > 0, "{first:?}");
            }
            Err(status) => assert!(left > 0, "{status:?}"),
        }
    }
    assert_eq!(server.counted("shardstream_panics_total").await, 2);
    server.end().await;
}
