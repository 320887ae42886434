//! Memory limit for bytes that are held for clients only: records being sent that no window keeps
//! any more, responses that clients have not read, requests that are incomplete. One pool for all
//! of them.
//!
//! Messages of records request room before they are cut ([`HeldBytes::grant`]): the fuller the
//! pool, the smaller the messages, so that clients that read go on while others stall. No new work
//! begins while the pool is full ([`MemoryWaiter::poll_room`]). Existing bytes are counted until
//! the last reference to them is dropped.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// A small message, in bytes: granted as long as there is any room. The last quarter of the pool is
/// reserved for such messages.
pub const SMALL: usize = 4 << 10;

/// A message keeps at most this many times its own bytes in memory: a page is kept whole while a
/// piece of it is.
const KEEPS: usize = 4;

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldFor {
    /// Pages, and pieces of pages, that are being sent.
    Records,
    /// All other responses being sent.
    Answers,
    /// Requests that were received in part, or are being processed.
    Requests,
}

/// The pool. A cheap clone.
#[derive(Clone, Debug)]
pub struct HeldBytes {
    pool: Arc<HeldPool>,
}

/// Bytes taken from the pool; given back on drop.
#[derive(Debug)]
pub struct HeldMemory {
    pool: Arc<HeldPool>,
    kind: HeldFor,
    bytes: usize,
}

#[derive(Debug)]
struct HeldPool {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// The tasks that wait for room.
    queue: Mutex<MemoryQueue>,
    /// `None`: a caller's part, which counts in the pool of all, too.
    metrics: Option<Metrics>,
}

/// The wakers of tasks that wait for room, each once.
#[derive(Debug, Default)]
struct MemoryQueue {
    wakers: BTreeMap<u64, Waker>,
    newest: u64,
}

/// A caller that may have to wait for room. Dropping it stops the waiting.
#[derive(Debug)]
pub struct MemoryWaiter {
    pool: Arc<HeldPool>,
    /// Its key in the queue; `None` until it had to wait.
    place: Option<u64>,
}

/// Bytes and their share of the pool.
struct CountedBytes {
    bytes: Bytes,
    _hold: HeldMemory,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldFor {
    /// Its label in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Answers => "answers",
            Self::Requests => "requests",
        }
    }
}

impl HeldBytes {
    /// A pool of `limit` bytes.
    pub fn new(limit: usize, metrics: Metrics) -> Self {
        Self::of(limit, Some(metrics))
    }

    /// What of the pool one caller may have: `limit` bytes, which nobody keeps for it.
    pub fn of_one_caller(limit: usize) -> Self {
        Self::of(limit, None)
    }

    fn of(limit: usize, metrics: Option<Metrics>) -> Self {
        let (limit, used, queue) = (limit.into(), AtomicUsize::new(0), Mutex::default());
        Self { pool: Arc::new(HeldPool { limit, used, queue, metrics }) }
    }

    /// From now on it is a pool of `limit` bytes.
    pub fn set_limit(&self, limit: usize) {
        let before = self.pool.limit.swap(limit, Ordering::AcqRel);
        if before < limit {
            self.pool.wake();
        }
    }

    /// A waiter for room, not in the queue yet.
    pub fn waiting(&self) -> MemoryWaiter {
        MemoryWaiter { pool: self.pool.clone(), place: None }
    }

    /// Counts bytes that exist already, whether there is room for them or not.
    pub fn hold(&self, kind: HeldFor, bytes: usize) -> HeldMemory {
        self.pool.take(kind, bytes);
        HeldMemory { pool: self.pool.clone(), kind, bytes }
    }

    /// Takes bytes if there is room for them; `None` if not.
    pub fn try_hold(&self, kind: HeldFor, bytes: usize) -> Option<HeldMemory> {
        let mut hold = self.hold(kind, 0);
        hold.try_grow(bytes).then_some(hold)
    }

    /// As [`Self::try_hold`], but waits for room until `by`; `None`: none by then. Cancel-safe.
    pub async fn hold_by(&self, kind: HeldFor, bytes: usize, by: Instant) -> Option<HeldMemory> {
        let (mut hold, mut waiting) = (self.hold(kind, 0), self.waiting());
        tokio::time::timeout_at(
            by,
            poll_fn(|context| hold.poll_grow(bytes, &mut waiting, context)),
        )
        .await
        .ok()?;
        Some(hold)
    }

    /// Returns the same bytes, counted until the last slice of them is dropped.
    pub fn keep(&self, kind: HeldFor, bytes: Bytes) -> Bytes {
        self.hold(kind, bytes.len()).keep(bytes)
    }

    /// How many bytes of records a message may have that would take `wanted`.
    pub fn grant(&self, wanted: usize) -> usize {
        let free = self.pool.large().saturating_sub(self.used());
        wanted.min((free / KEEPS).max(SMALL))
    }

    /// Polls `work` only while new work may begin. `None`: there was no room for one step for
    /// `longest`.
    pub async fn with_room<T>(
        &self,
        longest: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut waiting = self.waiting();
        let mut late = std::pin::pin!(None);
        poll_fn(|context| {
            if waiting.poll_room(context).is_ready() {
                late.set(None);
                return work.as_mut().poll(context).map(Some);
            }
            if late.is_none() {
                late.set(Some(tokio::time::sleep(longest)));
            }
            late.as_mut()
                .as_pin_mut()
                .map_or(Poll::Pending, |late| late.poll(context))
                .map(|()| None)
        })
        .await
    }

    /// Counts one call that was refused for lack of room.
    pub fn count_refusal(&self) {
        if let Some(metrics) = &self.pool.metrics {
            metrics.limit_rejection("held");
        }
    }

    /// Whether no new work may begin.
    pub fn is_full(&self) -> bool {
        self.pool.is_full()
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.pool.used.load(Ordering::Acquire)
    }
}

impl HeldMemory {
    /// Ties this hold to `bytes`, the bytes it counts, until the last slice of them is dropped.
    pub fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(CountedBytes { bytes, _hold: self })
    }

    /// Takes more bytes if there is room for all of them.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let all = self.bytes + bytes;
        let limit = if all > SMALL { self.pool.large() } else { self.pool.limit() };
        // Even what is larger than the pool fits when nothing else is held.
        let fits =
            |used: usize| (used + bytes <= limit || used == self.bytes).then_some(used + bytes);
        let taken = self.pool.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        if taken {
            self.bytes = all;
            self.pool.measure(self.kind, bytes as i64);
        }
        taken
    }
}

impl HeldMemory {
    /// As [`Self::try_grow`]; if there is no room, wakes the task when there may be.
    pub fn poll_grow(
        &mut self,
        bytes: usize,
        waiting: &mut MemoryWaiter,
        context: &Context<'_>,
    ) -> Poll<()> {
        if self.try_grow(bytes) {
            return Poll::Ready(());
        }
        waiting.listen(context);
        // Room made between the check and `listen` woke nobody: check again.
        if self.try_grow(bytes) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl MemoryWaiter {
    /// Ready if new work may begin; otherwise wakes the task when that changes.
    pub fn poll_room(&mut self, context: &Context<'_>) -> Poll<()> {
        if !self.pool.is_full() {
            return Poll::Ready(());
        }
        self.listen(context);
        // Room made between the check and `listen` woke nobody: check again.
        if self.pool.is_full() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn listen(&mut self, context: &Context<'_>) {
        let mut queue = self.pool.queue.lock();
        let place = *self.place.get_or_insert_with(|| {
            queue.newest += 1;
            queue.newest
        });
        let before = queue.wakers.insert(place, context.waker().clone());
        drop(queue);
        // Not under the lock: dropping a waker may drop the last reference to a task.
        drop(before);
    }
}

impl Drop for MemoryWaiter {
    fn drop(&mut self) {
        let left = self.place.and_then(|place| self.pool.queue.lock().wakers.remove(&place));
        drop(left);
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.pool.give_back(self.kind, self.bytes);
    }
}

impl HeldPool {
    /// The part of the pool, in bytes, for everything but small messages.
    fn large(&self) -> usize {
        let limit = self.limit();
        limit - limit / 4
    }

    fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    fn is_full(&self) -> bool {
        let used = self.used.load(Ordering::Acquire);
        used > 0 && used >= self.limit()
    }

    fn take(&self, kind: HeldFor, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        self.measure(kind, bytes as i64);
    }

    fn give_back(&self, kind: HeldFor, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.measure(kind, -(bytes as i64));
        if !self.is_full() {
            self.wake();
        }
    }

    fn measure(&self, kind: HeldFor, bytes: i64) {
        if let Some(metrics) = &self.metrics {
            metrics.held_bytes(kind.label(), bytes);
        }
    }

    /// Wakes all who wait for room.
    fn wake(&self) {
        let waiting = std::mem::take(&mut self.queue.lock().wakers);
        waiting.into_values().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn pool(limit: usize) -> HeldBytes {
        HeldBytes::new(limit, Metrics::new())
    }

    #[test]
    fn bytes_count_until_their_last_piece_is_gone() {
        let held = pool(MIB);
        let whole = held.keep(HeldFor::Records, Bytes::from(vec![7; 1_000]));
        let piece = whole.slice(10..20);
        assert_eq!(held.used(), 1_000);
        drop(whole);
        assert_eq!(held.used(), 1_000, "a piece keeps all of it");
        drop(piece);
        assert_eq!(held.used(), 0);
    }

    #[test]
    fn the_fuller_the_pool_the_smaller_the_messages_and_small_ones_always_fit() {
        let held = pool(16 * MIB);
        assert_eq!(held.grant(usize::MAX), 3 * MIB);
        assert_eq!(held.grant(MIB), MIB);
        let _most = held.hold(HeldFor::Records, 10 * MIB);
        assert_eq!(held.grant(MIB), MIB / 2);
        let _more = held.hold(HeldFor::Records, 2 * MIB);
        assert_eq!(held.grant(MIB), SMALL);
        assert!(held.try_hold(HeldFor::Requests, SMALL + 1).is_none());
        assert!(held.try_hold(HeldFor::Requests, SMALL).is_some());
    }

    #[test]
    fn what_is_larger_than_the_pool_has_room_when_it_is_alone() {
        let held = pool(MIB);
        let mut alone = held.try_hold(HeldFor::Answers, 2 * MIB).expect("nothing else is held");
        assert!(alone.try_grow(1), "still alone");
        assert!(held.try_hold(HeldFor::Answers, 1).is_none());
        drop(alone);
        assert_eq!(held.used(), 0);
    }

    #[test]
    fn whoever_waits_is_woken_for_once_and_not_when_it_is_gone() {
        let held = pool(MIB);
        let full = held.hold(HeldFor::Records, MIB);
        let context = Context::from_waker(Waker::noop());
        let mut stays = held.waiting();
        for _ in 0..1_000 {
            assert!(stays.poll_room(&context).is_pending());
            assert!(held.waiting().poll_room(&context).is_pending());
        }
        assert_eq!(held.pool.queue.lock().wakers.len(), 1);
        drop(full);
        assert_eq!(held.pool.queue.lock().wakers.len(), 0);
        assert!(stays.poll_room(&context).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_when_there_is_room_again_and_not_for_ever_without() {
        let held = pool(MIB);
        let full = held.hold(HeldFor::Records, MIB);
        let longest = Duration::from_secs(10);
        let mut work = Box::pin(held.with_room(longest, async { 7 }));
        assert_eq!(work.as_mut().now_or_never(), None);
        drop(full);
        assert_eq!(work.await, Some(7));
        // Work that first waits for room late has the full time from then on.
        let start = Instant::now();
        let waits = async {
            tokio::time::sleep(longest * 3).await;
            7
        };
        let mut work = Box::pin(held.with_room(longest, waits));
        assert!(tokio::time::timeout(longest * 2, work.as_mut()).await.is_err());
        let _full = held.hold(HeldFor::Records, MIB);
        assert_eq!(work.await, None);
        assert_eq!(Instant::now() - start, longest * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_bytes_gets_them_when_they_are_given_back() {
        let held = pool(MIB);
        let most = held.hold(HeldFor::Records, MIB / 2);
        let by = Instant::now() + Duration::from_secs(10);
        let mut waits = Box::pin(held.hold_by(HeldFor::Answers, MIB / 2, by));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(most);
        assert!(waits.await.is_some());
        assert_eq!(held.used(), 0);
    }
}
