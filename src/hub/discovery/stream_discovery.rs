//! A stream under discovery: what its task and its followers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::model::{Now, ShardId, StreamArn, StreamStatus, Timestamp};
use crate::upstream::{Operation, UpstreamError};

use super::super::dependencies::Dependencies;
use super::super::registry::Followed;
use super::super::shard::progress::ShardProgress;
use super::super::stream_names::ResolvedStream;
use super::super::supervise::fault;
use super::catalog::{Catalog, ListedStream};
use super::listings::{Listing, ListingError, not_found};
use super::shared_table::SharedTable;

/// A follower of a stream's shards. The task stays while there is at least one; dropping it stops
/// following.
#[derive(Debug)]
pub struct Discovery {
    discovery: Arc<StreamDiscovery>,
}

/// A stream under discovery: its catalog, and the notifications between its task and its followers.
#[derive(Debug)]
pub(in crate::hub) struct StreamDiscovery {
    stream: ResolvedStream,
    /// Held for one access or one response, never across an await.
    catalog: Mutex<Catalog>,
    /// Notifies all followers when a response came.
    news: Notify,
    /// The number of responses so far.
    version: AtomicU64,
    /// Wakes the task when a follower needs something.
    work: Notify,
    followers: AtomicUsize,
    /// The table shared by those who watch the stream.
    shared_table: SharedTable,
}

/// A finished call.
pub(super) enum DiscoveryResponse {
    Listed(Result<Arc<Listing>, UpstreamError>),
    Looked(ShardId, Result<Arc<Listing>, UpstreamError>),
}

impl Discovery {
    /// The stream.
    pub fn stream(&self) -> &StreamArn {
        self.discovery.stream.arn()
    }

    /// The stream, which passed the door before it was followed.
    pub fn resolved(&self) -> &ResolvedStream {
        &self.discovery.stream
    }

    /// Returns when a whole listing begun at `since` or later is in the catalog, or has failed.
    /// Cancel-safe: dropping it only stops the waiting.
    pub async fn ready(&self, since: Instant) -> Result<(), ListingError> {
        // A `since` in the future is taken as now: no listing can begin later.
        let arrived = Instant::now();
        let (since, arrived) = (since.min(arrived).into_std(), arrived.into_std());
        let StreamDiscovery { stream, catalog, news, work, .. } = &*self.discovery;
        loop {
            let woken = news.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            {
                let mut catalog = catalog.lock();
                match catalog.outcome(since, arrived) {
                    Some(Err(error)) => {
                        return Err(not_found(error.clone(), stream.arn().as_str()));
                    }
                    Some(Ok(())) if is_enabling(&catalog) => {
                        return Err(ListingError::NotReady(stream.arn().clone()));
                    }
                    Some(Ok(())) => return Ok(()),
                    None => catalog.want(since),
                }
            }
            work.notify_one();
            woken.await;
        }
    }

    /// Returns when a listing that was complete at most `age` ago is in the catalog, or has failed.
    /// Cancel-safe.
    pub async fn fresh(&self, age: Duration) -> Result<(), ListingError> {
        let since = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        // A long listing may have been completed just now although it was begun long ago.
        let newest = self.read(|catalog| catalog.listed_within(age, Instant::now().into_std()));
        self.ready(newest.map_or(since, Instant::from_std)).await
    }

    /// Another follower of the same stream.
    pub(in crate::hub) fn again(&self) -> Self {
        self.discovery.follow()
    }

    pub(in crate::hub) fn shared_table(&self) -> &SharedTable {
        &self.discovery.shared_table
    }

    /// Reads the catalog. `read` must be short: all others wait for the lock.
    pub fn read<T>(&self, read: impl FnOnce(&Catalog) -> T) -> T {
        read(&self.discovery.catalog.lock())
    }

    /// The number of responses so far: while it is the same, so is the catalog.
    pub fn version(&self) -> u64 {
        self.discovery.version.load(Ordering::Acquire)
    }

    /// Returns when [`Self::version`] differs from `seen`. Cancel-safe.
    pub async fn changed(&self, seen: u64) {
        loop {
            let woken = self.discovery.news.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if self.version() != seen {
                return;
            }
            woken.await;
        }
    }

    /// Reports that the shard was read to its end: its children are wanted. Only the first report
    /// has an effect.
    pub fn ended(&self, shard: &ShardId) {
        if self.discovery.catalog.lock().ended(shard, Instant::now().into_std()) {
            self.discovery.work.notify_one();
        }
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        if self.discovery.followers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.discovery.work.notify_one();
        }
    }
}

impl Followed for StreamDiscovery {
    type Key = StreamArn;
    type Handle = Discovery;

    fn key(&self) -> &StreamArn {
        self.stream()
    }

    fn follow(self: &Arc<Self>) -> Discovery {
        self.followers.fetch_add(1, Ordering::AcqRel);
        Discovery { discovery: self.clone() }
    }

    fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }
}

impl StreamDiscovery {
    pub(super) fn new(stream: &ResolvedStream, shared: &Dependencies) -> Self {
        let filters = shared.upstream.traits().child_shards;
        Self {
            stream: stream.clone(),
            catalog: Mutex::new(Catalog::new(
                &shared.limits,
                filters,
                !stream.arn().is_alternators(),
                shared.seed,
            )),
            news: Notify::new(),
            version: AtomicU64::new(0),
            work: Notify::new(),
            followers: AtomicUsize::new(0),
            shared_table: SharedTable::default(),
        }
    }

    pub(super) fn stream(&self) -> &StreamArn {
        self.stream.arn()
    }

    /// Resolves when a follower needs something, or the last one left.
    pub(super) fn work(&self) -> Notified<'_> {
        self.work.notified()
    }

    /// The catalog, for one access.
    pub(super) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock()
    }

    /// The shard's last reader has left: keeps how far it was read.
    pub(super) fn leave_behind(&self, shard: &ShardId, progress: ShardProgress) {
        self.catalog.lock().leave_behind(shard, progress);
    }

    /// Another caller's listing, begun at `begun`, shows whether the stream exists (`there`).
    pub(super) fn hear(&self, there: bool, begun: Instant) {
        let mut catalog = self.catalog.lock();
        let gone = catalog.is_gone();
        if there {
            catalog.confirmed()
        } else {
            catalog.denied(begun.into_std())
        }
        if catalog.is_gone() != gone {
            drop(catalog);
            self.version.fetch_add(1, Ordering::AcqRel);
            self.news.notify_waiters();
        }
    }

    /// The task panicked and may have left the catalog half changed: starts over with an empty
    /// catalog, which the next listing fills. Waiting callers get the fault as an error.
    pub(super) fn restart(&self, shared: &Dependencies) {
        let now = Instant::now().into_std();
        self.catalog.lock().restart(&shared.limits, fault(Operation::DescribeStream), now);
        self.version.fetch_add(1, Ordering::AcqRel);
        self.news.notify_waiters();
    }

    pub(super) fn apply(&self, answer: DiscoveryResponse, Now { at: now, wall }: Now) {
        let mut catalog = self.catalog.lock();
        match &answer {
            DiscoveryResponse::Listed(Ok(listing)) => {
                catalog.answered_listing(told(listing, wall), listing.pages, now)
            }
            DiscoveryResponse::Listed(Err(error)) => catalog.failed(None, error.clone(), now),
            DiscoveryResponse::Looked(shard, Ok(rows)) => {
                catalog.answered_children(shard, told(rows, wall), now)
            }
            DiscoveryResponse::Looked(shard, Err(error)) => {
                catalog.failed(Some(shard), error.clone(), now)
            }
        }
        drop(catalog);
        self.version.fetch_add(1, Ordering::AcqRel);
        self.news.notify_waiters();
    }
}

fn told(listing: &Listing, wall: Timestamp) -> ListedStream<'_> {
    let Listing { description, shards, unreadable, begun, .. } = listing;
    ListedStream { description, shards, unreadable: *unreadable, asked: begun.into_std(), wall }
}

/// Whether the stream is still being created: it has no shards yet, which must not be taken for a
/// stream without any.
fn is_enabling(catalog: &Catalog) -> bool {
    let enabling = catalog
        .description()
        .is_some_and(|description| description.status == Some(StreamStatus::Enabling));
    enabling && catalog.graph().is_empty()
}
