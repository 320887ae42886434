//! Streams and their shards: names resolved, listings paged and shared, inside the budgets of DescribeStream and
//! ListStreams, however many clients ask.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::ReadingLimits;
use crate::lineage::{self, Graph};
use crate::metrics::Metrics;
use crate::model::{Shard, ShardId, StreamArn, StreamDescription, StreamRef, StreamStatus, TableName, Timestamp};
use crate::upstream::{DescribePage, ErrorClass, Operation, StreamsPage, Upstream, UpstreamError};

use super::chart::CHILDREN_SETTLE;
use super::pace::{Backoff, Budget};
use super::paging::{Endless, Paging};
use super::reader::timed;

/// How long the stream that a table's name stands for is remembered.
const NAME_LIFE: Duration = Duration::from_secs(10);

/// How long a listing serves to know a shard that is in it.
const LISTING_LIFE: Duration = Duration::from_secs(60);

/// Streams whose listing is kept.
const LISTINGS: usize = 1_024;

/// Why a stream or a shard could not be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// The table has no stream, or no such stream exists.
    #[error("no stream {0}")]
    StreamNotFound(String),
    /// The stream exists, the shard is not in its listing.
    #[error("no shard {1} in {0}")]
    ShardNotFound(StreamArn, ShardId),
    /// The stream is being enabled and has no shards yet.
    #[error("{0} is not ready yet")]
    NotReady(StreamArn),
    /// The upstream failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// A whole listing of one stream.
#[derive(Debug)]
pub struct Listing {
    /// The stream.
    pub description: StreamDescription,
    /// All its shards, by id.
    pub shards: Vec<Shard>,
    /// In how many pages.
    pub pages: usize,
    /// When the listing was begun.
    pub begun: Instant,
}

/// A shard's children, and whether there can be no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// The children known, by id.
    pub shards: Vec<Shard>,
    /// No more will appear.
    pub complete: bool,
}

impl Children {
    /// AWS promises no order of its listings.
    fn new(mut shards: Vec<Shard>, complete: bool) -> Self {
        shards.sort_by(|a, b| a.id.cmp(&b.id));
        Self { shards, complete }
    }
}

/// Streams and their shards. Shared by all.
pub struct Topology {
    upstream: Arc<dyn Upstream>,
    metrics: Metrics,
    describe_budget: Till,
    list_budget: Till,
    /// The first and the longest pause before a call is tried again.
    backoff: (Duration, Duration),
    /// Counts calls, so that those that fail together are not tried again together.
    tries: AtomicU64,
    names: Mutex<HashMap<TableName, (Instant, StreamArn)>>,
    /// One slot a stream; its inner lock is held while the stream is listed, so that callers share one listing.
    listings: Mutex<HashMap<StreamArn, Arc<Slot>>>,
    closes: Mutex<HashMap<(StreamArn, ShardId), Instant>>,
}

/// A budget, and the queue of those who wait for a call: one long listing does not keep others from theirs.
type Till = tokio::sync::Mutex<Budget>;

#[derive(Default)]
struct Slot {
    newest: tokio::sync::Mutex<Option<Arc<Listing>>>,
}

impl Topology {
    /// Over `upstream`, inside the budgets of `limits`.
    pub fn new(upstream: Arc<dyn Upstream>, limits: &ReadingLimits, metrics: Metrics) -> Self {
        Self {
            upstream,
            metrics,
            describe_budget: Till::new(Budget::new(limits.describe_calls_per_second)),
            list_budget: Till::new(Budget::new(limits.list_calls_per_second)),
            backoff: limits.backoff,
            tries: AtomicU64::new(0),
            names: Mutex::default(),
            listings: Mutex::default(),
            closes: Mutex::default(),
        }
    }

    /// How many names, listings and closed shards are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.names.lock().len() + self.listings.lock().len() + self.closes.lock().len()
    }

    /// One page of ListStreams.
    pub async fn list_streams(
        &self,
        table: Option<&TableName>,
        start: Option<&str>,
        limit: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        self.persist(|| async {
            afford(&self.list_budget).await;
            let call = self.upstream.list_streams(table, start, limit);
            timed(Operation::ListStreams, &self.metrics, call).await
        })
        .await
    }

    /// The stream meant: an ARN as it is, a table's name as its newest stream, remembered for ten seconds.
    pub async fn resolve(&self, stream: &StreamRef) -> Result<StreamArn, TopologyError> {
        let table = match stream {
            StreamRef::Arn(arn) => return Ok(arn.clone()),
            StreamRef::Table(table) => table,
        };
        if let Some((when, arn)) = self.names.lock().get(table)
            && when.elapsed() < NAME_LIFE
        {
            return Ok(arn.clone());
        }
        let streams = self.streams_of(table).await.map_err(|error| not_found(error, table.as_str()))?;
        let newest = streams.into_iter().max_by(|a, b| age(a).cmp(&age(b)));
        let arn = newest.ok_or_else(|| TopologyError::StreamNotFound(table.to_string()))?;
        let mut names = self.names.lock();
        names.retain(|_, (when, _)| when.elapsed() < NAME_LIFE);
        names.insert(table.clone(), (Instant::now(), arn.clone()));
        Ok(arn)
    }

    /// The stream that came after this one: of the table's newer streams the oldest.
    pub async fn next_stream(&self, after: &StreamArn) -> Result<Option<StreamArn>, UpstreamError> {
        let Some(table) = after.table() else { return Ok(None) };
        let streams = self.streams_of(&table).await?;
        let newer = streams.into_iter().filter(|arn| age(arn) > age(after));
        Ok(newer.min_by(|a, b| age(a).cmp(&age(b))))
    }

    async fn streams_of(&self, table: &TableName) -> Result<Vec<StreamArn>, UpstreamError> {
        let (mut streams, mut start, mut paging) = (Vec::new(), None, Paging::default());
        loop {
            let page = self.list_streams(Some(table), start.as_deref(), 100).await?;
            let rows = page.streams.len();
            // Some emulators answer for every table whatever was asked.
            streams.extend(page.streams.into_iter().map(|stream| stream.arn).filter(|arn| arn.is_of(table)));
            start = paging.next(rows, page.last_evaluated).map_err(|error| endless(Operation::ListStreams, error))?;
            if start.is_none() {
                return Ok(streams);
            }
        }
    }

    /// The stream itself, asked for now.
    pub async fn describe(&self, stream: &StreamArn) -> Result<StreamDescription, TopologyError> {
        let page = self.describe_page(stream, None, None).await.map_err(|error| not_found(error, stream.as_str()))?;
        Ok(page.description)
    }

    /// The whole listing of a stream, begun at `since` or later. Callers who can share one do.
    pub async fn listing(&self, stream: &StreamArn, since: Instant) -> Result<Arc<Listing>, TopologyError> {
        self.list(stream, since).await.map_err(|error| not_found(error, stream.as_str()))
    }

    /// As [`Self::listing`], with the upstream's own error.
    pub(super) async fn list(&self, stream: &StreamArn, since: Instant) -> Result<Arc<Listing>, UpstreamError> {
        let slot = self.slot(stream);
        let mut newest = slot.newest.lock().await;
        if let Some(listing) = newest.as_ref().filter(|listing| listing.begun >= since) {
            return Ok(listing.clone());
        }
        let begun = Instant::now();
        let listing = Arc::new(self.list_all(stream, begun).await?);
        self.note_closes(stream, &listing);
        *newest = Some(listing.clone());
        Ok(listing)
    }

    /// The shard as listed: from what is known, else (on a miss) from one fresh listing.
    pub async fn shard(&self, stream: &StreamArn, id: &ShardId) -> Result<Shard, TopologyError> {
        let now = Instant::now();
        let known = self.listing(stream, now.checked_sub(LISTING_LIFE).unwrap_or(now)).await?;
        let find = |listing: &Listing| listing.shards.iter().find(|shard| shard.id == *id).cloned();
        if let Some(shard) = find(&known) {
            return Ok(shard);
        }
        let fresh = if known.begun >= now { known } else { self.listing(stream, now).await? };
        match find(&fresh) {
            Some(shard) => Ok(shard),
            None if fresh.description.status == Some(StreamStatus::Enabling) => {
                Err(TopologyError::NotReady(stream.clone()))
            }
            None => Err(TopologyError::ShardNotFound(stream.clone(), id.clone())),
        }
    }

    /// The shard's children: CHILD_SHARDS where the upstream knows it, and a full listing where that may not be all.
    pub async fn children(&self, stream: &StreamArn, id: &ShardId) -> Result<Children, TopologyError> {
        let now = Instant::now();
        let mut known: Vec<Shard> = Vec::new();
        let mut closed = false;
        if self.upstream.traits().child_shards {
            let told = self.child_rows(stream, id).await.map_err(|error| not_found(error, stream.as_str()))?;
            closed = told.shards.iter().any(|shard| shard.id == *id && shard.is_closed());
            lineage::merge(&mut known, told.shards.into_iter().filter(|shard| shard.parent.as_ref() == Some(id)));
        }
        if are_all(stream, &known) && (closed || self.is_known_closed(stream, id)) {
            return Ok(Children::new(known, true));
        }
        let listing = self.listing(stream, now).await?;
        let parent = listing.shards.iter().find(|shard| shard.id == *id);
        let before = known.len();
        lineage::merge(&mut known, listing.shards.iter().filter(|shard| shard.parent.as_ref() == Some(id)).cloned());
        let same = before == 0 || known.len() == before;
        let complete = self.is_complete(stream, id, parent, &known, &listing, same);
        Ok(Children::new(known, complete))
    }

    fn is_complete(
        &self,
        stream: &StreamArn,
        id: &ShardId,
        parent: Option<&Shard>,
        children: &[Shard],
        listing: &Listing,
        same: bool,
    ) -> bool {
        let closed = parent.is_none_or(Shard::is_closed);
        let settled = self
            .closes
            .lock()
            .get(&(stream.clone(), id.clone()))
            .is_some_and(|seen| listing.begun.saturating_duration_since(*seen) >= CHILDREN_SETTLE);
        (closed && are_all(stream, children))
            || listing.description.status == Some(StreamStatus::Disabled)
            || (closed && settled && same)
    }

    fn is_known_closed(&self, stream: &StreamArn, id: &ShardId) -> bool {
        self.closes.lock().contains_key(&(stream.clone(), id.clone()))
    }

    /// Remembers when each shard was first seen closed: the close itself was before.
    fn note_closes(&self, stream: &StreamArn, listing: &Listing) {
        let listed: HashSet<&ShardId> = listing.shards.iter().map(|shard| &shard.id).collect();
        let mut closes = self.closes.lock();
        closes.retain(|(of, id), _| of != stream || listed.contains(id));
        for shard in listing.shards.iter().filter(|shard| shard.is_closed()) {
            closes.entry((stream.clone(), shard.id.clone())).or_insert(listing.begun);
        }
    }

    fn slot(&self, stream: &StreamArn) -> Arc<Slot> {
        let mut listings = self.listings.lock();
        if listings.len() >= LISTINGS && !listings.contains_key(stream) {
            // Whoever lists one of these at the moment keeps its slot alive and is not disturbed.
            listings.clear();
            self.closes.lock().clear();
        }
        listings.entry(stream.clone()).or_default().clone()
    }

    async fn list_all(&self, stream: &StreamArn, begun: Instant) -> Result<Listing, UpstreamError> {
        let mut page = self.describe_page(stream, None, None).await?;
        // The first page's word: what the last one says of the stream may be newer than the shards of the first.
        let description = page.description.clone();
        let (mut graph, mut paging) = (Graph::default(), Paging::default());
        loop {
            graph.merge(&page.shards);
            let next = paging.next(page.shards.len(), page.last_evaluated);
            match next.map_err(|error| endless(Operation::DescribeStream, error))? {
                Some(last) => page = self.describe_page(stream, None, Some(&last)).await?,
                None => break,
            }
        }
        Ok(Listing { description, shards: graph.shards().cloned().collect(), pages: paging.pages(), begun })
    }

    /// What CHILD_SHARDS tells of a shard: rows that may not be its children where the upstream does not know the filter.
    pub(super) async fn child_rows(&self, stream: &StreamArn, of: &ShardId) -> Result<Listing, UpstreamError> {
        let begun = Instant::now();
        let DescribePage { description, mut shards, last_evaluated } =
            self.describe_page(stream, Some(of), None).await?;
        let (mut paging, mut rows, mut last) = (Paging::default(), shards.len(), last_evaluated);
        loop {
            let next = paging.next(rows, last).map_err(|error| endless(Operation::DescribeStream, error))?;
            let Some(start) = next else { break };
            let page = self.describe_page(stream, Some(of), Some(&start)).await?;
            (rows, last) = (page.shards.len(), page.last_evaluated);
            shards.extend(page.shards);
        }
        Ok(Listing { description, shards, pages: paging.pages(), begun })
    }

    async fn describe_page(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        self.persist(|| async {
            afford(&self.describe_budget).await;
            let call = self.upstream.describe_stream(stream, children_of, start);
            timed(Operation::DescribeStream, &self.metrics, call).await
        })
        .await
    }

    /// Makes a call, and again where its failure may pass at once, as often as the upstream is worth it. `call` pays for itself.
    async fn persist<T, F>(&self, call: impl Fn() -> F) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let attempts = self.upstream.traits().attempts;
        let mut backoff = Backoff::new(self.backoff, self.tries.fetch_add(1, Ordering::Relaxed));
        loop {
            match call().await {
                Err(error) if error.class.may_pass_soon() && backoff.failures() + 1 < attempts => {
                    let asked = error.retry_after.unwrap_or_default().min(self.backoff.1);
                    tokio::time::sleep(backoff.fail().max(asked)).await;
                }
                done => return done,
            }
        }
    }
}

impl std::fmt::Debug for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topology").finish_non_exhaustive()
    }
}

/// Waits in turn until the budget has a call, and spends it.
async fn afford(till: &Till) {
    let mut budget = till.lock().await;
    loop {
        let now = Instant::now().into_std();
        if budget.take(now) {
            budget.began(now);
            return;
        }
        tokio::time::sleep_until(Instant::from_std(budget.next(now))).await;
    }
}

/// AWS gives a shard two children at most. On Alternator it may have hundreds.
fn are_all(stream: &StreamArn, children: &[Shard]) -> bool {
    children.len() >= 2 && !stream.is_alternators()
}

/// A listing without an end is no answer. It may have one the next time.
fn endless(operation: Operation, error: Endless) -> UpstreamError {
    UpstreamError::nonsense(operation, &error.to_string())
}

/// Streams of one table in the order in which they were made.
fn age(arn: &StreamArn) -> (Option<Timestamp>, &str) {
    (arn.created(), arn.label())
}

pub(super) fn not_found(error: UpstreamError, name: &str) -> TopologyError {
    match error.class {
        ErrorClass::NotFound => TopologyError::StreamNotFound(name.to_owned()),
        ErrorClass::Throttled
        | ErrorClass::Unavailable
        | ErrorClass::ExpiredIterator
        | ErrorClass::Trimmed
        | ErrorClass::AccessDenied
        | ErrorClass::Invalid => TopologyError::Upstream(error),
    }
}
