//! The one task that reads a shard: it owns all of the shard's iterators and its call budget, and
//! carries out what [`super::shard::schedule`] decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::{Clock, sleep_until};
use crate::encode::{PageRead, ReadLimit, encode};
use crate::held_bytes::HeldBytes;
use crate::metrics::Metrics;
use crate::model::{Now, Timestamp};
use crate::upstream::{ErrorClass, IssuedIterator, IteratorStart, Operation, UpstreamError};

use super::call_permits::{CallPermit, ShardQueue};
use super::page_budget::ReservedBytes;
use super::shard::denial::Listed;
use super::shard::progress::ShardProgress;
use super::shard::schedule::{Action, ReadPage};
use super::shard::state::ShardState;
use super::shard::upstream_behaviour::UpstreamBehaviour;
use super::shard::wakeups::Wakeups;
use super::supervise::{caught, fault, restarted};
use super::timed_call::timed;
use super::wake_list::WakeList;
use super::{HubShared, ShardKey};

/// A page in flight for longer than this returns the memory reserved for it.
const LONG_ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// A shard that is being read: its state, and the notifications between its task and its cursors.
#[derive(Debug)]
pub(super) struct ShardReader {
    key: ShardKey,
    /// Held for one poll or one response, never across an await.
    state: Mutex<ShardState>,
    /// Notified at every response, for cursors that await the next one.
    news: Notify,
    /// The wake handles of waiting cursors.
    wake_list: WakeList,
    /// The number of responses so far.
    version: AtomicU64,
    /// Wakes the task when a cursor waits for something.
    work: Notify,
    followers: AtomicUsize,
    held: HeldBytes,
    /// Where this shard's calls wait for their turn among the calls of all shards.
    door: ShardQueue,
    metrics: Metrics,
    clock: Clock,
}

/// A follower of a shard; the reader stays while there is at least one.
#[derive(Debug)]
pub(super) struct ReaderHandle {
    pub(super) reader: Arc<ShardReader>,
}

/// A finished call.
enum ReaderResponse {
    Opened { lane: u64, asked: Now, result: Result<IssuedIterator, UpstreamError> },
    Read { lane: u64, asked: Now, result: Result<Box<PageRead>, UpstreamError> },
    Listed { begun: Instant, listed: Listed },
}

impl ReaderResponse {
    /// The `Date` of a successful response.
    fn date(&self) -> Option<Timestamp> {
        match self {
            Self::Opened { result, .. } => result.as_ref().ok()?.date,
            Self::Read { result, .. } => result.as_ref().ok()?.date,
            Self::Listed { .. } => None,
        }
    }
}

impl ShardReader {
    pub(super) fn new(key: ShardKey, shared: &HubShared, seed: u64) -> Self {
        let traits = shared.upstream.traits();
        let behaviour = UpstreamBehaviour {
            at_timestamp: traits.at_timestamp,
            shared_numbers: traits.shared_numbers,
            is_scylla: key.stream.is_alternators(),
        };
        Self {
            key,
            state: Mutex::new(
                ShardState::new(shared.limits.clone(), behaviour, seed)
                    .stamped(shared.grain)
                    .with_attempts(traits.attempts),
            ),
            news: Notify::new(),
            version: AtomicU64::new(0),
            work: Notify::new(),
            followers: AtomicUsize::new(0),
            door: ShardQueue::default(),
            wake_list: WakeList::default(),
            held: shared.held.clone(),
            metrics: shared.metrics.clone(),
            clock: shared.clock.clone(),
        }
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(super) fn key(&self) -> &ShardKey {
        &self.key
    }

    pub(super) fn follow(self: &Arc<Self>) -> ReaderHandle {
        self.followers.fetch_add(1, Ordering::AcqRel);
        ReaderHandle { reader: self.clone() }
    }

    pub(super) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }

    pub(super) fn follower_count(&self) -> usize {
        self.followers.load(Ordering::Acquire)
    }

    pub(super) fn progress(&self, now: Now) -> ShardProgress {
        self.state.lock().progress(self.followers.load(Ordering::Acquire), now)
    }

    pub(super) fn cost(&self) -> usize {
        self.state.lock().cost()
    }

    pub(super) fn shed(&self, all: bool, enough: impl Fn() -> bool) {
        self.state.lock().shed(all, enough);
    }

    pub(super) fn state(&self) -> parking_lot::MutexGuard<'_, ShardState> {
        self.state.lock()
    }

    pub(super) fn news(&self) -> tokio::sync::futures::Notified<'_> {
        self.news.notified()
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn call_for_work(&self) {
        self.work.notify_one();
    }

    pub(super) fn wake_list(&self) -> &WakeList {
        &self.wake_list
    }

    /// As much of `room` as there is memory for, to hold for a client.
    pub(super) fn granted(&self, room: ReadLimit) -> ReadLimit {
        ReadLimit { bytes: self.held.grant(room.bytes), ..room }
    }

    /// Waits for the turn of one call among the calls of all shards.
    async fn turn<'a>(&self, shared: &'a HubShared) -> CallPermit<'a> {
        let troubled = self.state.lock().is_troubled();
        shared.turns.take(&self.door, troubled).await
    }

    /// Marks a call as begun: its second in the call budget starts now, however long it waited.
    fn begin(&self) -> Now {
        let now = self.clock.now();
        self.state.lock().began(now);
        now
    }

    pub(super) fn turned_away(&self) {
        self.metrics.limit_rejection("catch_up");
    }

    /// The task panicked and may have left the state half changed: starts over with an empty state.
    /// Waiters get the fault as an error, poll again, and continue from their positions.
    fn restart(&self, now: Now) {
        self.state.lock().restart(fault(Operation::GetRecords), now);
        self.version.fetch_add(1, Ordering::AcqRel);
        self.news.notify_waiters();
        self.wake_list.wake(&Wakeups::All);
    }

    fn apply(&self, answer: ReaderResponse, now: Now) {
        let wakeups = {
            let mut state = self.state.lock();
            match answer {
                ReaderResponse::Opened { lane, asked, result } => {
                    state.opened(lane, asked, result, now)
                }
                ReaderResponse::Read { lane, asked, result } => {
                    state.answered(lane, asked, result.map(|page| *page), now)
                }
                ReaderResponse::Listed { begun, listed } => {
                    state.listed(&listed, begun.into_std(), now)
                }
            }
            state.take_wakeups()
        };
        self.version.fetch_add(1, Ordering::AcqRel);
        self.news.notify_waiters();
        self.wake_list.wake(&wakeups);
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        if self.reader.followers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reader.call_for_work();
        }
    }
}

/// Runs [`run`], restarting it after a panic.
pub(super) async fn supervised(reader: Arc<ShardReader>, shared: Arc<HubShared>) {
    let task = || run(reader.clone(), shared.clone());
    restarted(&shared.metrics, task, || reader.restart(shared.clock.now())).await;
}

/// Reads the shard until it has had no follower for the idle timeout, or until the process stops.
async fn run(reader: Arc<ShardReader>, shared: Arc<HubShared>) {
    let _counted = shared.metrics.shard_reader();
    let mut lanes = shared.metrics.lanes();
    let mut lag = shared.metrics.lag(&reader.key.stream);
    // At most the shard's calls in flight, and one listing.
    let mut calls = FuturesUnordered::new();
    let mut alone_since = None;
    loop {
        let now = shared.clock.now();
        let (action, idle) = {
            let mut state = reader.state.lock();
            let action = state.next(now);
            lanes.set(state.lane_count());
            (action, state.is_idle())
        };
        let until = match action {
            Action::Open { lane, start } => {
                calls.push(open(&reader, &shared, lane, start).left_future());
                continue;
            }
            Action::Read(page) => {
                calls.push(read(&reader, &shared, page).left_future().right_future());
                continue;
            }
            Action::List => {
                calls.push(list(&reader.key, &shared).right_future().right_future());
                continue;
            }
            Action::Wait(until) => until.map(Instant::from_std),
        };
        let retire_at = match idle && !reader.is_followed() {
            true => Some(
                *alone_since.get_or_insert_with(Instant::now) + shared.limits.reader_idle_timeout,
            ),
            false => {
                alone_since = None;
                None
            }
        };
        if retire_at.is_some_and(|at| at <= Instant::now()) && shared.retire(&reader) {
            return;
        }
        // What keeps an unfollowed reader busy ends without waking this task, so check again later.
        let look_again = (!idle && !reader.is_followed())
            .then(|| Instant::now() + shared.limits.reader_idle_timeout);
        let wake_at = [until, retire_at, look_again].into_iter().flatten().min();
        // All four are cancel-safe: a token, a set that keeps its futures, a Notify that keeps its
        // permit, a timer.
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            Some(answer) = calls.next(), if !calls.is_empty() => {
                let now = shared.clock.now();
                shared.clocks.heard(answer.date(), now.wall);
                reader.apply(answer, now);
                if let Some(behind) = reader.state().lag(now) {
                    lag.set(behind);
                }
            }
            () = reader.work.notified() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}

async fn open(
    reader: &ShardReader,
    shared: &HubShared,
    lane: u64,
    start: IteratorStart,
) -> ReaderResponse {
    let _turn = reader.turn(shared).await;
    let (asked, key) = (reader.begin(), &reader.key);
    // Built inside `caught`, so that a panic counts as a failed call.
    let call = async { shared.upstream.shard_iterator(&key.stream, &key.shard, start).await };
    let call = caught(Operation::GetShardIterator, &shared.metrics, call);
    let result = timed(Operation::GetShardIterator, &shared.metrics, call).await;
    ReaderResponse::Opened { lane, asked, result }
}

/// Whether the stream still lists the shard.
async fn list(key: &ShardKey, shared: &HubShared) -> ReaderResponse {
    let begun = Instant::now();
    let call = async {
        // Many shards may be in doubt at once. A recent listing without the shard proves its
        // absence even if a little old; one with the shard may be from before the doubt, so a new
        // one is made.
        match shared.listings.lately_without(&key.stream, &key.shard) {
            Some(listing) => Ok(listing),
            None => shared.listings.list(&key.stream, false).await,
        }
    };
    let (begun, listed) = match caught(Operation::DescribeStream, &shared.metrics, call).await {
        Ok(listing) => {
            shared.tell_survey(&key.stream, true, listing.begun);
            let listed = match listing.find(&key.shard) {
                Some(shard) => Listed::Still(shard.clone()),
                None if listing.unreadable > 0 => Listed::Unknown,
                None => Listed::No,
            };
            (listing.begun, listed)
        }
        Err(error) if error.class == ErrorClass::NotFound => {
            shared.tell_survey(&key.stream, false, begun);
            (begun, Listed::No)
        }
        Err(_) => (begun, Listed::Unknown),
    };
    ReaderResponse::Listed { begun, listed }
}

async fn read(reader: &ShardReader, shared: &HubShared, page: ReadPage) -> ReaderResponse {
    let turn = reader.turn(shared).await;
    let most = shared.limits.page_bytes;
    let mut reserved = reserve(shared, page.expected.min(most)).await;
    let asked = reader.begin();
    // Only encoding shows that a response is not a valid page, which counts as a failed call.
    let call = async {
        let fetched = shared.upstream.records(&page.iterator, page.limit).await?;
        encode(fetched, page.cut, most)
            .map_err(|what| UpstreamError::nonsense(Operation::GetRecords, what))
    };
    let call = caught(Operation::GetRecords, &shared.metrics, call);
    let call = timed(Operation::GetRecords, &shared.metrics, call);
    tokio::pin!(call);
    let result = match tokio::time::timeout(LONG_ON_THEIR_WAY, &mut call).await {
        Ok(result) => result,
        Err(_) => {
            // A call that hangs must not keep memory from other calls; if its page still comes, its
            // bytes are taken then.
            reserved.give_back();
            call.await
        }
    };
    drop(turn);
    let result = match result {
        Ok(mut read) => {
            if read.reread > 0 {
                tracing::debug!(
                    records = read.reread,
                    "records were not in AWS's usual form and were read the slow way"
                );
            }
            if read.misplaced > 0 {
                let records = read.misplaced;
                tracing::warn!(
                    records,
                    "the upstream sent records out of order; dropped as already seen"
                );
            }
            settle(shared, &mut reserved, read.batch.cost()).await;
            read.batch.hold(reserved);
            read.batch.lend_from(shared.held.clone());
            Ok(Box::new(read))
        }
        Err(error) => Err(error),
    };
    ReaderResponse::Read { lane: page.lane, asked, result }
}

/// Reserves room for a page of about `bytes`. Full windows make way for pages in flight, up to half
/// of the memory. Beyond that this waits for pages in flight, which return what they do not need:
/// to evict windows for a page that can wait would have pages that clients are about to take read
/// again and again.
async fn reserve(shared: &HubShared, bytes: usize) -> ReservedBytes {
    let memory = &shared.memory;
    loop {
        // Another waiter for memory may be faster: subscribe before checking, and check again.
        let freed = memory.freed();
        tokio::pin!(freed);
        freed.as_mut().enable();
        if let Some(reserved) = memory.reserve(bytes) {
            return reserved;
        }
        if memory.may_come(bytes) {
            shared.shed(bytes);
            if let Some(reserved) = memory.reserve(bytes) {
                return reserved;
            }
        }
        // Memory kept alive elsewhere may be freed without a notification.
        let _ = tokio::time::timeout(LONG_ON_THEIR_WAY, freed).await;
    }
}

/// A page has arrived and costs `bytes`, perhaps more than was reserved for it.
async fn settle(shared: &HubShared, reserved: &mut ReservedBytes, bytes: usize) {
    let freed = shared.memory.freed();
    tokio::pin!(freed);
    freed.as_mut().enable();
    if reserved.settle(bytes) {
        return;
    }
    shared.shed(bytes);
    if !reserved.settle(bytes) {
        // Only pages in flight are left, and pages that clients are taking.
        let _ = tokio::time::timeout(LONG_ON_THEIR_WAY, freed).await;
        shared.shed(bytes);
        reserved.settle_anyway(bytes);
    }
}

#[cfg(test)]
mod tests;
