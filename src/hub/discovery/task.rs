//! What is known of a stream's shards, kept fresh for all who follow it: one task a followed stream
//! does what its [`Catalog`] decides.

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
use super::super::supervise::{caught, fault, restarted};
use super::catalog::{Act, Catalog, ListedStream};
use super::listings::{Listing, ListingError, not_found};
use super::watching::Board;

/// Somebody who follows a stream's shards. Dropping it leaves; the task stays while there is one.
#[derive(Debug)]
pub struct Discovery {
    discovery: Arc<StreamDiscovery>,
}

/// A stream that is surveyed: its chart, and the bells between its task and its followers.
#[derive(Debug)]
pub(in crate::hub) struct StreamDiscovery {
    stream: StreamArn,
    /// Held for one look or one answer, never across an await.
    catalog: Mutex<Catalog>,
    /// Rings for all followers when an answer came.
    news: Notify,
    /// Counts the answers.
    version: AtomicU64,
    /// Wakes the task when somebody wants something.
    work: Notify,
    followers: AtomicUsize,
    /// Where those who watch find what they share.
    board: Board,
}

/// An answered call.
enum DiscoveryResponse {
    Listed(Result<Arc<Listing>, UpstreamError>),
    Looked(ShardId, Result<Arc<Listing>, UpstreamError>),
}

impl Discovery {
    /// The stream.
    pub fn stream(&self) -> &StreamArn {
        &self.discovery.stream
    }

    /// Returns when a whole listing begun at `since` or later is in the chart, or has failed.
    /// Cancel-safe: what is dropped is only the waiting.
    pub async fn ready(&self, since: Instant) -> Result<(), ListingError> {
        // A listing cannot begin later than now; to wait for it is all that can be meant.
        let since = since.min(Instant::now()).into_std();
        let StreamDiscovery { stream, catalog, news, work, .. } = &*self.discovery;
        loop {
            let woken = news.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            {
                let mut catalog = catalog.lock();
                match catalog.outcome(since) {
                    Some(Err(error)) => return Err(not_found(error.clone(), stream.as_str())),
                    Some(Ok(())) if is_enabling(&catalog) => {
                        return Err(ListingError::NotReady(stream.clone()));
                    }
                    Some(Ok(())) => return Ok(()),
                    None => catalog.want(since),
                }
            }
            work.notify_one();
            woken.await;
        }
    }

    /// Returns when a listing is in the chart that came `age` ago at most, or has failed.
    /// Cancel-safe.
    pub async fn fresh(&self, age: Duration) -> Result<(), ListingError> {
        let since = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        // A long listing may have come only now, though it was begun long ago.
        let newest = self.read(|catalog| catalog.listed_within(age, Instant::now().into_std()));
        self.ready(newest.map_or(since, Instant::from_std)).await
    }

    /// One more who follows the same.
    pub(in crate::hub) fn again(&self) -> Self {
        self.discovery.follow()
    }

    pub(super) fn board(&self) -> &Board {
        &self.discovery.board
    }

    /// Looks at what is known. Short: everybody else waits.
    pub fn read<T>(&self, read: impl FnOnce(&Catalog) -> T) -> T {
        read(&self.discovery.catalog.lock())
    }

    /// Counts what came from the upstream: the chart is the same while it is.
    pub fn version(&self) -> u64 {
        self.discovery.version.load(Ordering::Acquire)
    }

    /// Returns when [`Self::version`] is not `seen` (any more). Cancel-safe.
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

    /// The shard was read to its end: its children are wanted. The first to say so is enough.
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
    pub(in crate::hub) fn new(stream: &StreamArn, shared: &HubShared) -> Self {
        let filters = shared.upstream.traits().child_shards;
        Self {
            stream: stream.clone(),
            catalog: Mutex::new(Catalog::new(
                &shared.limits,
                filters,
                !stream.is_alternators(),
                shared.seed,
            )),
            news: Notify::new(),
            version: AtomicU64::new(0),
            work: Notify::new(),
            followers: AtomicUsize::new(0),
            board: Board::default(),
        }
    }

    pub(in crate::hub) fn stream(&self) -> &StreamArn {
        &self.stream
    }

    pub(in crate::hub) fn follow(self: &Arc<Self>) -> Discovery {
        self.followers.fetch_add(1, Ordering::AcqRel);
        Discovery { discovery: self.clone() }
    }

    pub(in crate::hub) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }

    /// A shard's last reader is gone: what it had read stays known.
    pub(in crate::hub) fn leave_behind(&self, shard: &ShardId, progress: ShardProgress) {
        self.catalog.lock().leave_behind(shard, progress);
    }

    /// A listing of somebody else's, begun at `begun`, shows whether the stream is there.
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

    /// The task panicked, and what it did to the chart may be half done: begins with an empty one,
    /// whose first listing says again what there is. Whoever waits is told why.
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

/// Keeps the chart of a stream as [`run`] does, whatever happens.
pub(in crate::hub) async fn supervised(discovery: Arc<StreamDiscovery>, shared: Arc<HubShared>) {
    let task = || run(discovery.clone(), shared.clone());
    restarted(&shared.metrics, task, || discovery.restart(&shared)).await;
}

/// Keeps the chart of a stream until nobody has followed it for a while, or until the process
/// stops.
async fn run(discovery: Arc<StreamDiscovery>, shared: Arc<HubShared>) {
    // At most one listing and a few looks.
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
            // What nobody follows is not asked for, only remembered for a while.
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
    let call = shared.listings.list(&discovery.stream, first);
    DiscoveryResponse::Listed(caught(Operation::DescribeStream, &shared.metrics, call).await)
}

async fn ask_children(
    discovery: &StreamDiscovery,
    shared: &HubShared,
    shard: ShardId,
) -> DiscoveryResponse {
    let call = shared.listings.child_rows(&discovery.stream, &shard);
    let rows = caught(Operation::DescribeStream, &shared.metrics, call).await;
    DiscoveryResponse::Looked(shard, rows)
}

fn told(listing: &Listing, wall: Timestamp) -> ListedStream<'_> {
    let Listing { description, shards, unreadable, begun, .. } = listing;
    ListedStream { description, shards, unreadable: *unreadable, asked: begun.into_std(), wall }
}

/// A stream that is being made has no shards yet, and is not to be taken for one without any.
fn is_enabling(catalog: &Catalog) -> bool {
    let enabling = catalog
        .description()
        .is_some_and(|description| description.status == Some(StreamStatus::Enabling));
    enabling && catalog.graph().is_empty()
}
