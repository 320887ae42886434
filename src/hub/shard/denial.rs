//! Whether AWS still has a shard of which it said once that it does not. Pure.
//!
//! A single such answer proves nothing: stand-ins give it in passing, and what answers may lag
//! behind what is. The stream's listing is asked, and asked once more after a while; meanwhile the
//! shard itself is asked again and again, with pauses that grow.

use std::time::{Duration, Instant};

use crate::model::{self, Now, Timestamp};
use crate::upstream::UpstreamError;

use super::lane::{Iter, Lane, LaneEnd};
use super::position::SAFE_AGE;
use super::state::ShardState;

/// So long lie between two listings that both say that a shard is gone.
pub const APART: Duration = Duration::from_secs(15);

/// So many answers in a row say that a shard is gone which a listing has. (Upstreams that deny in
/// passing fail otherwise, too.)
const STEADY: u32 = 5;

/// A shard that AWS says it does not have, and that may be there all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// When the listing is to be asked next; `None` while it is being asked.
    due: Option<Instant>,
    /// When the first listing was begun of those in a row that say so, too.
    missed: Option<Instant>,
    /// Answers in a row that say so, and no other failure between them.
    denials: u32,
    /// The listings agree: the shard is gone.
    certain: bool,
}

/// What a listing says of a shard that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It is listed, like this.
    Still(model::Shard),
    /// It is not listed, or the stream itself is not there.
    No,
    /// The listing failed, or has rows that cannot be understood and may be it: it says nothing.
    Unknown,
}

impl Denial {
    fn new(now: Instant) -> Self {
        Self { due: Some(now), missed: None, denials: 0, certain: false }
    }

    /// A listing that was begun at `begun` says so. `alive`: the newest moment at which the shard
    /// must have been there.
    fn answered(&mut self, listed: &Listed, begun: Instant, alive: Option<Timestamp>, now: Now) {
        let gone = match listed {
            // Beside a listing that has it, only steady denial counts.
            Listed::Still(shard) if is_spent(shard, alive, now.wall) => {
                (self.denials >= STEADY).then_some(true)
            }
            Listed::Still(_) => Some(false),
            Listed::No => Some(true),
            Listed::Unknown => None,
        };
        self.missed = match gone {
            Some(true) => self.missed.or(Some(begun)),
            Some(false) => None,
            None => self.missed,
        };
        let agreed = gone == Some(true)
            && self.missed.is_some_and(|first| begun.saturating_duration_since(first) >= APART);
        self.certain |= agreed;
        self.due = (!self.certain).then(|| now.at + APART);
    }
}

/// A closed shard may be listed for longer than its records are kept. For one that is open or
/// young, or of which a record must still be kept, there is no such reason not to be there.
fn is_spent(shard: &model::Shard, alive: Option<Timestamp>, now: Timestamp) -> bool {
    let is_old = |time: Timestamp| now.since(time) >= SAFE_AGE;
    shard.is_closed() && shard.id.created().is_none_or(is_old) && alive.is_none_or(is_old)
}

impl ShardState {
    /// When the listing should be asked, if somebody waits for the shard; from then on it counts as
    /// being asked.
    pub(super) fn ask_whether_listed(&mut self, now: Instant) -> Option<Instant> {
        let denial = self.denial.as_mut().filter(|_| !self.waiters.is_empty())?;
        let due = denial.due?;
        if due <= now {
            denial.due = None;
        }
        Some(due)
    }

    /// The listing was asked at `begun`.
    pub fn listed(&mut self, listed: &Listed, begun: Instant, now: Now) {
        let alive = self.was_there();
        // The shard may have answered meanwhile.
        let Some(denial) = &mut self.denial else { return };
        denial.answered(listed, begun, alive, now);
        if denial.certain {
            let waiting = self
                .lanes
                .iter_mut()
                .filter(|lane| !lane.is_busy() && !matches!(lane.iter, Iter::Done(_)));
            waiting.for_each(|lane| lane.iter = Iter::Done(LaneEnd::Gone));
            // Whoever asks from now on gets the same answer soon.
            self.paused = None;
            self.wake_all();
        }
    }

    /// The newest moment at which something of the shard was not older than AWS keeps it, as those
    /// who wait and what was read say: a record was created, or nothing was behind it yet.
    fn was_there(&self) -> Option<Timestamp> {
        let positions = self.waiters.values().filter_map(|waiter| waiter.position.as_ref());
        let delivered = positions
            .filter(|position| position.is_numbered())
            .filter_map(|position| position.time);
        delivered.chain(self.lanes.iter().filter_map(Lane::newest_created)).max()
    }

    /// A call failed in another way than by saying that the shard is not there.
    pub(super) fn fails_otherwise(&mut self) {
        if let Some(denial) = &mut self.denial {
            denial.denials = 0;
        }
    }

    /// AWS says that it does not have the shard.
    pub(super) fn not_found(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        let denial = self.denial.get_or_insert_with(|| Denial::new(now.at));
        denial.denials += 1;
        let denial = *denial;
        if let Some(lane) = self.lane(id) {
            lane.iter = if denial.certain { Iter::Done(LaneEnd::Gone) } else { Iter::Needed };
        }
        if !denial.certain {
            self.failed(asked, error, now);
        }
    }
}
