//! Decides whether AWS really no longer has a shard, after one response that said so. Pure.
//!
//! A single such response proves nothing: stand-ins sometimes give it by mistake, and responses may
//! lag behind the real state. So the stream is listed, and listed again after a while; meanwhile
//! calls to the shard are retried, with growing pauses.

use std::time::{Duration, Instant};

use crate::model::{self, Now, Timestamp};

use super::position::SAFE_AGE;

/// The least time between the two listings that must agree that a shard is gone.
pub const APART: Duration = Duration::from_secs(15);

/// Consecutive denials after which a shard counts as gone although a listing still has it.
/// (Upstreams that deny by mistake also fail in other ways, which breaks the row.)
const STEADY: u32 = 5;

/// The state of a shard that AWS denies but that may still exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// When the next listing is due; `None` while one is under way, or when none is needed any
    /// more.
    due: Option<Instant>,
    /// When the first of the consecutive listings that agree with the denial began; `None`: none
    /// agrees so far.
    missed: Option<Instant>,
    /// Consecutive denials, without another kind of failure between them.
    denials: u32,
    /// The listings agree: the shard is gone.
    certain: bool,
}

/// Whether the shard may be gone.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Set once AWS has said that it does not have the shard, until a call succeeds.
    denial: Option<Denial>,
}

/// What a listing says of a shard that is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// The shard is listed, as given here.
    Still(model::Shard),
    /// The shard is not listed, or the stream itself does not exist.
    No,
    /// Nothing is known: the listing failed, or has unreadable rows that may be this shard.
    Unknown,
}

impl Denial {
    fn new(now: Instant) -> Self {
        Self { due: Some(now), missed: None, denials: 0, certain: false }
    }

    /// Takes in a listing that began at `begun`. `alive`: the newest time at which the shard must
    /// have existed.
    fn answered(&mut self, listed: &Listed, begun: Instant, alive: Option<Timestamp>, now: Now) {
        let gone = match listed {
            // Against a listing that still has the shard, only enough consecutive denials count.
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

/// Whether the shard may be gone although it is listed: AWS may list a closed shard for longer than
/// it keeps the records. An open or young shard, or one with a record that must still be kept, has
/// no reason to be gone.
fn is_spent(shard: &model::Shard, alive: Option<Timestamp>, now: Timestamp) -> bool {
    let is_old = |time: Timestamp| now.since(time) >= SAFE_AGE;
    shard.is_closed() && shard.id.created().is_none_or(is_old) && alive.is_none_or(is_old)
}

impl Doubt {
    /// A call succeeded: the shard is there.
    pub(super) fn is_over(&mut self) {
        self.denial = None;
    }

    /// A call failed with an error other than "not found".
    pub(super) fn fails_otherwise(&mut self) {
        if let Some(denial) = &mut self.denial {
            denial.denials = 0;
        }
    }

    /// A call failed because AWS says that it does not have the shard. Returns whether that is
    /// certain.
    pub(super) fn denied(&mut self, now: Instant) -> bool {
        let denial = self.denial.get_or_insert_with(|| Denial::new(now));
        denial.denials += 1;
        denial.certain
    }

    /// When a listing is due. If it is due already, it counts as under way from now on.
    pub(super) fn take_listing(&mut self, now: Instant) -> Option<Instant> {
        let denial = self.denial.as_mut()?;
        let due = denial.due?;
        if due <= now {
            denial.due = None;
        }
        Some(due)
    }

    /// As [`Denial::answered`]; returns whether the shard is certainly gone. A call to the shard
    /// may have succeeded meanwhile.
    pub(super) fn listed(
        &mut self,
        listed: &Listed,
        begun: Instant,
        alive: Option<Timestamp>,
        now: Now,
    ) -> bool {
        let Some(denial) = &mut self.denial else { return false };
        denial.answered(listed, begun, alive, now);
        denial.certain
    }
}
