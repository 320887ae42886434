//! How a cursor that found nothing waits, and what it is told meanwhile. Pure.

use std::time::Instant;

use crate::model::Now;

use super::lane::{Iter, Lane};
use super::poll::{Pending, Polled, Poller, WaitFor};
use super::state::ShardState;
use super::waiters::{Registration, WaiterKind};
use super::wakeups::Wakeups;

impl ShardState {
    /// Removes a waiter.
    pub fn leave(&mut self, waiter: &mut Option<u64>) {
        self.waiters.leave(waiter);
    }

    /// Whether a waiter waits for a lane.
    pub fn is_queued(&self, waiter: Option<u64>) -> bool {
        self.waiters.get(waiter).is_some_and(|waiter| waiter.lane.is_none())
    }

    /// Sets the wake handle of a waiter.
    pub fn set_wakeup(&mut self, waiter: Option<u64>, wake_id: Option<u64>) {
        self.waiters.set_wakeup(waiter, wake_id);
    }

    /// Takes the waiters to wake because of what happened since the last call, each once.
    pub fn take_wakeups(&mut self) -> Wakeups {
        self.waiters.take_wakeups()
    }

    /// Whether a waiter changed or left since the last call, so that there may be more to read.
    pub fn take_needs_scheduling(&mut self) -> bool {
        self.waiters.take_needs_scheduling()
    }

    /// The number of waiters.
    pub fn waiter_count(&self) -> usize {
        self.waiters.count()
    }

    /// Whether any waiter needs the lane.
    pub(super) fn is_wanted(&self, lane: u64, now: Instant) -> bool {
        self.waiters.want(lane, self.limits.reader_idle_timeout, now)
    }

    /// Whether a new waiter without a lane would be one too many.
    pub(super) fn is_full(&self) -> bool {
        self.waiters.queued() >= self.limits.waiting_per_shard
    }

    /// Registers a waiter at the position: at the end of `lane`, or with a lane that is still to be
    /// started or queued for.
    pub(super) fn wait(
        &mut self,
        Poller { position, waiter }: Poller<'_>,
        lane: Option<u64>,
        wait_for: WaitFor,
        now: Now,
    ) -> Polled {
        let lane = lane.or_else(|| self.lane_for(position, now));
        position.await_place(
            lane.and_then(|id| self.lanes.get(id)).is_some_and(Lane::is_placed),
            now.wall,
        );
        if lane.is_none() && waiter.is_none() && self.is_full() {
            return Polled::Full;
        }
        let kind = WaiterKind::Poll(wait_for);
        let position = Some(position.clone());
        self.waiters.register(waiter, Registration { lane, kind, position, data_at: None }, now.at);
        Polled::Pending(self.pending(lane, *waiter, now))
    }

    /// What is known while a waiter waits at the end of `lane`.
    pub(super) fn pending(&self, lane: Option<u64>, waiter: Option<u64>, now: Now) -> Pending {
        let empties = self.waiters.get(waiter).map_or(0, |waiter| waiter.counts.empties);
        let idle = self.limits.idle_poll_interval;
        let lane = lane.and_then(|id| self.lanes.get(id));
        let newest = lane.and_then(|lane| lane.tip().newest);
        Pending {
            at_tip: lane.is_some_and(|lane| lane.is_at_tip(now.at, idle)),
            opened: lane.is_some_and(|lane| {
                matches!(lane.iter(), Iter::Ready { .. } | Iter::Reading { .. })
            }),
            past: newest.map(|newest| newest.clock),
            observed: newest.map(|newest| newest.came.wall),
            empties,
            outage: self.calls.outage(),
        }
    }
}
