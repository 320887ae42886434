//! The wake handles of all cursors that wait on a shard: an upstream response wakes only the
//! cursors it concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ready_queue::ReadyQueue;
use super::shard::wakeups::Wakeups;

/// How one waiting cursor is woken.
#[derive(Clone, Debug)]
pub(super) enum WakeHandle {
    /// The client follows this shard alone.
    Notify(Arc<Notify>),
    /// The client follows many shards; this shard has the slot.
    ReadyQueue(Arc<ReadyQueue>, u32),
}

/// A shard's registered handles in order of registration; at most one per cursor.
#[derive(Debug, Default)]
pub(super) struct WakeList {
    handles: Mutex<BTreeMap<u64, WakeHandle>>,
}

impl WakeHandle {
    fn wake(&self) {
        match self {
            Self::Notify(notify) => notify.notify_one(),
            Self::ReadyQueue(queue, slot) => queue.push(*slot),
        }
    }
}

impl WakeList {
    /// Registers a handle until [`Self::remove`] is called with the returned id.
    pub(super) fn add(&self, handle: WakeHandle) -> u64 {
        let mut handles = self.handles.lock();
        let id = handles.last_key_value().map_or(0, |(last, _)| last + 1);
        handles.insert(id, handle);
        id
    }

    /// Unregisters a handle.
    pub(super) fn remove(&self, id: u64) {
        self.handles.lock().remove(&id);
    }

    /// The number of registered handles.
    pub(super) fn count(&self) -> usize {
        self.handles.lock().len()
    }

    /// Wakes the handles named by `wakeups`.
    pub(super) fn wake(&self, wakeups: &Wakeups) {
        let handles = self.handles.lock();
        match wakeups {
            Wakeups::All => handles.values().for_each(WakeHandle::wake),
            Wakeups::These(ids) => {
                ids.iter().filter_map(|id| handles.get(id)).for_each(WakeHandle::wake)
            }
        }
    }
}
