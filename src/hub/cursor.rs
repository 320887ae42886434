//! One client's place in a shard, and how it waits there.

use std::sync::Arc;

use crate::clock::Clock;
use crate::encode::Room;
use crate::model::{Now, SequenceNumber, Timestamp};
use crate::upstream::UpstreamError;

use super::chime::Chime;
use super::look::{Anchoring, Ask, Look};
use super::reader::Follower;
use super::spot::Spot;

/// A place in a shard. Costs no task and no queue: while nobody looks, it asks for nothing.
#[derive(Debug)]
pub struct Cursor {
    /// Where it stands: everything before it was delivered.
    pub spot: Spot,
    follower: Follower,
    clock: Clock,
    want: Option<u64>,
    seen: Option<u64>,
    listening: Option<u64>,
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
    pub(super) fn new(follower: Follower, clock: Clock, spot: Spot) -> Self {
        Self { spot, follower, clock, want: None, seen: None, listening: None, stand: None }
    }

    /// Looks at what stands at the spot, without waiting; if nothing does, `ask` says what for the upstream is asked.
    pub fn look(&mut self, room: Room, ask: Ask) -> Look {
        let now = self.clock.now();
        let reader = &self.follower.reader;
        let look = {
            let mut state = reader.state();
            let look = state.look(&mut self.spot, &mut self.want, room, ask, now);
            let unread = matches!(look, Look::Records(..) | Look::Unreadable(..) | Look::TooNew);
            state.stand(&mut self.stand, unread.then_some(&self.spot));
            look
        };
        self.looked(look)
    }

    /// As [`Self::look`], for who will look again later to take what is found: for a while it stays in memory.
    pub fn peek(&mut self, room: Room, ask: Ask) -> Look {
        let now = self.clock.now();
        let reader = &self.follower.reader;
        let look = reader.state().peek(&mut self.spot, &mut self.want, room, ask, now);
        self.looked(look)
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
            let look = self.look(room, ask);
            let seen = self.seen.replace(version);
            if !matches!(look, Look::Pending(_)) || seen != Some(version) {
                return look;
            }
            news.await;
        }
    }

    /// From now on rings `chime` for `slot` when a look may find something else than the last one did, instead of waiting in
    /// [`Self::next`].
    pub fn listen(&mut self, chime: Arc<Chime>, slot: u32) {
        if let Some(id) = self.listening.take() {
            self.follower.reader.unlisten(id);
        }
        self.listening = Some(self.follower.reader.listen(chime, slot));
    }

    /// Moves to LATEST: returns when the place is anchored, so that nothing written from then on is missed.
    pub async fn anchor(&mut self) -> Result<(), AnchorError> {
        let reader = self.follower.reader.clone();
        let start = self.clock.now();
        self.rest();
        loop {
            let news = reader.news();
            tokio::pin!(news);
            news.as_mut().enable();
            let anchoring = reader.state().latest(&mut self.want, self.clock.now());
            match anchoring {
                Anchoring::Done(spot) => {
                    self.spot = spot;
                    return Ok(());
                }
                Anchoring::Full => {
                    reader.turned_away();
                    return Err(AnchorError::Full);
                }
                Anchoring::Refused(error) => return Err(AnchorError::Upstream(error)),
                Anchoring::Pending(Some(trouble)) if trouble.asked >= start.at => {
                    return Err(AnchorError::Upstream(trouble.error));
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
        if self.want.is_some() {
            self.follower.reader.state().leave(&mut self.want);
        }
    }

    /// Creation of the record at the spot, if it is in memory.
    pub fn next_created(&self) -> Option<Timestamp> {
        self.follower.reader.state().next_created(&self.spot)
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    fn looked(&self, look: Look) -> Look {
        match look {
            Look::Pending(_) => self.follower.reader.call_for_work(),
            Look::Full => self.follower.reader.turned_away(),
            _ => {}
        }
        look
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.rest();
        if self.stand.is_some() {
            self.follower.reader.state().stand(&mut self.stand, None);
        }
        if let Some(id) = self.listening.take() {
            self.follower.reader.unlisten(id);
        }
    }
}
