//! The memory of all windows together: bytes are reserved before a page is read and returned when
//! the page is forgotten.
//!
//! Pages in flight may take at most half of the memory; a call that hangs returns what it had
//! reserved.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::metrics::Metrics;

/// A pool of bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PageBudget {
    shared: Arc<PagePool>,
}

/// Bytes taken from the pool, first for a page in flight, then for what is kept of it; returned on
/// drop.
#[derive(Debug)]
pub(super) struct ReservedBytes {
    pool: Arc<PagePool>,
    bytes: usize,
    /// The page is still in flight.
    is_coming: bool,
}

#[derive(Debug)]
struct PagePool {
    limit: usize,
    taken: Mutex<PageBytes>,
    freed: Notify,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct PageBytes {
    /// Bytes in use.
    all: usize,
    /// The part of `all` that is reserved for pages in flight.
    coming: usize,
}

impl PageBudget {
    /// A pool of `limit` bytes.
    pub(super) fn new(limit: usize, metrics: Metrics) -> Self {
        Self {
            shared: Arc::new(PagePool {
                limit,
                taken: Mutex::default(),
                freed: Notify::new(),
                metrics,
            }),
        }
    }

    /// Reserves `bytes` for a page in flight; `None` if they are not free. A request larger than
    /// the pool is granted when the pool is empty, so that a limit set too low slows reading down
    /// to one page at a time but does not stop it.
    pub(super) fn reserve(&self, bytes: usize) -> Option<ReservedBytes> {
        let mut taken = self.shared.taken.lock();
        let fits = taken.all + bytes <= self.shared.limit || taken.all == 0;
        if !fits || !self.shared.may_come(&taken, bytes) {
            return None;
        }
        taken.all += bytes;
        taken.coming += bytes;
        drop(taken);
        self.shared.metrics.window_bytes(bytes as i64);
        Some(ReservedBytes { pool: self.shared.clone(), bytes, is_coming: true })
    }

    /// Whether another `bytes` may be in flight at all. If so, but they do not fit, older pages
    /// must be evicted to make room; if not, the caller must wait for the pages in flight.
    pub(super) fn may_come(&self, bytes: usize) -> bool {
        self.shared.may_come(&self.shared.taken.lock(), bytes)
    }

    /// Resolves when bytes are returned after this call, once it was polled or enabled.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.shared.freed.notified()
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.shared.taken.lock().all
    }

    /// Bytes that may still be taken.
    pub(super) fn free(&self) -> usize {
        self.shared.limit.saturating_sub(self.used())
    }

    /// Bytes to free beyond what is needed each time, so that not every page has to evict.
    pub(super) fn slack(&self) -> usize {
        self.shared.limit / 32
    }
}

impl ReservedBytes {
    /// Returns the reserved bytes of a page that is late: others need them more.
    pub(super) fn give_back(&mut self) {
        self.resize(0);
    }

    /// The page has arrived and costs `bytes`; returns whether they fit. Reserved bytes it does not
    /// need are returned.
    pub(super) fn settle(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 && self.pool.taken.lock().all + more > self.pool.limit {
            return false;
        }
        self.settle_anyway(bytes);
        true
    }

    /// As [`Self::settle`], but exceeds the limit if it must.
    pub(super) fn settle_anyway(&mut self, bytes: usize) {
        self.come();
        self.resize(bytes);
    }

    fn resize(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        let mut taken = self.pool.taken.lock();
        taken.all = taken.all - before + bytes;
        if self.is_coming {
            taken.coming = taken.coming - before + bytes;
        }
        drop(taken);
        self.pool.metrics.window_bytes(bytes as i64 - before as i64);
        if bytes < before {
            self.pool.freed.notify_waiters();
        }
    }

    fn come(&mut self) {
        if std::mem::take(&mut self.is_coming) {
            self.pool.taken.lock().coming -= self.bytes;
            self.pool.freed.notify_waiters();
        }
    }
}

impl Drop for ReservedBytes {
    fn drop(&mut self) {
        self.come();
        self.resize(0);
    }
}

impl PagePool {
    /// Pages in flight never take more than half of the pool, except for a single page.
    fn may_come(&self, taken: &PageBytes, bytes: usize) -> bool {
        taken.coming == 0 || taken.coming + bytes <= self.limit / 2
    }
}
