//! One client's place in a shard, and how it waits there.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::encode::Room;
use crate::model::{Now, SequenceNumber, Timestamp};
use crate::upstream::{ErrorClass, UpstreamError};

use super::look::{Anchoring, Ask, Look, Poller};
use super::position::ReadPosition;
use super::reader::Follower;
use super::ready_queue::ReadyQueue;
use super::wake_list::WakeHandle;

/// A place in a shard. Costs no task and no queue: while nobody looks, it asks for nothing.
#[derive(Debug)]
pub struct Cursor {
    /// Where it stands: everything before it was delivered.
    pub spot: ReadPosition,
    follower: Follower,
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
    pub(super) fn new(follower: Follower, spot: ReadPosition) -> Self {
        Self {
            spot,
            follower,
            waiter: None,
            seen: None,
            wake_id: None,
            notify: None,
            reported_pending: false,
            parked: None,
        }
    }

    /// Looks at what stands at the spot, without waiting; if nothing does, `ask` says what the upstream is asked for.
    pub fn look(&mut self, room: Room, ask: Ask) -> Look {
        let now = self.now();
        let reader = &self.follower.reader;
        let room = reader.granted(room);
        let (look, needs_scheduling) = {
            let mut state = reader.state();
            let look = state.look(Poller { spot: &mut self.spot, waiter: &mut self.waiter }, room, ask, now);
            let unread = matches!(look, Look::Records(..) | Look::Unreadable(..) | Look::TooNew);
            state.park(&mut self.parked, unread.then_some(&self.spot));
            state.set_wakeup(self.waiter, self.wake_id);
            (look, state.take_needs_scheduling())
        };
        self.looked(look, needs_scheduling)
    }

    /// As [`Self::look`], for who will look again later to take what is found: for a while it stays in memory.
    pub fn peek(&mut self, room: Room, ask: Ask) -> Look {
        let now = self.now();
        let room = self.follower.reader.granted(room);
        let (look, needs_scheduling) = {
            let mut state = self.follower.reader.state();
            let look = state.peek(Poller { spot: &mut self.spot, waiter: &mut self.waiter }, room, ask, now);
            state.set_wakeup(self.waiter, self.wake_id);
            (look, state.take_needs_scheduling())
        };
        self.looked(look, needs_scheduling)
    }

    /// As [`Self::look`], for who has something already: what is there is found, and nothing is asked for or waited for.
    pub fn glance(&mut self, room: Room) -> Look {
        let now = self.now();
        let room = self.follower.reader.granted(room);
        self.follower.reader.state().glance(&mut self.spot, room, now)
    }

    /// As much of `room` as there is memory for. No look finds more.
    pub fn granted(&self, room: Room) -> Room {
        self.follower.reader.granted(room)
    }

    /// As [`Self::look`], but a second look in a row that finds nothing waits until the upstream has said something.
    ///
    /// Cancel-safe: what is dropped is only the waiting.
    pub async fn next(&mut self, room: Room, ask: Ask) -> Look {
        let reader = self.follower.reader.clone();
        loop {
            let news = reader.news();
            tokio::pin!(news);
            news.as_mut().enable();
            let version = reader.version();
            {
                let look = self.look(room, ask);
                let seen = self.seen.replace(version);
                if !matches!(look, Look::Pending(_)) || seen != Some(version) {
                    return look;
                }
            }
            news.await;
        }
    }

    /// Returns when a look may find something else than the last one did: records, the tip, an outage or the end; not for one
    /// more empty response, unless the last look asked for [`Ask::Every`]. At once if the last look found something.
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

    /// From now on pushes `slot` to `ready_queue` when a look may find something else than the last one did, instead of waiting
    /// in [`Self::next`].
    pub fn register(&mut self, ready_queue: Arc<ReadyQueue>, slot: u32) {
        self.unregister();
        self.wake_id = Some(self.follower.reader.wake_list().add(WakeHandle::ReadyQueue(ready_queue, slot)));
    }

    fn unregister(&mut self) {
        if let Some(id) = self.wake_id.take() {
            self.follower.reader.wake_list().remove(id);
        }
    }

    /// Moves to LATEST: returns when the place is anchored, so that nothing written from then on is missed; and whether AWS has
    /// the shard, as far as that is known.
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
                Anchoring::Done(spot) => {
                    self.spot = spot;
                    return Ok(true);
                }
                Anchoring::Missed(spot) => {
                    self.spot = spot;
                    return Ok(false);
                }
                Anchoring::Full => {
                    reader.turned_away();
                    return Err(AnchorError::Full);
                }
                Anchoring::Refused(error) => return Err(AnchorError::Upstream(error)),
                // One that is said not to be there is asked for anew, until listings say the same.
                Anchoring::Pending(Some(trouble))
                    if trouble.answers(start.at) && trouble.error.class != ErrorClass::NotFound =>
                {
                    return Err(AnchorError::Upstream(trouble.error.clone()));
                }
                Anchoring::Pending(_) => reader.call_for_work(),
            }
            news.await;
        }
    }

    /// Moves to the end of what was read from this spot, dropped records included: where a search that found nothing
    /// ended.
    pub fn move_to_end(&mut self) {
        let end = self.follower.reader.state().end_of(&self.spot);
        self.spot = end.unwrap_or_else(|| self.spot.clone());
    }

    /// The newest number that was read from this spot, dropped records included.
    pub fn end_number(&self) -> Option<SequenceNumber> {
        self.follower.reader.state().end_of(&self.spot)?.number()
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
        self.follower.reader.state().next_created(&self.spot)
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        self.follower.reader.now()
    }

    fn looked(&mut self, look: Look, needs_scheduling: bool) -> Look {
        let reader = &self.follower.reader;
        if needs_scheduling {
            reader.call_for_work();
        }
        if matches!(look, Look::Full) {
            reader.turned_away();
        }
        self.reported_pending = matches!(look, Look::Pending(_));
        look
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
