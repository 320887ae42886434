//! The calls themselves, each in its turn; what their answers say is remembered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::hub::clocks::Clocks;
use crate::hub::discovery::paging::{Endless, Paging};
use crate::hub::rate_limit::Backoff;
use crate::hub::reader::timed;
use crate::lineage::Graph;
use crate::metrics::Metrics;
use crate::model::{ShardId, StreamArn, StreamDescription, TableName};
use crate::upstream::{DescribePage, ErrorClass, Operation, StreamsPage, Upstream, UpstreamError};

use super::cache::ListingCache;
use super::queue::Busy;
use super::turns::{LookupTurns, Wanted};
use super::{AskError, Listing, newest_of};

/// Who asks.
pub(super) struct Desk {
    pub(super) upstream: Arc<dyn Upstream>,
    /// Ours, and how far the upstream's is from it.
    pub(super) times: (Clock, Arc<Clocks>),
    pub(super) metrics: Metrics,
    pub(super) describes: Arc<LookupTurns>,
    pub(super) lists: Arc<LookupTurns>,
    /// The first and the longest pause before a call is tried again.
    pub(super) backoff: (Duration, Duration),
    /// Counts calls, so that those that fail together are not tried again together.
    pub(super) tries: AtomicU64,
    /// Held for one look, never across an await.
    pub(super) memory: Mutex<ListingCache>,
}

impl Desk {
    /// One page of ListStreams: `from` is whose streams are meant, and after which one.
    pub(super) async fn streams_page(
        &self,
        (table, start): (Option<&TableName>, Option<&str>),
        limit: u32,
        wanted: &Wanted,
        goes_on: bool,
    ) -> Result<StreamsPage, AskError> {
        let known = table.is_none_or(|table| self.memory.lock().has_stream(table, now()));
        // Those who list all streams share a turn, as those who ask for one table do.
        let name = known.then(|| table.map_or("", TableName::as_str));
        let turn = |goes_on| self.lists.wait(name, wanted, goes_on);
        let call = || {
            timed(
                Operation::ListStreams,
                &self.metrics,
                self.upstream.list_streams(table, start, limit),
            )
        };
        self.persist(goes_on, turn, call).await.map(|(_, page)| page)
    }

    /// All streams of a table.
    pub(super) async fn streams_of(
        self: Arc<Self>,
        table: TableName,
        wanted: Arc<Wanted>,
    ) -> Result<Arc<[StreamArn]>, AskError> {
        let (mut streams, mut start, mut paging, mut unreadable) =
            (Vec::new(), None, Paging::default(), 0);
        loop {
            let goes_on = start.is_some();
            let page =
                self.streams_page((Some(&table), start.as_deref()), 100, &wanted, goes_on).await?;
            let rows = page.streams.len();
            unreadable += page.unreadable;
            // Some emulators answer for every table whatever was asked.
            streams.extend(
                page.streams.into_iter().map(|stream| stream.arn).filter(|arn| arn.is_of(&table)),
            );
            start = paging
                .next(rows, page.last_evaluated)
                .map_err(|error| endless(Operation::ListStreams, error))?;
            if start.is_none() {
                break;
            }
        }
        if streams.is_empty() && unreadable > 0 {
            // One of those may be it: that the table has no stream is not known.
            return Err(UpstreamError::nonsense(
                Operation::ListStreams,
                "a listed stream cannot be understood",
            )
            .into());
        }
        self.memory.lock().named(&table, newest_of(&streams), now());
        Ok(streams.into())
    }

    /// The stream itself.
    pub(super) async fn describe(
        self: Arc<Self>,
        stream: StreamArn,
        wanted: Arc<Wanted>,
    ) -> Result<StreamDescription, AskError> {
        let page = self.page(&stream, (None, None), &wanted).await;
        let (_, page) = page.inspect_err(|error| self.note_failure(&stream, error))?;
        self.memory.lock().described(&stream, page.description.clone(), now());
        Ok(page.description)
    }

    /// All shards of a stream.
    pub(super) async fn list(
        self: Arc<Self>,
        stream: StreamArn,
        wanted: Arc<Wanted>,
    ) -> Result<Arc<Listing>, AskError> {
        let page = self.page(&stream, (None, None), &wanted).await;
        let (begun, mut page) = page.inspect_err(|error| self.note_failure(&stream, error))?;
        // The first page's word: what the last one says of the stream may be newer than the shards
        // of the first.
        let description = page.description.clone();
        let (mut graph, mut paging, mut unreadable) = (Graph::default(), Paging::default(), 0);
        loop {
            graph.merge(&page.shards);
            unreadable += page.unreadable;
            let next = paging.next(page.shards.len(), page.last_evaluated);
            let Some(last) = next.map_err(|error| endless(Operation::DescribeStream, error))?
            else {
                break;
            };
            (_, page) = self.page(&stream, (None, Some(&last)), &wanted).await?;
        }
        let (shards, pages, ended) = (graph.into_shards(), paging.pages(), Instant::now());
        let listing = Arc::new(Listing {
            description,
            shards,
            unreadable,
            pages,
            begun,
            ended,
            kin: OnceLock::new(),
        });
        self.memory.lock().listed(&stream, &listing, ended.into_std());
        Ok(listing)
    }

    /// What CHILD_SHARDS tells of a shard: rows that may not be its children where the upstream
    /// does not know the filter.
    pub(super) async fn lookup(
        self: Arc<Self>,
        stream: StreamArn,
        of: ShardId,
        wanted: Arc<Wanted>,
    ) -> Result<Arc<Listing>, AskError> {
        let (begun, page) = self.page(&stream, (Some(&of), None), &wanted).await?;
        let DescribePage { description, mut shards, mut unreadable, last_evaluated, date: _ } =
            page;
        let (mut paging, mut rows, mut last) = (Paging::default(), shards.len(), last_evaluated);
        loop {
            let next = paging
                .next(rows, last)
                .map_err(|error| endless(Operation::DescribeStream, error))?;
            let Some(start) = next else { break };
            let (_, page) = self.page(&stream, (Some(&of), Some(&start)), &wanted).await?;
            (rows, last) = (page.shards.len(), page.last_evaluated);
            shards.extend(page.shards);
            unreadable += page.unreadable;
        }
        let ended = Instant::now();
        self.memory.lock().told(&stream, &shards, ended.into_std());
        Ok(Arc::new(Listing {
            description,
            shards,
            unreadable,
            pages: paging.pages(),
            begun,
            ended,
            kin: OnceLock::new(),
        }))
    }

    /// One page of DescribeStream: `from` is whose children are meant, and after which shard.
    /// Whoever asks for what comes after something goes on with what was begun.
    async fn page(
        &self,
        stream: &StreamArn,
        from: (Option<&ShardId>, Option<&ShardId>),
        wanted: &Wanted,
    ) -> Result<(Instant, DescribePage), AskError> {
        let known = self.memory.lock().is_known(stream);
        let turn = |goes_on| self.describes.wait(known.then(|| stream.as_str()), wanted, goes_on);
        let (children_of, start) = from;
        let call = || {
            let call = self.upstream.describe_stream(stream, children_of, start);
            timed(Operation::DescribeStream, &self.metrics, call)
        };
        let (begun, page) = self.persist(start.is_some(), turn, call).await?;
        let (clock, clocks) = &self.times;
        clocks.heard(page.date, clock.now().wall);
        Ok((begun, page))
    }

    /// Makes a call in its turn, and again where its failure may pass at once, as often as the
    /// upstream is worth it; in a turn of its own each time, but never turned away once it was let
    /// in. With the answer comes when the call was made.
    async fn persist<T, W, C>(
        &self,
        mut goes_on: bool,
        turn: impl Fn(bool) -> W,
        call: impl Fn() -> C,
    ) -> Result<(Instant, T), AskError>
    where
        W: Future<Output = Result<(), Busy>>,
        C: Future<Output = Result<T, UpstreamError>>,
    {
        let attempts = self.upstream.traits().attempts;
        let mut backoff = Backoff::new(self.backoff, self.tries.fetch_add(1, Ordering::Relaxed));
        loop {
            turn(goes_on).await.map_err(|busy| self.turned_away(busy))?;
            let begun = Instant::now();
            match call().await {
                Err(error) if error.class.may_pass_soon() && backoff.failures() + 1 < attempts => {
                    let asked = error.retry_after.unwrap_or_default().min(self.backoff.1);
                    tokio::time::sleep(backoff.fail().max(asked)).await;
                    goes_on = true;
                }
                done => return Ok((begun, done?)),
            }
        }
    }

    fn note_failure(&self, stream: &StreamArn, error: &AskError) {
        if let AskError::Upstream(error) = error
            && error.class == ErrorClass::NotFound
        {
            self.memory.lock().lacks_stream(stream, now());
        }
    }

    fn turned_away(&self, busy: Busy) -> AskError {
        self.metrics.limit_rejection("listings");
        AskError::Busy(busy)
    }
}

/// A listing without an end is no answer. It may have one the next time.
fn endless(operation: Operation, error: Endless) -> UpstreamError {
    UpstreamError::nonsense(operation, &error.to_string())
}

pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
