//! Listings: stream names resolved and shards listed page by page, within the budgets of
//! DescribeStream and ListStreams, however many clients ask.
//!
//! What several callers want is requested once, and a recent result, found or not found, is not
//! requested again (`single_flight`, `cache`). Callers that need a call wait in turn ([`queue`]).

mod answers;
mod cache;
mod expiring_map;
mod queue;
mod queue_wait;
mod single_flight;
mod stream_lookup;
mod upstream_calls;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::limits::ReadingLimits;
use crate::metrics::Metrics;
use crate::model::{ShardId, StreamArn, StreamDescription, StreamStatus, TableName};
use crate::upstream::{StreamsPage, Upstream, UpstreamError};

use super::super::clocks::Clocks;
use super::super::rate_limit::Budget;
use super::catalog::CHILDREN_SETTLE;

use answers::{AskError, PageKey, of_running};
use cache::ListingCache;
use queue_wait::{JoinedRequesters, QueuedCalls};
use single_flight::Flights;
use upstream_calls::{UpstreamCalls, now};

pub use answers::ListingError;
pub(in crate::hub) use answers::{Listing, not_found};
pub(crate) use cache::LISTING_AGE;
pub(crate) use queue::Requester;
pub(crate) use stream_lookup::StreamLookup;

/// How long after its creation a shard may be missing from listings.
const LISTING_LAG: Duration = Duration::from_secs(10);

/// How far AWS's clock may be ahead of what is known of it.
const CLOCKS_APART: Duration = Duration::from_secs(300);

/// The rate, over all callers, at which shards that no listing shows may be tried.
const TRIES_PER_SECOND: f64 = 2.0;

/// How long a caller that was refused a place among those waiting to try pauses before it asks
/// again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The streams and shards of an upstream, looked up for all clients.
pub(crate) struct Listings {
    calls: Arc<UpstreamCalls>,
    pages: Flights<PageKey, StreamsPage>,
    tables: Flights<TableName, Arc<[StreamArn]>>,
    descriptions: Flights<StreamArn, StreamDescription>,
    listings: Flights<StreamArn, Arc<Listing>>,
    looks: Flights<(StreamArn, ShardId), Arc<Listing>>,
    /// Tries of shards that no listing shows.
    tries: QueuedCalls,
}

impl Listings {
    /// Listings of `upstream`, within the budgets of `limits`.
    pub(crate) fn new(
        upstream: Arc<dyn Upstream>,
        limits: &ReadingLimits,
        times: (Clock, Arc<Clocks>),
        metrics: Metrics,
    ) -> Self {
        let describes = Arc::new(QueuedCalls::new(Budget::new(limits.describe_calls_per_second)));
        let lists = Arc::new(QueuedCalls::new(Budget::new(limits.list_calls_per_second)));
        let calls = UpstreamCalls {
            upstream,
            times,
            metrics,
            describes: describes.clone(),
            lists: lists.clone(),
            backoff: limits.backoff,
            tries: AtomicU64::new(0),
            memory: Mutex::new(ListingCache::default()),
        };
        Self {
            pages: Flights::new(lists.clone()),
            tables: Flights::new(lists),
            descriptions: Flights::new(describes.clone()),
            listings: Flights::new(describes.clone()),
            looks: Flights::new(describes),
            tries: QueuedCalls::new(Budget::new(TRIES_PER_SECOND)),
            calls: Arc::new(calls),
        }
    }

    /// The number of cache entries: names, listings, shards and what was not found.
    pub(in crate::hub) fn remembered(&self) -> usize {
        self.calls.memory.lock().len()
    }

    /// A whole listing for a running subscription. `recent`: one that is a few seconds old will do.
    pub(in crate::hub) async fn list(
        &self,
        stream: &StreamArn,
        recent: bool,
    ) -> Result<Arc<Listing>, UpstreamError> {
        let known = if recent {
            self.calls.memory.lock().listing_within(stream, LISTING_AGE, now())
        } else {
            None
        };
        match known {
            Some(listing) => Ok(listing),
            None => self.join_listing(stream, Requester::Running).await.map_err(of_running),
        }
    }

    /// The newest listing, if it came at most a few seconds ago and lacks the shard.
    pub(in crate::hub) fn lately_without(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
    ) -> Option<Arc<Listing>> {
        let newest = self.calls.memory.lock().listing_within(stream, LISTING_AGE, now());
        newest.filter(|listing| listing.find(shard).is_none())
    }

    async fn streams_of(
        &self,
        table: &TableName,
        asker: Requester,
    ) -> Result<Arc<[StreamArn]>, AskError> {
        let (calls, of) = (self.calls.clone(), table.clone());
        self.tables
            .join(table, asker, |wanted| Box::pin(calls.clone().streams_of(of.clone(), wanted)))
            .await
    }

    async fn join_listing(
        &self,
        stream: &StreamArn,
        asker: Requester,
    ) -> Result<Arc<Listing>, AskError> {
        let (calls, of) = (self.calls.clone(), stream.clone());
        self.listings
            .join(stream, asker, |wanted| Box::pin(calls.clone().list(of.clone(), wanted)))
            .await
    }

    async fn lookup(
        &self,
        stream: &StreamArn,
        of: &ShardId,
        asker: Requester,
    ) -> Result<Arc<Listing>, AskError> {
        let key = (stream.clone(), of.clone());
        let (calls, (stream, of)) = (self.calls.clone(), key.clone());
        self.looks
            .join(&key, asker, |wanted| {
                Box::pin(calls.clone().lookup(stream.clone(), of.clone(), wanted))
            })
            .await
    }

    /// Whether the shard may have been created after the listing was begun, or so shortly before
    /// that the listing did not show it yet.
    fn may_be_younger(&self, id: &ShardId, listing: &Listing) -> bool {
        let (clock, clocks) = &self.calls.times;
        let now = clock.now();
        // Creation times are by AWS's clock. Where the clocks differ, the slower bounds how old and
        // the faster how new a shard may be, so that neither rules one out wrongly.
        let age = now.at.saturating_duration_since(listing.begun.into_std());
        let (begun, latest) = (clocks.slower(now.wall).minus(age), clocks.faster(now.wall));
        // An id from the future is made up.
        id.created()
            .is_some_and(|made| made.plus(LISTING_LAG) > begun && made < latest.plus(CLOCKS_APART))
    }

    /// Whether no more children can appear. `quiet`: the shard is closed, and the listing shows no
    /// new child of it.
    fn bears_no_more(
        &self,
        stream: &StreamArn,
        id: &ShardId,
        listing: &Listing,
        quiet: bool,
    ) -> bool {
        let seen = self.calls.memory.lock().closed(stream, id);
        let begun = listing.begun.into_std();
        let settled =
            seen.is_some_and(|seen| begun.saturating_duration_since(seen) >= CHILDREN_SETTLE);
        listing.description.status == Some(StreamStatus::Disabled) || (settled && quiet)
    }

    /// Waits until a shard that no listing shows may be tried; peers take turns, and then streams.
    async fn turn_to_try(&self, stream: &StreamArn, asker: Requester) {
        let wanted = JoinedRequesters::default();
        self.tries.join(&wanted, asker);
        while self.tries.wait(Some(stream.as_str()), &wanted, false).await.is_err() {
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// The response to CHILD_SHARDS for a shard, for a running subscription.
    pub(in crate::hub) async fn child_rows(
        &self,
        stream: &StreamArn,
        of: &ShardId,
    ) -> Result<Arc<Listing>, UpstreamError> {
        self.lookup(stream, of, Requester::Running).await.map_err(of_running)
    }
}

impl std::fmt::Debug for Listings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listings").finish_non_exhaustive()
    }
}
