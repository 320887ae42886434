//! Limits how many calls for shards are in flight over all shards: each uses a connection.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The limit on calls in flight; shards take turns.
#[derive(Debug)]
pub(super) struct CallPermits {
    calls: Semaphore,
    /// Half of the permits, for shards whose newest call failed: if their calls hang, the other
    /// half is left for healthy shards.
    troubled: Semaphore,
}

/// The permit for one call, while it is held.
#[derive(Debug)]
pub(super) struct CallPermit<'a> {
    _call: SemaphorePermit<'a>,
    _troubled: Option<SemaphorePermit<'a>>,
}

/// A shard's place in the queue. Only one of its calls queues at a time, so that a shard with many
/// calls does not crowd out one with few.
#[derive(Debug)]
pub(super) struct ShardQueue(Semaphore);

impl CallPermits {
    /// Allows `calls` at one time, at least one.
    pub(super) fn new(calls: usize) -> Self {
        let calls = calls.clamp(1, Semaphore::MAX_PERMITS);
        Self { calls: Semaphore::new(calls), troubled: Semaphore::new(calls.div_ceil(2)) }
    }

    /// Waits for the permit for one call of a shard; `troubled`: the shard's newest call failed.
    /// Cancel-safe: a call that leaves the queue has used nothing.
    pub(super) async fn take<'a>(&'a self, door: &ShardQueue, troubled: bool) -> CallPermit<'a> {
        let _first = door.0.acquire().await.expect("never closed");
        let troubled = match troubled {
            true => Some(self.troubled.acquire().await.expect("never closed")),
            false => None,
        };
        CallPermit { _call: self.calls.acquire().await.expect("never closed"), _troubled: troubled }
    }
}

impl Default for ShardQueue {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::time::Duration;

    /// One shard with many calls, and later others with one call each.
    #[tokio::test(start_paused = true)]
    async fn shards_take_turns_however_many_calls_one_has() {
        let (turns, busy, log) = (CallPermits::new(2), ShardQueue::default(), Mutex::new(vec![]));
        let call = async |door: &ShardQueue, name: u32| {
            let _turn = turns.take(door, false).await;
            log.lock().push(name);
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let (turns_of_one, others) =
            (0..20, [ShardQueue::default(), ShardQueue::default(), ShardQueue::default()]);
        let many = futures::future::join_all(turns_of_one.map(|_| call(&busy, 0)));
        let few = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            futures::future::join_all(others.iter().map(|door| call(door, 1))).await
        };
        futures::join!(many, few);
        let log = log.into_inner();
        assert_eq!(log.len(), 23);
        let served = log.iter().rposition(|name| *name == 1).expect("served");
        assert!(served < 8, "{log:?}");
    }
}
