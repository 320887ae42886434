//! Faults of the program itself: a panic is told, counted and survived, wherever it happens, and nobody waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shardstream::limits::Limits;
use shardstream::model::{Fetched, ShardId, StreamArn, TableName};
use shardstream::pb;
use shardstream::upstream::{
    DescribePage, IssuedIterator, Start, StreamsPage, Upstream, UpstreamError, UpstreamTraits,
};

use crate::bad_input::bed::{name, position};
use crate::support::fake::{FakeUpstream, ShardRef};
use crate::support::server::Server;

/// What must happen does so long before this.
const NEVER: Duration = Duration::from_secs(60);

/// An upstream in which the first calls of each operation panic.
struct Faulty {
    fake: FakeUpstream,
    listings: AtomicU32,
    iterators: AtomicU32,
    pages: AtomicU32,
}

impl Faulty {
    fn over(fake: &FakeUpstream, listings: u32, iterators: u32, pages: u32) -> Arc<Self> {
        let [listings, iterators, pages] = [listings, iterators, pages].map(AtomicU32::new);
        Arc::new(Self { fake: fake.clone(), listings, iterators, pages })
    }
}

fn fault(left: &AtomicU32) {
    if left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok() {
        panic!("a fault, on purpose");
    }
}

#[async_trait]
impl Upstream for Faulty {
    fn traits(&self) -> UpstreamTraits {
        self.fake.traits()
    }

    async fn list_streams(
        &self,
        table: Option<&TableName>,
        start: Option<&str>,
        limit: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        self.fake.list_streams(table, start, limit).await
    }

    async fn describe_stream(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        fault(&self.listings);
        self.fake.describe_stream(stream, children_of, start).await
    }

    async fn shard_iterator(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        start: Start,
    ) -> Result<IssuedIterator, UpstreamError> {
        fault(&self.iterators);
        self.fake.shard_iterator(stream, shard, start).await
    }

    async fn records(&self, iterator: &str, limit: u32) -> Result<Fetched, UpstreamError> {
        fault(&self.pages);
        Upstream::records(&self.fake, iterator, limit).await
    }
}

fn horizon() -> pb::Position {
    position(pb::IteratorType::TrimHorizon)
}

async fn streamed(server: &Server, shard: &ShardRef, records: usize) {
    let place = Some(pb::shard_start::Place::Position(horizon()));
    let start = pb::ShardStart { shard: Some(name(shard)), place };
    let source = Some(pb::stream_records_request::Source::Start(start));
    let request = pb::StreamRecordsRequest { source, ..Default::default() };
    let mut stream = server.shards().await.stream_records(request).await.expect("streams").into_inner();
    let mut seen = 0;
    while seen < records {
        let message = tokio::time::timeout(NEVER, stream.message()).await.expect("it does not hang");
        seen += message.expect("it goes on").expect("it goes on").records.len();
    }
    assert_eq!(seen, records);
}

#[tokio::test]
async fn a_reader_that_panics_goes_on_for_all_who_follow_the_shard() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    let server = Server::start(Faulty::over(&fake, 0, 2, 2), Limits::default()).await;
    tokio::join!(streamed(&server, &shard, 5), streamed(&server, &shard, 5));
    assert_eq!(server.counted("shardstream_panics_total").await, 4);
    assert_eq!(server.counted("shardstream_shard_readers_active").await, 1);
    server.end().await;
}

#[tokio::test]
async fn a_survey_that_panics_goes_on_for_all_who_follow_the_stream() {
    let (fake, shard) = FakeUpstream::with_shard(3);
    fake.write(&shard, 5);
    let server = Server::start(Faulty::over(&fake, 2, 0, 0), Limits::default()).await;
    let request = pb::WatchShardsRequest { stream: shard.stream.to_string(), ..Default::default() };
    let mut streams = server.streams().await;
    // Whoever asks first is told that it failed, and asks again.
    for left in (0..=2).rev() {
        match streams.watch_shards(request.clone()).await {
            Ok(watch) => {
                let first = tokio::time::timeout(NEVER, watch.into_inner().message()).await.expect("it does not hang");
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
