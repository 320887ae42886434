//! Faults of the program itself: a panic is told, counted and survived, wherever it happens, and nobody waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::upstream::Upstream;

use crate::bad_input::bed::{name, position};
use crate::support::fake::{FakeUpstream, ShardRef};
use crate::support::faulty::{Before, Faulty};
use crate::support::server::{Server, in_time};

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
    let mut stream = server.shards().await.stream_records(request).await.expect("streams").into_inner();
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
async fn a_reader_whose_task_panics_again_and_again_is_run_again_each_time() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    let left = AtomicU32::new(3);
    let upstream = Faulty::over(&fake, move |call| {
        let meant = call == Before::IteratorMade;
        meant && left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok()
    });
    let server = Server::start(upstream, Limits::default()).await;
    tokio::join!(streamed(&server, &shard, 5), streamed(&server, &shard, 5));
    assert_eq!(server.counted("shardstream_panics_total").await, 3);
    let calls = "shardstream_upstream_calls_total{operation=\"GetShardIterator\"";
    assert_eq!(server.counted(calls).await, 1, "those that panicked were the task's fault, no call's");
    assert_eq!(server.counted("shardstream_shard_readers_active").await, 1);
    server.end().await;
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
