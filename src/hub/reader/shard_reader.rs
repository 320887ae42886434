//! A shard that is being read: what its task and its cursors share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::encode::{PageRead, ReadLimit};
use crate::held_bytes::HeldBytes;
use crate::metrics::Metrics;
use crate::model::{Now, Timestamp};
use crate::upstream::{IssuedIterator, Operation, UpstreamError};

use super::super::call_permits::{CallPermit, ShardQueue};
use super::super::dependencies::Dependencies;
use super::super::registry::Followed;
use super::super::shard::denial::Listed;
use super::super::shard::progress::ShardProgress;
use super::super::shard::state::ShardState;
use super::super::shard::upstream_behaviour::UpstreamBehaviour;
use super::super::shard::wakeups::Wakeups;
use super::super::stream_names::ShardKey;
use super::super::supervise::fault;
use super::super::wake_list::WakeList;
use super::stream_shapes::StreamShapes;

/// A shard that is being read: its state, and the notifications between its task and its cursors.
#[derive(Debug)]
pub(in crate::hub) struct ShardReader {
    key: ShardKey,
    /// Held for one poll or one response, never across an await.
    state: Mutex<ShardState>,
    /// The wake handles of waiting cursors.
    wake_list: WakeList,
    /// Wakes the task when a cursor waits for something.
    work: Notify,
    followers: AtomicUsize,
    held: HeldBytes,
    /// Where this shard's calls wait for their turn among the calls of all shards.
    door: ShardQueue,
    /// What is known of the records of the shard's stream.
    shapes: Arc<StreamShapes>,
    metrics: Metrics,
    clock: Clock,
}

/// A follower of a shard; the reader stays while there is at least one.
#[derive(Debug)]
pub(in crate::hub) struct ReaderHandle {
    pub(in crate::hub) reader: Arc<ShardReader>,
}

/// A finished call.
pub(super) enum ReaderResponse {
    Opened { lane: u64, asked: Now, result: Result<IssuedIterator, UpstreamError> },
    Read { lane: u64, asked: Now, result: Result<Box<PageRead>, UpstreamError> },
    Listed { begun: Instant, listed: Listed },
}

impl ReaderResponse {
    /// The `Date` of a successful response.
    pub(super) fn date(&self) -> Option<Timestamp> {
        match self {
            Self::Opened { result, .. } => result.as_ref().ok()?.date,
            Self::Read { result, .. } => result.as_ref().ok()?.date,
            Self::Listed { .. } => None,
        }
    }
}

impl ShardReader {
    pub(super) fn new(
        key: ShardKey,
        shared: &Dependencies,
        shapes: Arc<StreamShapes>,
        seed: u64,
    ) -> Self {
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
            work: Notify::new(),
            followers: AtomicUsize::new(0),
            door: ShardQueue::default(),
            wake_list: WakeList::default(),
            held: shared.held.clone(),
            shapes,
            metrics: shared.metrics.clone(),
            clock: shared.clock.clone(),
        }
    }

    pub(super) fn shapes(&self) -> &StreamShapes {
        &self.shapes
    }

    pub(in crate::hub) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(in crate::hub) fn follower_count(&self) -> usize {
        self.followers.load(Ordering::Acquire)
    }

    pub(in crate::hub) fn progress(&self, now: Now) -> ShardProgress {
        self.state.lock().progress(self.followers.load(Ordering::Acquire), now)
    }

    pub(in crate::hub) fn cost(&self) -> usize {
        self.state.lock().cost()
    }

    pub(super) fn shed(&self, all: bool, enough: impl Fn() -> bool) {
        self.state.lock().shed(all, enough);
    }

    pub(in crate::hub) fn state(&self) -> MutexGuard<'_, ShardState> {
        self.state.lock()
    }

    /// Resolves when a cursor waits for something, or the last one left.
    pub(super) fn work(&self) -> Notified<'_> {
        self.work.notified()
    }

    pub(in crate::hub) fn call_for_work(&self) {
        self.work.notify_one();
    }

    pub(in crate::hub) fn wake_list(&self) -> &WakeList {
        &self.wake_list
    }

    /// As much of `room` as there is memory for, to hold for a client.
    pub(in crate::hub) fn granted(&self, room: ReadLimit) -> ReadLimit {
        ReadLimit { bytes: self.held.grant(room.bytes), ..room }
    }

    /// Waits for the turn of one call among the calls of all shards.
    pub(super) async fn turn<'a>(&self, shared: &'a Dependencies) -> CallPermit<'a> {
        let troubled = self.state.lock().is_troubled();
        shared.turns.take(&self.door, troubled).await
    }

    /// Marks a call as begun: its second in the call budget starts now, however long it waited.
    pub(super) fn begin(&self) -> Now {
        let now = self.clock.now();
        self.state.lock().began(now);
        now
    }

    /// Counts a cursor that may not wait for a lane; `over_quota`: because its caller has as many
    /// places as it may.
    pub(in crate::hub) fn turned_away(&self, over_quota: bool) {
        self.metrics.limit_rejection(if over_quota { "quota" } else { "catch_up" });
    }

    /// The task panicked and may have left the state half changed: starts over with an empty state.
    /// Waiters get the fault as an error, poll again, and continue from their positions.
    pub(super) fn restart(&self, now: Now) {
        self.state.lock().restart(fault(Operation::GetRecords), now);
        self.wake_list.wake(&Wakeups::All);
    }

    pub(super) fn apply(&self, answer: ReaderResponse, now: Now) {
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
        self.wake_list.wake(&wakeups);
    }
}

impl Followed for ShardReader {
    type Key = ShardKey;
    type Handle = ReaderHandle;

    fn key(&self) -> &ShardKey {
        &self.key
    }

    fn follow(self: &Arc<Self>) -> ReaderHandle {
        self.followers.fetch_add(1, Ordering::AcqRel);
        ReaderHandle { reader: self.clone() }
    }

    fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Acquire) > 0
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        if self.reader.followers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reader.call_for_work();
        }
    }
}
