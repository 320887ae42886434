//! Room for pages: a page on its way reserves its bytes, and the windows of all shards make way for
//! it, the fullest first.

use std::cmp::Reverse;
use std::time::Duration;

use super::super::page_budget::ReservedBytes;
use super::super::registry::Followed as _;
use super::readers::Readers;

/// A page in flight for longer than this returns the memory reserved for it.
pub(super) const LONG_ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// Reserves room for a page of about `bytes`. Full windows make way for pages in flight, up to half
/// of the memory. Beyond that this waits for pages in flight, which return what they do not need:
/// to evict windows for a page that can wait would have pages that clients are about to take read
/// again and again.
pub(super) async fn reserve(readers: &Readers, bytes: usize) -> ReservedBytes {
    let memory = &readers.dependencies.memory;
    loop {
        // Another waiter for memory may be faster: subscribe before checking, and check again.
        let freed = memory.freed();
        tokio::pin!(freed);
        freed.as_mut().enable();
        if let Some(reserved) = memory.reserve(bytes) {
            return reserved;
        }
        if memory.may_come(bytes) {
            shed(readers, bytes);
            if let Some(reserved) = memory.reserve(bytes) {
                return reserved;
            }
        }
        // Memory kept alive elsewhere may be freed without a notification.
        let _ = tokio::time::timeout(LONG_ON_THEIR_WAY, freed).await;
    }
}

/// A page has arrived and costs `bytes`, perhaps more than was reserved for it.
pub(super) async fn settle(readers: &Readers, reserved: &mut ReservedBytes, bytes: usize) {
    let freed = readers.dependencies.memory.freed();
    tokio::pin!(freed);
    freed.as_mut().enable();
    if reserved.settle(bytes) {
        return;
    }
    shed(readers, bytes);
    if !reserved.settle(bytes) {
        // Only pages in flight are left, and pages that clients are taking.
        let _ = tokio::time::timeout(LONG_ON_THEIR_WAY, freed).await;
        shed(readers, bytes);
        reserved.settle_anyway(bytes);
    }
}

/// Frees memory until `wanted` bytes are free, plus some slack for later pages, or nothing is
/// left to free: first all but the newest page of every lane, then those too (without the
/// slack).
fn shed(readers: &Readers, wanted: usize) {
    let memory = &readers.dependencies.memory;
    let enough = wanted + memory.slack();
    let mut readers = readers.all();
    readers.sort_by_cached_key(|reader| (Reverse(reader.cost()), reader.key().shard.clone()));
    for (all, enough) in [(false, enough), (true, wanted)] {
        for reader in &readers {
            if memory.free() >= enough {
                return;
            }
            reader.shed(all, || memory.free() >= enough);
        }
    }
}
