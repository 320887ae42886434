//! The memory of all windows together: bytes are reserved before a page is read and given back when it is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::metrics::Metrics;

/// A pool of bytes. A cheap clone.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Pool>,
}

/// Bytes taken from the pool for a page on its way, then for what is kept of it; given back on drop.
#[derive(Debug)]
pub struct Reserved {
    pool: Arc<Pool>,
    bytes: usize,
    /// Whether the page is on its way.
    is_coming: bool,
}

#[derive(Debug)]
struct Pool {
    limit: usize,
    used: AtomicUsize,
    /// What of that is for pages on their way: much more than most of them will keep.
    coming: AtomicUsize,
    freed: Notify,
    metrics: Metrics,
}

impl Memory {
    /// A pool of `limit` bytes.
    pub fn new(limit: usize, metrics: Metrics) -> Self {
        Self {
            shared: Arc::new(Pool {
                limit,
                used: AtomicUsize::new(0),
                coming: AtomicUsize::new(0),
                freed: Notify::new(),
                metrics,
            }),
        }
    }

    /// Takes `bytes`, if so many are free. A request larger than the pool is granted when the pool is empty, so that a
    /// limit set too low slows reading down to one page at a time and does not stop it.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let fits = |used: usize| (used + bytes <= self.shared.limit || used == 0).then_some(used + bytes);
        self.shared.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        self.shared.coming.fetch_add(bytes, Ordering::AcqRel);
        self.shared.metrics.window_bytes(bytes as i64);
        Some(Reserved { pool: self.shared.clone(), bytes, is_coming: true })
    }

    /// Resolves when bytes are given back after this call.
    pub async fn freed(&self) {
        self.shared.freed.notified().await;
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Acquire)
    }

    /// Bytes that may still be taken.
    pub fn free(&self) -> usize {
        self.shared.limit.saturating_sub(self.used())
    }

    /// Bytes that may still be taken when all pages on their way have come and are kept nowhere.
    pub fn free_soon(&self) -> usize {
        let kept = self.used().saturating_sub(self.shared.coming.load(Ordering::Acquire));
        self.shared.limit.saturating_sub(kept)
    }
}

impl Reserved {
    /// The page has come: keeps only `bytes` of them.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.come();
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.pool.give_back(surplus);
    }

    fn come(&mut self) {
        if std::mem::take(&mut self.is_coming) {
            self.pool.coming.fetch_sub(self.bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.come();
        self.pool.give_back(self.bytes);
    }
}

impl Pool {
    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used.fetch_sub(bytes, Ordering::AcqRel);
            self.metrics.window_bytes(-(bytes as i64));
            self.freed.notify_waiters();
        }
    }
}
