//! One client's cursor in a shard, and how it waits for records.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use crate::encode::ReadLimit;
use crate::model::{Now, SequenceNumber, Timestamp};
use crate::upstream::{ErrorClass, UpstreamError};

use super::caller_use::CursorUse;
use super::reader::ReaderHandle;
use super::ready_queue::ReadyQueue;
use super::shard::poll::{Anchoring, Polled, Poller, WaitFor};
use super::shard::position::ReadPosition;
use super::shard::state::ShardState;
use super::wake_list::WakeHandle;

/// A client's position in a shard. Costs no task and no queue: while the client does not poll,
/// nothing is read for it.
#[derive(Debug)]
pub struct Cursor {
    /// The position: everything before it was delivered.
    pub position: ReadPosition,
    follower: ReaderHandle,
    waiter: Option<u64>,
    wake_id: Option<u64>,
    notify: Option<Arc<Notify>>,
    /// The last poll returned [`Polled::Pending`].
    reported_pending: bool,
    parked: Option<u64>,
    /// Its part of what its caller uses; `None`: nobody counts that.
    used: Option<Box<CursorUse>>,
    /// It may not wait for a lane: the last poll returned [`Polled::Full`] for its caller's quota.
    over_quota: bool,
}

/// Why a LATEST position could not be anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorError {
    /// Too many positions behind the shard's window wait to be read.
    Full,
    /// The upstream failed.
    Upstream(UpstreamError),
}

impl Cursor {
    pub(super) fn new(
        follower: ReaderHandle,
        used: Option<CursorUse>,
        position: ReadPosition,
    ) -> Self {
        Self {
            position,
            follower,
            waiter: None,
            wake_id: None,
            notify: None,
            reported_pending: false,
            parked: None,
            used: used.map(Box::new),
            over_quota: false,
        }
    }

    /// Polls the position, without waiting. If nothing is found, `wait_for` says what to request
    /// from the upstream.
    pub fn poll(&mut self, room: ReadLimit, wait_for: WaitFor) -> Polled {
        let now = self.now();
        let reader = &self.follower.reader;
        let room = reader.granted(room);
        let (polled, needs_scheduling) = {
            let mut state = reader.state();
            let mut polled = state.poll(
                Poller { position: &mut self.position, waiter: &mut self.waiter },
                room,
                wait_for,
                now,
            );
            self.over_quota = is_over_quota(&mut self.used, &mut state, &mut self.waiter);
            if self.over_quota {
                polled = Polled::Full;
            }
            let unread =
                matches!(polled, Polled::Records(..) | Polled::Unreadable(..) | Polled::TooNew);
            state.park(&mut self.parked, unread.then_some(&self.position));
            state.set_wakeup(self.waiter, self.wake_id);
            (polled, state.take_needs_scheduling())
        };
        self.finish_poll(polled, needs_scheduling)
    }

    /// As [`Self::poll`], for a client that will poll again later to take the records: they stay in
    /// memory for a while.
    pub fn peek(&mut self, room: ReadLimit, wait_for: WaitFor) -> Polled {
        let now = self.now();
        let room = self.follower.reader.granted(room);
        let (polled, needs_scheduling) = {
            let mut state = self.follower.reader.state();
            let mut polled = state.peek(
                Poller { position: &mut self.position, waiter: &mut self.waiter },
                room,
                wait_for,
                now,
            );
            if matches!(polled, Polled::Pending(_)) {
                self.over_quota = is_over_quota(&mut self.used, &mut state, &mut self.waiter);
                polled = if self.over_quota { Polled::Full } else { polled };
            }
            state.set_wakeup(self.waiter, self.wake_id);
            (polled, state.take_needs_scheduling())
        };
        self.finish_poll(polled, needs_scheduling)
    }

    /// As [`Self::poll`], for a client that has something already: finds what is in memory,
    /// requests nothing and registers no waiter.
    pub fn glance(&mut self, room: ReadLimit) -> Polled {
        let now = self.now();
        let room = self.follower.reader.granted(room);
        self.follower.reader.state().glance(&mut self.position, room, now)
    }

    /// As much of `room` as there is memory for. A poll returns no more than that.
    pub fn granted(&self, room: ReadLimit) -> ReadLimit {
        self.follower.reader.granted(room)
    }

    /// As [`Self::poll`], but a second poll in a row that finds nothing waits until another may find
    /// something else (as [`Self::changed`]): an idle shard wakes nobody.
    ///
    /// Cancel-safe: dropping it only stops the waiting.
    pub async fn next(&mut self, room: ReadLimit, wait_for: WaitFor) -> Polled {
        self.changed().await;
        self.poll(room, wait_for)
    }

    /// Returns when a poll may find something else than the last one did: records, the tip, an
    /// outage or the end; not for another empty response, unless the last poll requested
    /// [`WaitFor::EveryResponse`]. Returns at once the first time, and if the last poll found
    /// something.
    ///
    /// Cancel-safe: dropping it only stops the waiting.
    pub async fn changed(&mut self) {
        let Some(notify) = &self.notify else {
            let notify = self.notify.insert(Arc::default()).clone();
            self.wake_id = Some(self.follower.reader.wake_list().add(WakeHandle::Notify(notify)));
            return;
        };
        if self.reported_pending {
            notify.notified().await;
        }
    }

    /// From now on pushes `slot` to `ready_queue` when a poll may find something else than the last
    /// one did, instead of waiting in [`Self::changed`].
    pub fn register(&mut self, ready_queue: Arc<ReadyQueue>, slot: u32) {
        self.unregister();
        self.wake_id =
            Some(self.follower.reader.wake_list().add(WakeHandle::ReadyQueue(ready_queue, slot)));
    }

    fn unregister(&mut self) {
        if let Some(id) = self.wake_id.take() {
            self.follower.reader.wake_list().remove(id);
        }
    }

    /// Moves to LATEST. Returns once the position is anchored: no record written after that is
    /// missed. The value says whether AWS has the shard, as far as that is known.
    pub async fn anchor(&mut self) -> Result<bool, AnchorError> {
        let begun = self.now().at;
        self.cancel_wait();
        let anchored = loop {
            self.changed().await;
            if let Some(anchored) = self.look_for_the_anchor(begun) {
                break anchored;
            }
        };
        self.cancel_wait();
        anchored
    }

    /// One look for the anchor of a LATEST requested at `begun`; `None`: AWS has not responded yet.
    fn look_for_the_anchor(&mut self, begun: Instant) -> Option<Result<bool, AnchorError>> {
        let (reader, now) = (&self.follower.reader, self.now());
        let (anchoring, needs_scheduling) = {
            let mut state = reader.state();
            let mut anchoring = state.latest(&mut self.waiter, now);
            self.over_quota = is_over_quota(&mut self.used, &mut state, &mut self.waiter);
            if self.over_quota {
                anchoring = Anchoring::Full;
            }
            state.set_wakeup(self.waiter, self.wake_id);
            (anchoring, state.take_needs_scheduling())
        };
        self.reported_pending = matches!(anchoring, Anchoring::Pending(_));
        if needs_scheduling || self.reported_pending {
            reader.call_for_work();
        }
        match anchoring {
            Anchoring::Done(position) => {
                self.position = position;
                Some(Ok(true))
            }
            Anchoring::Missed(position) => {
                self.position = position;
                Some(Ok(false))
            }
            Anchoring::Full => {
                reader.turned_away(self.over_quota);
                Some(Err(AnchorError::Full))
            }
            Anchoring::Refused(error) => Some(Err(AnchorError::Upstream(error))),
            // A shard reported as not found is requested again until the listings agree (a denial).
            Anchoring::Pending(Some(outage))
                if outage.answers(begun) && outage.error.class != ErrorClass::NotFound =>
            {
                Some(Err(AnchorError::Upstream(outage.error.clone())))
            }
            Anchoring::Pending(_) => None,
        }
    }

    /// Moves to the end of what was read from this position, dropped records included: the end of a
    /// search that found nothing.
    pub fn move_to_end(&mut self) {
        let end = self.follower.reader.state().end_of(&self.position);
        self.position = end.unwrap_or_else(|| self.position.clone());
    }

    /// The newest sequence number read from this position, dropped records included.
    pub fn end_number(&self) -> Option<SequenceNumber> {
        self.follower.reader.state().end_of(&self.position)?.number()
    }

    /// Stops waiting: nothing is read for this cursor until its next poll.
    pub fn cancel_wait(&mut self) {
        self.reported_pending = false;
        if self.notify.take().is_some() {
            self.unregister();
        }
        if self.waiter.is_some() {
            let reader = &self.follower.reader;
            let needs_scheduling = {
                let mut state = reader.state();
                state.leave(&mut self.waiter);
                state.take_needs_scheduling()
            };
            if needs_scheduling {
                reader.call_for_work();
            }
            if let Some(used) = &mut self.used {
                used.may_wait(false);
            }
        }
    }

    /// Creation time of the record at the position; `None` if it is not in memory.
    pub fn next_created(&self) -> Option<Timestamp> {
        self.follower.reader.state().next_created(&self.position)
    }

    /// The current time.
    pub fn now(&self) -> Now {
        self.follower.reader.now()
    }

    fn finish_poll(&mut self, polled: Polled, needs_scheduling: bool) -> Polled {
        let reader = &self.follower.reader;
        if needs_scheduling {
            reader.call_for_work();
        }
        if matches!(polled, Polled::Full) {
            reader.turned_away(self.over_quota);
        }
        self.reported_pending = matches!(polled, Polled::Pending(_));
        polled
    }
}

/// Whether the waiter waits for a lane although its caller has as many places as it may. It leaves
/// then.
fn is_over_quota(
    used: &mut Option<Box<CursorUse>>,
    state: &mut ShardState,
    waiter: &mut Option<u64>,
) -> bool {
    let queued = state.is_queued(*waiter);
    let over = used.as_mut().is_some_and(|used| !used.may_wait(queued));
    if over {
        state.leave(waiter);
    }
    over
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.cancel_wait();
        if self.parked.is_some() {
            self.follower.reader.state().park(&mut self.parked, None);
        }
        self.unregister();
    }
}
