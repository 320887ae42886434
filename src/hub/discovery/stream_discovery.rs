//! The discovery task: one per followed stream keeps the stream's shards fresh for all followers
//! and does what its [`Catalog`] decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::sleep_until;
use crate::model::{Now, ShardId, StreamArn, StreamStatus, Timestamp};
use crate::upstream::{Operation, UpstreamError};

use super::super::HubShared;
use super::super::shard::progress::ShardProgress;
use super::super::stream_names::ResolvedStream;
use super::super::supervise::{caught, fault, restarted};
use super::catalog::{Act, Catalog, ListedStream};
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
enum DiscoveryResponse {
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

    pub(super) fn shared_table(&self) -> &SharedTable {
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

impl StreamDiscovery {
    pub(in crate::hub) fn new(stream: &ResolvedStream, shared: &HubShared) -> Self {
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

    pub(in crate::hub) fn stream(&self) -> &StreamArn {
        self.stream.arn()
    }

    pub(in crate::hub) fn follow(self: &Arc<Self>) -> Discovery {
        self.followers.fetch_add(1, Ordering::AcqRel);
        Discovery { discovery: self.clone() }
    }

    pub(in crate::hub) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }

    /// The shard's last reader has left: keeps how far it was read.
    pub(in crate::hub) fn leave_behind(&self, shard: &ShardId, progress: ShardProgress) {
        self.catalog.lock().leave_behind(shard, progress);
    }

    /// Another caller's listing, begun at `begun`, shows whether the stream exists (`there`).
    pub(in crate::hub) fn hear(&self, there: bool, begun: Instant) {
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
    fn restart(&self, shared: &HubShared) {
        let now = Instant::now().into_std();
        self.catalog.lock().restart(&shared.limits, fault(Operation::DescribeStream), now);
        self.version.fetch_add(1, Ordering::AcqRel);
        self.news.notify_waiters();
    }

    fn apply(&self, answer: DiscoveryResponse, Now { at: now, wall }: Now) {
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

/// Runs [`run`], restarting it after a panic.
pub(in crate::hub) async fn supervised(discovery: Arc<StreamDiscovery>, shared: Arc<HubShared>) {
    let task = || run(discovery.clone(), shared.clone());
    restarted(&shared.metrics, task, || discovery.restart(&shared)).await;
}

/// Keeps a stream's catalog fresh until it has had no follower for the idle timeout, or until the
/// process stops.
async fn run(discovery: Arc<StreamDiscovery>, shared: Arc<HubShared>) {
    // At most one listing and a few child lookups.
    let mut calls = FuturesUnordered::new();
    let mut alone_since = None;
    loop {
        let retire_at = match discovery.is_followed() {
            false => Some(
                *alone_since.get_or_insert_with(Instant::now) + shared.limits.reader_idle_timeout,
            ),
            true => {
                alone_since = None;
                None
            }
        };
        if retire_at.is_some_and(|at| at <= Instant::now()) && shared.end_survey(&discovery) {
            return;
        }
        let act = match retire_at {
            // Without followers nothing is requested; the catalog is only kept for a while.
            Some(_) => Act::Wait(None),
            None => discovery.catalog.lock().next(Instant::now().into_std()),
        };
        let until = match act {
            Act::List => {
                calls.push(futures::future::Either::Left(list(&discovery, &shared)));
                continue;
            }
            Act::Children(shard) => {
                calls
                    .push(futures::future::Either::Right(ask_children(&discovery, &shared, shard)));
                continue;
            }
            Act::Wait(until) => until.map(Instant::from_std),
        };
        let wake_at = [until, retire_at].into_iter().flatten().min();
        // All four are cancel-safe: a token, a set that keeps its futures, a Notify that keeps its
        // permit, a timer.
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            Some(answer) = calls.next(), if !calls.is_empty() => discovery.apply(answer, shared.clock.now()),
            () = discovery.work.notified() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

async fn list(discovery: &StreamDiscovery, shared: &HubShared) -> DiscoveryResponse {
    let first = discovery.catalog.lock().description().is_none();
    let call = shared.listings.list(discovery.stream(), first);
    DiscoveryResponse::Listed(caught(Operation::DescribeStream, &shared.metrics, call).await)
}

async fn ask_children(
    discovery: &StreamDiscovery,
    shared: &HubShared,
    shard: ShardId,
) -> DiscoveryResponse {
    let call = shared.listings.child_rows(discovery.stream(), &shard);
    let rows = caught(Operation::DescribeStream, &shared.metrics, call).await;
    DiscoveryResponse::Looked(shard, rows)
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
