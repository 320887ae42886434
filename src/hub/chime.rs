//! A bell for one client that follows many shards: it says which of them have news.

use std::collections::{BTreeSet, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Rings for whoever follows many shards, each known by a slot of theirs. Holds each slot at most once: no more than the
/// client has shards.
#[derive(Debug, Default)]
pub struct Chime {
    ready: Mutex<Ready>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Ready {
    queue: VecDeque<u32>,
    queued: BTreeSet<u32>,
}

impl Chime {
    /// Something is new at a slot, or the client wants to come to it again after the others.
    pub fn ring(&self, slot: u32) {
        let new = {
            let mut ready = self.ready.lock();
            let new = ready.queued.insert(slot);
            if new {
                ready.queue.push_back(slot);
            }
            new
        };
        if new {
            self.bell.notify_one();
        }
    }

    /// The slot that has waited longest.
    pub fn take(&self) -> Option<u32> {
        let mut ready = self.ready.lock();
        let slot = ready.queue.pop_front()?;
        ready.queued.remove(&slot);
        Some(slot)
    }

    /// Returns when a slot is ready. Cancel-safe.
    pub async fn rung(&self) {
        while self.ready.lock().queue.is_empty() {
            self.bell.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_slot_once_in_the_order_of_ringing() {
        let chime = Chime::default();
        for slot in [3, 1, 3, 2, 1] {
            chime.ring(slot);
        }
        chime.rung().await;
        let taken: Vec<_> = std::iter::from_fn(|| chime.take()).collect();
        assert_eq!(taken, [3, 1, 2]);
        chime.ring(3);
        chime.rung().await;
        assert_eq!(chime.take(), Some(3));
    }
}
