//! The waiters of a shard: what each cursor waits for, and since when. Pure.

use std::time::Instant;

use crate::model::Now;

use super::lane::Iter;
use super::poll::{Pending, Polled, Poller, WaitFor};
use super::position::ReadPosition;
use super::state::ShardState;

/// A cursor that waits for what comes next at its position.
#[derive(Debug)]
pub(super) struct Waiter {
    pub position: Option<ReadPosition>,
    pub lane: Option<u64>,
    /// The id of its wake handle, if it registered one.
    pub wake_id: Option<u64>,
    pub kind: WaiterKind,
    /// Only responses to calls made from this moment on count.
    pub since: Instant,
    /// Consecutive empty responses since then.
    pub empties: u32,
    /// All responses since then.
    pub answers: u32,
    /// When data arrived for the waiter, if it has not polled since; until it polls, nothing more
    /// is read for it.
    pub data_at: Option<Instant>,
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaiterKind {
    /// The cursor's own request.
    Poll(WaitFor),
    /// LATEST: the end of a lane, once a response to a call made from now on shows that it is the
    /// tip.
    Tip,
    /// LATEST: an iterator of AWS for LATEST itself.
    Latest,
}

impl ShardState {
    /// Removes a waiter.
    pub fn leave(&mut self, waiter: &mut Option<u64>) {
        if let Some(id) = waiter.take() {
            self.waiters.remove(&id);
            self.queue.retain(|&queued| queued != id);
            // The lane may be unused now.
            self.needs_scheduling |= !self.queue.is_empty();
        }
    }

    /// Whether any waiter needs the lane. A waiter that has not polled since data arrived stops
    /// counting after the idle timeout; its lane may be reused.
    pub(super) fn is_wanted(&self, lane: u64, now: Instant) -> bool {
        self.waiters
            .values()
            .any(|waiter| waiter.lane == Some(lane) && self.is_waiting(waiter, now))
    }

    pub(super) fn is_waiting(&self, waiter: &Waiter, now: Instant) -> bool {
        waiter.data_at.is_none_or(|since| {
            now.saturating_duration_since(since) < self.limits.reader_idle_timeout
        })
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
            lane.and_then(|id| self.lane(id)).is_some_and(|lane| lane.placed.is_some()),
            now.wall,
        );
        if lane.is_none() && waiter.is_none() && self.queue.len() >= self.limits.waiting_per_shard {
            return Polled::Full;
        }
        self.register(waiter, lane, WaiterKind::Poll(wait_for), now).position =
            Some(position.clone());
        Polled::Pending(self.pending(lane, *waiter, now))
    }

    /// What is known while a waiter waits at the end of `lane`.
    pub(super) fn pending(&mut self, lane: Option<u64>, waiter: Option<u64>, now: Now) -> Pending {
        let empties =
            waiter.and_then(|id| self.waiters.get(&id)).map_or(0, |waiter| waiter.empties);
        let idle = self.limits.idle_poll_interval;
        let lane = lane.and_then(|id| self.lane(id));
        Pending {
            at_tip: lane.as_ref().is_some_and(|lane| lane.is_at_tip(now.at, idle)),
            opened: lane
                .as_ref()
                .is_some_and(|lane| matches!(lane.iter, Iter::Ready { .. } | Iter::Reading { .. })),
            past: lane.as_ref().and_then(|lane| lane.tip.clock),
            observed: lane.and_then(|lane| Some(lane.tip.answered?.wall)),
            empties,
            outage: self.outage.clone(),
        }
    }

    /// Registers a waiter without a position. One that is already registered keeps its counts as
    /// long as its lane and kind stay the same.
    pub(super) fn register(
        &mut self,
        waiter: &mut Option<u64>,
        lane: Option<u64>,
        kind: WaiterKind,
        now: Now,
    ) -> &mut Waiter {
        let id = *waiter.get_or_insert_with(|| {
            self.ids += 1;
            self.ids
        });
        match lane {
            Some(_) => self.queue.retain(|&queued| queued != id),
            None if !self.queue.contains(&id) => self.queue.push_back(id),
            None => {}
        }
        let is_new = !self.waiters.contains_key(&id);
        let fresh = Waiter {
            position: None,
            lane,
            wake_id: None,
            kind,
            since: now.at,
            empties: 0,
            answers: 0,
            data_at: None,
        };
        let entry = self.waiters.entry(id).or_insert_with(|| Box::new(fresh));
        let moves = entry.lane != lane || entry.kind != kind;
        if moves {
            (entry.empties, entry.answers) = (0, 0);
        }
        self.needs_scheduling |= is_new || moves || entry.data_at.is_some();
        (entry.position, entry.lane, entry.kind, entry.data_at) = (None, lane, kind, None);
        entry
    }
}
