//! The queue of a client's shards that are ready to be polled.

use std::collections::{BTreeSet, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The slots of ready shards, first come first served. Holds each slot at most once, so its size is
/// bounded by the client's number of shards.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    slots: Mutex<Queued>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Queued {
    queue: VecDeque<u32>,
    queued: BTreeSet<u32>,
}

impl ReadyQueue {
    /// Marks a slot as ready: its shard has something new, or the client is to poll it again after
    /// the other shards.
    pub fn push(&self, slot: u32) {
        let new = {
            let mut slots = self.slots.lock();
            let new = slots.queued.insert(slot);
            if new {
                slots.queue.push_back(slot);
            }
            new
        };
        if new {
            self.notify.notify_one();
        }
    }

    /// Takes the slot that has been ready longest; `None` if no slot is ready.
    pub fn pop(&self) -> Option<u32> {
        let mut slots = self.slots.lock();
        let slot = slots.queue.pop_front()?;
        slots.queued.remove(&slot);
        Some(slot)
    }

    /// Returns when a slot is ready. Cancel-safe.
    pub async fn ready(&self) {
        while self.slots.lock().queue.is_empty() {
            self.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_slot_once_in_the_order_of_pushing() {
        let queue = ReadyQueue::default();
        for slot in [3, 1, 3, 2, 1] {
            queue.push(slot);
        }
        queue.ready().await;
        let taken: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(taken, [3, 1, 2]);
        queue.push(3);
        queue.ready().await;
        assert_eq!(queue.pop(), Some(3));
    }
}
