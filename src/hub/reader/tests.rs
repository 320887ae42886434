use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::encode::ReadLimit;
use crate::hub::cursor::Cursor;
use crate::hub::shard::poll::{Polled, WaitFor};
use crate::hub::shard::position::ReadPosition;
use crate::hub::{Hub, Runtime, ShardKey};
use crate::limits::ReadingLimits;
use crate::metrics::Metrics;
use crate::model::{
    Fetched, Page, PageEntry, Position, Record, SequenceNumber, ShardId, StreamArn, TableName,
    Timestamp,
};
use crate::upstream::{
    DescribePage, Endpoint, IssuedIterator, IteratorStart, Operation, StreamsPage, Upstream,
    UpstreamError, UpstreamTraits,
};

/// One shard, whose records are numbered from 1. An iterator is the number of records before it.
#[derive(Clone, Default)]
struct Numbers(Arc<AtomicUsize>);

#[async_trait]
impl Upstream for Numbers {
    fn traits(&self) -> UpstreamTraits {
        let region = "us-east-1".to_owned();
        UpstreamTraits {
            region,
            endpoint: Endpoint::Aws,
            at_timestamp: true,
            child_shards: true,
            shared_numbers: false,
            grain: Duration::from_secs(1),
            attempts: 1,
        }
    }

    async fn list_streams(
        &self,
        _: Option<&TableName>,
        _: Option<&str>,
        _: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        Ok(StreamsPage::default())
    }

    async fn describe_stream(
        &self,
        _: &StreamArn,
        _: Option<&ShardId>,
        _: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        Err(UpstreamError::nonsense(Operation::DescribeStream, "nobody asks"))
    }

    async fn shard_iterator(
        &self,
        _: &StreamArn,
        _: &ShardId,
        start: IteratorStart,
    ) -> Result<IssuedIterator, UpstreamError> {
        let before = match start {
            IteratorStart::Position(Position::AfterSequenceNumber(number)) => {
                number.as_str().to_owned()
            }
            IteratorStart::Latest => self.0.load(Ordering::Acquire).to_string(),
            IteratorStart::Position(_) => "0".to_owned(),
        };
        Ok(IssuedIterator { iterator: before, date: None })
    }

    async fn records(&self, iterator: &str, _: u32) -> Result<Fetched, UpstreamError> {
        let (before, written) =
            (iterator.parse::<usize>().expect("ours"), self.0.load(Ordering::Acquire));
        let number = |number: usize| SequenceNumber::parse(&number.to_string()).expect("a number");
        let records = (before + 1..=written)
            .map(|at| Record { sequence_number: Some(number(at)), ..Record::default() });
        let entries = records.map(|record| PageEntry::Record(Box::new(record))).collect();
        Ok(Page { entries, next_iterator: Some(written.to_string()) }.into())
    }
}

async fn read(cursor: &mut Cursor) -> usize {
    loop {
        let polled = cursor
            .next(ReadLimit { records: 100, bytes: 1 << 20, before: None }, WaitFor::Data)
            .await;
        if let Polled::Records(chunk, after) = polled {
            cursor.position = after;
            return chunk.count;
        }
    }
}

/// A hub over one shard.
struct Stage {
    upstream: Numbers,
    hub: Hub,
    clock: Clock,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Stage {
    fn new() -> Self {
        let (upstream, stop) = (Numbers::default(), CancellationToken::new());
        let clock = Clock::starting_at(Timestamp::from_millis(1_717_243_200_000).expect("a time"));
        let (metrics, tasks) = (Metrics::new(), TaskTracker::new());
        let runtime = Runtime {
            clock: clock.clone(),
            metrics,
            tasks: tasks.clone(),
            stop: stop.clone(),
            seed: 1,
        };
        let hub = Hub::new(Arc::new(upstream.clone()), ReadingLimits::default(), runtime);
        Self { upstream, hub, clock, tasks, stop }
    }

    /// A cursor at the horizon.
    fn cursor(&self) -> Cursor {
        let stream = StreamArn::parse("arn:aws:dynamodb:us-east-1:1:table/Orders/stream/label")
            .expect("an ARN");
        let shard = ShardId::parse("shardId-00000001700000000000-00000001").expect("an id");
        let horizon = ReadPosition::asked(Position::TrimHorizon, None, self.clock.now());
        self.hub.cursor(&ShardKey { stream, shard }, horizon).expect("room")
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_by_what_concerns_it_alone() {
    let stage = Stage::new();
    stage.upstream.0.store(3, Ordering::Release);
    let mut cursor = stage.cursor();
    assert_eq!(read(&mut cursor).await, 3);
    let room = ReadLimit { records: 100, bytes: 1 << 20, before: None };
    let mut woken = 0;
    let waits = async {
        loop {
            let polled = cursor.next(room, WaitFor::Data).await;
            assert!(matches!(polled, Polled::Pending(_)), "{polled:?}");
            woken += 1;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(600), waits).await;
    assert!(waited.is_err(), "there is nothing");
    assert!(woken < 6, "{woken} times in ten minutes");
    stage.upstream.0.store(5, Ordering::Release);
    assert_eq!(read(&mut cursor).await, 2);
    drop(cursor);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_begins_anew_loses_nobodys_place() {
    let stage = Stage::new();
    let mut cursors = [(); 2].map(|()| stage.cursor());
    stage.upstream.0.store(3, Ordering::Release);
    for cursor in &mut cursors {
        assert_eq!(read(cursor).await, 3);
        let polled = cursor.poll(ReadLimit { records: 1, bytes: 1, before: None }, WaitFor::Data);
        assert!(matches!(polled, Polled::Pending(_)), "{polled:?}");
    }
    let reader = stage.hub.readers.all().remove(0);
    reader.restart(stage.clock.now());
    for cursor in &mut cursors {
        let polled = cursor.poll(ReadLimit { records: 1, bytes: 1, before: None }, WaitFor::Data);
        assert!(
            matches!(polled, Polled::Pending(pending) if pending.outage.is_some()),
            "it is told"
        );
    }
    stage.upstream.0.store(5, Ordering::Release);
    for cursor in &mut cursors {
        assert_eq!(read(cursor).await, 2);
    }
    drop(cursors);
    stage.end().await;
}
