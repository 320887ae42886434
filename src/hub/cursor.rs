//! One client's place in a shard, and how it waits there.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::encode::ReadLimit;
use crate::model::{Now, SequenceNumber, Timestamp};
use crate::upstream::{ErrorClass, UpstreamError};

use super::reader::ReaderHandle;
use super::ready_queue::ReadyQueue;
use super::shard::poll::{Anchoring, Polled, Poller, WaitFor};
use super::shard::position::ReadPosition;
use super::wake_list::WakeHandle;

/// A place in a shard. Costs no task and no queue: while nobody looks, it asks for nothing.
#[derive(Debug)]
pub struct Cursor {
    /// Where it stands: everything before it was delivered.
    pub position: ReadPosition,
    follower: ReaderHandle,
    waiter: Option<u64>,
    seen: Option<u64>,
    wake_id: Option<u64>,
    notify: Option<Arc<Notify>>,
    /// The last poll found nothing and said so.
    reported_pending: bool,
    parked: Option<u64>,
}

/// Why a LATEST could not be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorError {
    /// Too many places are waiting behind the shard's window.
    Full,
    /// The upstream failed.
    Upstream(UpstreamError),
}

impl Cursor {
    pub(super) fn new(follower: ReaderHandle, position: ReadPosition) -> Self {
        Self {
            position,
            follower,
            waiter: None,
            seen: None,
            wake_id: None,
            notify: None,
            reported_pending: false,
            parked: None,
        }
    }

    /// Looks at what stands at the spot, without waiting; if nothing does, `wait_for` says what the
    /// upstream is asked for.
    pub fn poll(&mut self, room: ReadLimit, wait_for: WaitFor) -> Polled {
        let now = self.now();
        let reader = &self.follower.reader;
        let room = reader.granted(room);
        let (poll, needs_scheduling) = {
            let mut state = reader.state();
            let poll = state.poll(
                Poller { position: &mut self.position, waiter: &mut self.waiter },
                room,
                wait_for,
                now,
            );
            let unread =
                matches!(poll, Polled::Records(..) | Polled::Unreadable(..) | Polled::TooNew);
            state.park(&mut self.parked, unread.then_some(&self.position));
            state.set_wakeup(self.waiter, self.wake_id);
            (poll, state.take_needs_scheduling())
        };
        self.looked(poll, needs_scheduling)
    }

    /// As [`Self::poll`], for who will look again later to take what is found: for a while it stays
    /// in memory.
    pub fn peek(&mut self, room: ReadLimit, wait_for: WaitFor) -> Polled {
        let now = self.now();
        let room = self.follower.reader.granted(room);
        let (poll, needs_scheduling) = {
            let mut state = self.follower.reader.state();
            let poll = state.peek(
                Poller { position: &mut self.position, waiter: &mut self.waiter },
                room,
                wait_for,
                now,
            );
            state.set_wakeup(self.waiter, self.wake_id);
            (poll, state.take_needs_scheduling())
        };
        self.looked(poll, needs_scheduling)
    }

    /// As [`Self::poll`], for who has something already: what is there is found, and nothing is
    /// asked for or waited for.
    pub fn glance(&mut self, room: ReadLimit) -> Polled {
        let now = self.now();
        let room = self.follower.reader.granted(room);
        self.follower.reader.state().glance(&mut self.position, room, now)
    }

    /// As much of `room` as there is memory for. No look finds more.
    pub fn granted(&self, room: ReadLimit) -> ReadLimit {
        self.follower.reader.granted(room)
    }

    /// As [`Self::poll`], but a second look in a row that finds nothing waits until the upstream
    /// has said something.
    ///
    /// Cancel-safe: what is dropped is only the waiting.
    pub async fn next(&mut self, room: ReadLimit, wait_for: WaitFor) -> Polled {
        let reader = self.follower.reader.clone();
        loop {
            let news = reader.news();
            tokio::pin!(news);
            news.as_mut().enable();
            let version = reader.version();
            {
                let poll = self.poll(room, wait_for);
                let seen = self.seen.replace(version);
                if !matches!(poll, Polled::Pending(_)) || seen != Some(version) {
                    return poll;
                }
            }
            news.await;
        }
    }

    /// Returns when a look may find something else than the last one did: records, the tip, an
    /// outage or the end; not for one more empty response, unless the last look asked for
    /// [`WaitFor::EveryResponse`]. At once if the last look found something.
    ///
    /// Cancel-safe: what is dropped is only the waiting.
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

    /// From now on pushes `slot` to `ready_queue` when a look may find something else than the last
    /// one did, instead of waiting in [`Self::next`].
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

    /// Moves to LATEST: returns when the place is anchored, so that nothing written from then on is
    /// missed; and whether AWS has the shard, as far as that is known.
    pub async fn anchor(&mut self) -> Result<bool, AnchorError> {
        let reader = self.follower.reader.clone();
        let start = self.now();
        self.cancel_wait();
        loop {
            let news = reader.news();
            tokio::pin!(news);
            news.as_mut().enable();
            let (anchoring, needs_scheduling) = {
                let mut state = reader.state();
                (state.latest(&mut self.waiter, reader.now()), state.take_needs_scheduling())
            };
            if needs_scheduling {
                reader.call_for_work();
            }
            match anchoring {
                Anchoring::Done(position) => {
                    self.position = position;
                    return Ok(true);
                }
                Anchoring::Missed(position) => {
                    self.position = position;
                    return Ok(false);
                }
                Anchoring::Full => {
                    reader.turned_away();
                    return Err(AnchorError::Full);
                }
                Anchoring::Refused(error) => return Err(AnchorError::Upstream(error)),
                // One that is said not to be there is asked for anew, until listings say the same.
                Anchoring::Pending(Some(outage))
                    if outage.answers(start.at) && outage.error.class != ErrorClass::NotFound =>
                {
                    return Err(AnchorError::Upstream(outage.error.clone()));
                }
                Anchoring::Pending(_) => reader.call_for_work(),
            }
            news.await;
        }
    }

    /// Moves to the end of what was read from this spot, dropped records included: where a search
    /// that found nothing ended.
    pub fn move_to_end(&mut self) {
        let end = self.follower.reader.state().end_of(&self.position);
        self.position = end.unwrap_or_else(|| self.position.clone());
    }

    /// The newest number that was read from this spot, dropped records included.
    pub fn end_number(&self) -> Option<SequenceNumber> {
        self.follower.reader.state().end_of(&self.position)?.number()
    }

    /// Stops waiting: nothing is read for this cursor until the next look.
    pub fn cancel_wait(&mut self) {
        self.reported_pending = false;
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
        }
    }

    /// Creation of the record at the spot, if it is in memory.
    pub fn next_created(&self) -> Option<Timestamp> {
        self.follower.reader.state().next_created(&self.position)
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        self.follower.reader.now()
    }

    fn looked(&mut self, poll: Polled, needs_scheduling: bool) -> Polled {
        let reader = &self.follower.reader;
        if needs_scheduling {
            reader.call_for_work();
        }
        if matches!(poll, Polled::Full) {
            reader.turned_away();
        }
        self.reported_pending = matches!(poll, Polled::Pending(_));
        poll
    }
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
