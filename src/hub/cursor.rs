//! One client's place in a shard, and how it waits there.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::encode::Room;
use crate::model::{Now, SequenceNumber, Timestamp};
use crate::upstream::{ErrorClass, UpstreamError};

use super::chime::Chime;
use super::ears::Ear;
use super::look::{Anchoring, Ask, Look, Waiter};
use super::reader::Follower;
use super::spot::Spot;

/// A place in a shard. Costs no task and no queue: while nobody looks, it asks for nothing.
#[derive(Debug)]
pub struct Cursor {
    /// Where it stands: everything before it was delivered.
    pub spot: Spot,
    follower: Follower,
    want: Option<u64>,
    seen: Option<u64>,
    ear: Option<u64>,
    bell: Option<Arc<Notify>>,
    /// The last look found nothing, and whoever waits was told so.
    told: bool,
    stand: Option<u64>,
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
    pub(super) fn new(follower: Follower, spot: Spot) -> Self {
        Self { spot, follower, want: None, seen: None, ear: None, bell: None, told: false, stand: None }
    }

    /// Looks at what stands at the spot, without waiting; if nothing does, `ask` says what for the upstream is asked.
    pub fn look(&mut self, room: Room, ask: Ask) -> Look {
        let now = self.now();
        let reader = &self.follower.reader;
        let room = reader.granted(room);
        let (look, roused) = {
            let mut state = reader.state();
            let look = state.look(Waiter { spot: &mut self.spot, want: &mut self.want }, room, ask, now);
            let unread = matches!(look, Look::Records(..) | Look::Unreadable(..) | Look::TooNew);
            state.stand(&mut self.stand, unread.then_some(&self.spot));
            state.hear(self.want, self.ear);
            (look, state.take_roused())
        };
        self.looked(look, roused)
    }

    /// As [`Self::look`], for who will look again later to take what is found: for a while it stays in memory.
    pub fn peek(&mut self, room: Room, ask: Ask) -> Look {
        let now = self.now();
        let room = self.follower.reader.granted(room);
        let (look, roused) = {
            let mut state = self.follower.reader.state();
            let look = state.peek(Waiter { spot: &mut self.spot, want: &mut self.want }, room, ask, now);
            state.hear(self.want, self.ear);
            (look, state.take_roused())
        };
        self.looked(look, roused)
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

    /// Returns when a look in the flow may find something else than the last one did: records, the tip, trouble or the end; not
    /// for one more empty answer, unless the last look asked for [`Ask::Every`]. At once if the last look found something.
    ///
    /// Cancel-safe: what is dropped is only the waiting.
    pub async fn stirred(&mut self) {
        let Some(bell) = &self.bell else {
            let bell = self.bell.insert(Arc::default()).clone();
            self.ear = Some(self.follower.reader.ears().add(Ear::Bell(bell)));
            return;
        };
        if self.told {
            bell.notified().await;
        }
    }

    /// From now on rings `chime` for `slot` when a look may find something else than the last one did, instead of waiting in
    /// [`Self::next`].
    pub fn listen(&mut self, chime: Arc<Chime>, slot: u32) {
        self.deafen();
        self.ear = Some(self.follower.reader.ears().add(Ear::Chime(chime, slot)));
    }

    fn deafen(&mut self) {
        if let Some(ear) = self.ear.take() {
            self.follower.reader.ears().remove(ear);
        }
    }

    /// Moves to LATEST: returns when the place is anchored, so that nothing written from then on is missed; and whether AWS has
    /// the shard, as far as that is known.
    pub async fn anchor(&mut self) -> Result<bool, AnchorError> {
        let reader = self.follower.reader.clone();
        let start = self.now();
        self.rest();
        loop {
            let news = reader.news();
            tokio::pin!(news);
            news.as_mut().enable();
            let (anchoring, roused) = {
                let mut state = reader.state();
                (state.latest(&mut self.want, reader.now()), state.take_roused())
            };
            if roused {
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

    /// Stops waiting: nothing is asked for until the next look.
    pub fn rest(&mut self) {
        self.told = false;
        if self.want.is_some() {
            let reader = &self.follower.reader;
            let roused = {
                let mut state = reader.state();
                state.leave(&mut self.want);
                state.take_roused()
            };
            if roused {
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

    fn looked(&mut self, look: Look, roused: bool) -> Look {
        let reader = &self.follower.reader;
        if roused {
            reader.call_for_work();
        }
        if matches!(look, Look::Full) {
            reader.turned_away();
        }
        self.told = matches!(look, Look::Pending(_));
        look
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.rest();
        if self.stand.is_some() {
            self.follower.reader.state().stand(&mut self.stand, None);
        }
        self.deafen();
    }
}
