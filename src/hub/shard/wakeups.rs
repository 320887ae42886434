//! Which waiters an upstream response wakes: those for whom another poll may find something else.
//! Pure.
//!
//! An idle shard is read again and again, thousands may wait at its tip, and most responses change
//! nothing for any of them.

use super::state::ShardState;
use super::waiter::Waiter;

/// Which waiters have to poll again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wakeups {
    /// All waiters.
    All,
    /// The waiters with these wake handle ids.
    These(Vec<u64>),
}

impl Default for Wakeups {
    fn default() -> Self {
        Self::These(vec![])
    }
}

impl Wakeups {
    pub(super) fn add(&mut self, id: Option<u64>) {
        if let (Self::These(ids), Some(id)) = (self, id) {
            ids.push(id);
        }
    }
}

impl ShardState {
    /// Sets the wake handle of a waiter.
    pub fn set_wakeup(&mut self, waiter: Option<u64>, wake_id: Option<u64>) {
        if let Some(waiter) = waiter.and_then(|id| self.waiters.get_mut(&id)) {
            waiter.wake_id = wake_id;
        }
    }

    /// Takes the waiters to wake because of what happened since the last call, each once.
    pub fn take_wakeups(&mut self) -> Wakeups {
        let mut wakeups = std::mem::take(&mut self.wakeups);
        if let Wakeups::These(ids) = &mut wakeups {
            ids.sort_unstable();
            ids.dedup();
        }
        wakeups
    }

    pub(super) fn wake_all(&mut self) {
        self.wakeups = Wakeups::All;
    }

    /// Wakes the waiters of a lane.
    pub(super) fn wake_lane(&mut self, lane: u64) {
        self.wake_where(|waiter| waiter.lane == Some(lane));
    }

    /// The lane read records. Wakes its waiters, waiters without a lane, and those at the ends of
    /// lanes that are less far ahead.
    pub(super) fn wake_up_to(&mut self, lane: u64) {
        let Some(tail) = self.lane(lane).map(|lane| lane.tail) else { return };
        let ahead: Vec<u64> = self
            .lanes
            .iter()
            .filter(|other| other.id != lane && other.tail >= tail)
            .map(|other| other.id)
            .collect();
        self.wake_where(|waiter| waiter.lane.is_none_or(|lane| !ahead.contains(&lane)));
    }

    fn wake_where(&mut self, concerns: impl Fn(&Waiter) -> bool) {
        for waiter in self.waiters.values().filter(|waiter| concerns(waiter)) {
            self.wakeups.add(waiter.wake_id);
        }
    }
}
