//! Bytes that are held for clients and nobody else: records on their way that no window keeps any
//! more, answers that are not taken, requests that are not whole. One pool for all of them.
//!
//! What is made of records asks for room before it is cut ([`Held::grant`]): the fuller the pool,
//! the smaller the messages, so that everybody goes on while some stand still. Nothing new is begun
//! while the pool is full ([`MemoryWaiter::poll_room`]). What exists is counted until its last byte
//! is gone, whoever keeps it.

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

/// What may be had as long as there is any room: a small message. The last quarter of the pool is
/// for these.
pub const SMALL: usize = 4 << 10;

/// A message keeps at most so many times its own bytes in memory: a page is kept whole while a
/// piece of it is.
const KEEPS: usize = 4;

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldFor {
    /// Pages, and pieces of pages, that are being sent.
    Records,
    /// Whatever else is being sent.
    Answers,
    /// Requests that have come in part, or are worked on.
    Requests,
}

/// The pool. A cheap clone.
#[derive(Clone, Debug)]
pub struct Held {
    pool: Arc<HeldPool>,
}

/// Bytes of the pool; given back on drop.
#[derive(Debug)]
pub struct Hold {
    pool: Arc<HeldPool>,
    kind: HeldFor,
    bytes: usize,
}

#[derive(Debug)]
struct HeldPool {
    limit: usize,
    used: AtomicUsize,
    /// Who waits for room.
    queue: Mutex<MemoryQueue>,
    metrics: Metrics,
}

/// Those who wait for room, each once.
#[derive(Debug, Default)]
struct MemoryQueue {
    wakers: BTreeMap<u64, Waker>,
    newest: u64,
}

/// Somebody who may have to wait for room. Dropped, it waits no more.
#[derive(Debug)]
pub struct MemoryWaiter {
    pool: Arc<HeldPool>,
    /// Its place in the queue, once it had to wait.
    place: Option<u64>,
}

/// Bytes and what they take of the pool.
struct HeldBytes {
    bytes: Bytes,
    _hold: Hold,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldFor {
    /// Its word in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Answers => "answers",
            Self::Requests => "requests",
        }
    }
}

impl Held {
    /// A pool of `limit` bytes.
    pub fn new(limit: usize, metrics: Metrics) -> Self {
        let (used, queue) = (AtomicUsize::new(0), Mutex::default());
        Self { pool: Arc::new(HeldPool { limit, used, queue, metrics }) }
    }

    /// Somebody who may have to wait for room.
    pub fn waiting(&self) -> MemoryWaiter {
        MemoryWaiter { pool: self.pool.clone(), place: None }
    }

    /// Counts bytes that exist, whether there is room for them or not.
    pub fn hold(&self, kind: HeldFor, bytes: usize) -> Hold {
        self.pool.take(kind, bytes);
        Hold { pool: self.pool.clone(), kind, bytes }
    }

    /// Takes bytes if there is room for them.
    pub fn try_hold(&self, kind: HeldFor, bytes: usize) -> Option<Hold> {
        let mut hold = self.hold(kind, 0);
        hold.try_grow(bytes).then_some(hold)
    }

    /// As [`Self::try_hold`], waiting for room until `by`. Cancel-safe.
    pub async fn hold_by(&self, kind: HeldFor, bytes: usize, by: Instant) -> Option<Hold> {
        let (mut hold, mut waiting) = (self.hold(kind, 0), self.waiting());
        tokio::time::timeout_at(
            by,
            poll_fn(|context| hold.poll_grow(bytes, &mut waiting, context)),
        )
        .await
        .ok()?;
        Some(hold)
    }

    /// The same bytes, counted until the last that is cut from them is gone.
    pub fn keep(&self, kind: HeldFor, bytes: Bytes) -> Bytes {
        self.hold(kind, bytes.len()).keep(bytes)
    }

    /// How many bytes of records one message may have that wants `wanted`.
    pub fn grant(&self, wanted: usize) -> usize {
        let free = self.pool.large().saturating_sub(self.used());
        wanted.min((free / KEEPS).max(SMALL))
    }

    /// Does `work` step by step, each only when something new may be begun. `None`: there was no
    /// room for a step for so long.
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

    /// Counts one call that was refused for want of room.
    pub fn count_refusal(&self) {
        self.pool.metrics.limit_rejection("held");
    }

    /// Whether nothing new may be begun.
    pub fn is_full(&self) -> bool {
        self.pool.is_full()
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.pool.used.load(Ordering::Acquire)
    }
}

impl Hold {
    /// `bytes`, which are what this counts, until the last that is cut from them is gone.
    pub fn keep(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(HeldBytes { bytes, _hold: self })
    }

    /// Takes more bytes if there is room for all of them.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let all = self.bytes + bytes;
        let limit = if all > SMALL { self.pool.large() } else { self.pool.limit };
        // Larger than the pool or not: when nothing else is held there is room.
        let fits =
            |used: usize| (used + bytes <= limit || used == self.bytes).then_some(used + bytes);
        let taken = self.pool.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        if taken {
            self.bytes = all;
            self.pool.metrics.held_bytes(self.kind.label(), bytes as i64);
        }
        taken
    }
}

impl Hold {
    /// As [`Self::try_grow`]; if there is no room, wakes `waiting` when there may be.
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
        // Room that was made in between rang for nobody.
        if self.try_grow(bytes) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl MemoryWaiter {
    /// Whether something new may be begun; if not, wakes when that changes.
    pub fn poll_room(&mut self, context: &Context<'_>) -> Poll<()> {
        if !self.pool.is_full() {
            return Poll::Ready(());
        }
        self.listen(context);
        // Room that was made in between rang for nobody.
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
        // Not under the lock: it may be the last that keeps a task.
        drop(before);
    }
}

impl Drop for MemoryWaiter {
    fn drop(&mut self) {
        let left = self.place.and_then(|place| self.pool.queue.lock().wakers.remove(&place));
        drop(left);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.pool.give_back(self.kind, self.bytes);
    }
}

impl HeldPool {
    /// What everything but small messages may take.
    fn large(&self) -> usize {
        self.limit - self.limit / 4
    }

    fn is_full(&self) -> bool {
        let used = self.used.load(Ordering::Acquire);
        used > 0 && used >= self.limit
    }

    fn take(&self, kind: HeldFor, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        self.metrics.held_bytes(kind.label(), bytes as i64);
    }

    fn give_back(&self, kind: HeldFor, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.metrics.held_bytes(kind.label(), -(bytes as i64));
        if !self.is_full() {
            let waiting = std::mem::take(&mut self.queue.lock().wakers);
            waiting.into_values().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn pool(limit: usize) -> Held {
        Held::new(limit, Metrics::new())
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
        // Long work may find no room late: from then on it has as long as any.
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
