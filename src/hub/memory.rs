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

/// Bytes taken from the pool, given back on drop.
#[derive(Debug)]
pub struct Reserved {
    pool: Arc<Pool>,
    bytes: usize,
}

#[derive(Debug)]
struct Pool {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
    metrics: Metrics,
}

impl Memory {
    /// A pool of `limit` bytes.
    pub fn new(limit: usize, metrics: Metrics) -> Self {
        Self { shared: Arc::new(Pool { limit, used: AtomicUsize::new(0), freed: Notify::new(), metrics }) }
    }

    /// Takes `bytes`, if so many are free. A request larger than the pool is granted when the pool is empty, so that a
    /// limit set too low slows reading down to one page at a time and does not stop it.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let fits = |used: usize| (used + bytes <= self.shared.limit || used == 0).then_some(used + bytes);
        self.shared.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        self.shared.metrics.window_bytes(bytes as i64);
        Some(Reserved { pool: self.shared.clone(), bytes })
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
}

impl Reserved {
    /// Keeps only `bytes` of them.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.pool.give_back(surplus);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
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
