//! The calls for streams and shards, each in its turn; their results are put in the cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::instrument;

use crate::clock::Clock;
use crate::hub::clocks::Clocks;
use crate::hub::discovery::paging::{Endless, Paging};
use crate::hub::rate_limit::Backoff;
use crate::hub::timed_call::timed;
use crate::lineage::Graph;
use crate::metrics::Metrics;
use crate::model::{ShardId, StreamArn, StreamDescription, TableName};
use crate::upstream::{DescribePage, ErrorClass, Operation, StreamsPage, Upstream, UpstreamError};

use super::answers::{AskError, Listing, newest_of};
use super::cache::ListingCache;
use super::queue::Busy;
use super::queue_wait::{JoinedRequesters, QueuedCalls};

/// Makes the calls to the upstream.
pub(super) struct UpstreamCalls {
    pub(super) upstream: Arc<dyn Upstream>,
    /// Our clock, and how far the upstream's is from it.
    pub(super) times: (Clock, Arc<Clocks>),
    pub(super) metrics: Metrics,
    pub(super) describes: Arc<QueuedCalls>,
    pub(super) lists: Arc<QueuedCalls>,
    /// The first and the longest pause before a retry.
    pub(super) backoff: (Duration, Duration),
    /// Counts calls to seed the jitter, so that calls that fail together are not retried together.
    pub(super) tries: AtomicU64,
    /// Held for one access, never across an await.
    pub(super) memory: Mutex<ListingCache>,
}

impl UpstreamCalls {
    /// One page of ListStreams: the streams of `table`, or of all tables, after `start`.
    #[instrument(name = "listing", skip_all, parent = None, fields(table = table.map(display)))]
    pub(super) async fn streams_page(
        &self,
        (table, start): (Option<&TableName>, Option<&str>),
        limit: u32,
        wanted: &JoinedRequesters,
        goes_on: bool,
    ) -> Result<StreamsPage, AskError> {
        let known = table.is_none_or(|table| self.memory.lock().has_stream(table, now()));
        // Callers that list all streams share one name in the queue, as callers for one table do.
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
        wanted: Arc<JoinedRequesters>,
    ) -> Result<Arc<[StreamArn]>, AskError> {
        let (mut streams, mut start, mut paging, mut unreadable) =
            (Vec::new(), None, Paging::default(), 0);
        loop {
            let goes_on = start.is_some();
            let page =
                self.streams_page((Some(&table), start.as_deref()), 100, &wanted, goes_on).await?;
            let rows = page.streams.len();
            unreadable += page.unreadable;
            // Some emulators return streams of every table, whichever was requested.
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
            // The table's stream may be an unparseable row: it is not known that there is none.
            return Err(UpstreamError::nonsense(
                Operation::ListStreams,
                "a listed stream cannot be understood",
            )
            .into());
        }
        self.memory.lock().named(&table, newest_of(&streams), now());
        Ok(streams.into())
    }

    /// The stream's description.
    #[instrument(name = "listing", skip_all, parent = None, fields(%stream))]
    pub(super) async fn describe(
        self: Arc<Self>,
        stream: StreamArn,
        wanted: Arc<JoinedRequesters>,
    ) -> Result<StreamDescription, AskError> {
        let page = self.page(&stream, (None, None), &wanted).await;
        let (_, page) = page.inspect_err(|error| self.note_failure(&stream, error))?;
        self.memory.lock().described(&stream, page.description.clone(), now());
        Ok(page.description)
    }

    /// All shards of a stream.
    #[instrument(name = "listing", skip_all, parent = None, fields(%stream))]
    pub(super) async fn list(
        self: Arc<Self>,
        stream: StreamArn,
        wanted: Arc<JoinedRequesters>,
    ) -> Result<Arc<Listing>, AskError> {
        let page = self.page(&stream, (None, None), &wanted).await;
        let (begun, mut page) = page.inspect_err(|error| self.note_failure(&stream, error))?;
        // Taken from the first page: the description on the last page may be newer than the shards
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

    /// The response to CHILD_SHARDS for a shard. Where the upstream does not know the filter, its
    /// rows may not be the shard's children.
    #[instrument(name = "listing", skip_all, parent = None, fields(%stream, shard = %of))]
    pub(super) async fn lookup(
        self: Arc<Self>,
        stream: StreamArn,
        of: ShardId,
        wanted: Arc<JoinedRequesters>,
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

    /// One page of DescribeStream: `from` is the shard whose children are requested, if any, and
    /// the shard to start after. A page with a start continues a listing and is never refused as
    /// busy.
    async fn page(
        &self,
        stream: &StreamArn,
        from: (Option<&ShardId>, Option<&ShardId>),
        wanted: &JoinedRequesters,
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

    /// Makes a call in its turn, and retries a failure that may pass soon, up to the upstream's
    /// number of attempts. Each attempt waits for its own turn, but only the first can be refused
    /// as busy. Returns when the call was made, and its result.
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

/// The error for a listing that does not end. The next one may.
fn endless(operation: Operation, error: Endless) -> UpstreamError {
    UpstreamError::nonsense(operation, &error.to_string())
}

pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
