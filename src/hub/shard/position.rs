//! Where one cursor stands: a place, or an anchor that has not become one yet. Pure.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::encode::{Entry, LogOffset};
use crate::model::{Checkpoint, Now, Position, SequenceNumber, Timestamp};
use crate::upstream::ITERATOR_LIFE;

/// Where AWS may begin to trim: 24 hours, less an hour for clocks and for its own "at any moment".
pub const SAFE_AGE: Duration = Duration::from_secs(23 * 3_600);

/// For how long a place without a number stays what it was when AWS gave it, however old what lies
/// behind it is: as long as an iterator lives. Whoever comes later than that may have lost what was
/// trimmed meanwhile.
pub const GRACE: Duration = ITERATOR_LIFE;

/// AWS's clock and ours, and the time between its answer and its `Date`: how far before the `Date`
/// a LATEST that is resumed by time begins.
const ANCHOR_MARGIN: Duration = Duration::from_secs(3);

/// A LATEST that was asked for and has met no record yet. Whoever stands on it holds the same
/// `Arc`, and by that keeps the iterator alive.
#[derive(Debug)]
pub struct Anchor {
    /// Nothing written after the asking was created before this: how the place is resumed until
    /// `first` is known.
    pub fallback: Timestamp,
    /// The first record behind the anchor, once it was read: from then on the place is exact.
    pub first: OnceLock<SequenceNumber>,
}

/// What a spot is measured from.
#[derive(Clone, Debug)]
pub enum PositionBase {
    /// A place AWS can be asked for.
    Position(Position),
    /// The place at which LATEST was anchored.
    Anchor(Arc<Anchor>),
}

/// Where a cursor stands.
#[derive(Clone, Debug)]
pub struct ReadPosition {
    /// What it is measured from.
    pub base: PositionBase,
    /// Entries without a number of their own, directly behind the base, that are already delivered.
    pub skip: u16,
    /// As [`Checkpoint::time`].
    pub time: Option<Timestamp>,
    /// It is a client's own wish, and AWS has not given it yet: it begins wherever AWS says.
    pub awaited: bool,
    /// A number that a client named, and that comes before all that the shard ever held.
    pub below: bool,
    /// A way round what AWS no longer answers.
    pub detour: Detour,
}

/// How a cursor goes on where AWS does not answer for its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detour {
    /// AWS answers.
    None,
    /// AWS refused the number although nothing behind it can be lost, or what is lost was told:
    /// read from the horizon, and pass what does not lie behind the base. Lanes numbered up to this
    /// that ended badly are no answer.
    FromHorizon(u64),
    /// AWS does not have the shard any more, and the client was told.
    Gone,
}

impl Detour {
    /// Whether it leads over the horizon, and the newest lane from before it was taken.
    pub fn over_horizon(self) -> Option<u64> {
        match self {
            Self::FromHorizon(newest) => Some(newest),
            Self::None | Self::Gone => None,
        }
    }
}

impl PartialEq for PositionBase {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Position(a), Self::Position(b)) => a == b,
            (Self::Anchor(a), Self::Anchor(b)) => Arc::ptr_eq(a, b),
            (Self::Position(_), Self::Anchor(_)) | (Self::Anchor(_), Self::Position(_)) => false,
        }
    }
}

impl Anchor {
    /// An anchor set at `date`, by the slower of AWS's clock and ours; records are stamped in steps
    /// of `grain`.
    pub fn new(date: Timestamp, grain: Duration) -> Self {
        Self { fallback: date.minus(ANCHOR_MARGIN).floor_to(grain), first: OnceLock::new() }
    }
}

impl PositionBase {
    /// The place AWS would be asked for: for an anchor its first record or, until there is one, its
    /// time.
    pub fn position(&self) -> Position {
        match self {
            Self::Position(position) => *position,
            Self::Anchor(anchor) => match anchor.first.get() {
                Some(first) => Position::AtSequenceNumber(*first),
                None => Position::AtTimestamp(anchor.fallback),
            },
        }
    }
}

impl ReadPosition {
    /// A spot that a client's position asks for, now.
    pub fn asked(position: Position, created: Option<Timestamp>, now: Now) -> Self {
        let mut position =
            Self { awaited: true, ..Self::restored(Checkpoint::new(position, created)) };
        position.given_at(now.wall);
        position
    }

    /// A spot restored from a token.
    pub fn restored(checkpoint: Checkpoint) -> Self {
        let Checkpoint { position, skip, time } = checkpoint;
        Self {
            base: PositionBase::Position(position),
            skip,
            time,
            awaited: false,
            below: false,
            detour: Detour::None,
        }
    }

    /// A spot on an anchor.
    pub fn anchored(anchor: Arc<Anchor>, now: Now) -> Self {
        let position = Self::restored(Checkpoint::new(Position::TrimHorizon, Some(now.wall)));
        Self { base: PositionBase::Anchor(anchor), ..position }
    }

    /// The spot behind an entry at `order`, reached from this one. An entry before any number is
    /// counted from the base, which is where its lane began: nobody else is led to it.
    pub fn behind(&self, order: LogOffset, created_at: Option<Timestamp>) -> Self {
        let (number, skip) = order;
        let base = match number {
            Some(number) => PositionBase::Position(Position::AfterSequenceNumber(number)),
            // Read on the way round: from now on the horizon is where this cursor began.
            None if self.detour != Detour::None => PositionBase::Position(Position::TrimHorizon),
            None => self.base.clone(),
        };
        // When a place without a number was given says nothing of how old a number is.
        let time =
            if number.is_some() { created_at.or(self.time) } else { self.time.max(created_at) };
        Self { base, skip, time, awaited: false, below: false, detour: Detour::None }
    }

    /// The same spot, known to be at the tip at `when`.
    pub fn seen_at(&mut self, when: Timestamp) {
        self.time = self.time.max(Some(when));
    }

    /// The same spot behind a loss that is told at `when`: for a while AWS's refusal of its number
    /// means nothing new. No server steps back before the number, whatever it still has in memory.
    pub fn behind_loss(&self, number: SequenceNumber, newest: u64, when: Timestamp) -> Self {
        let time = self.time.max(Some(given(when)));
        let behind = Self::restored(Checkpoint {
            position: Position::AfterSequenceNumber(number),
            skip: self.skip,
            time,
        });
        Self { detour: Detour::FromHorizon(newest), ..behind }
    }

    /// The horizon as AWS has it at `when`, instead of this spot, which lies before it.
    pub fn at_horizon(&self, when: Timestamp) -> Self {
        Self::restored(Checkpoint::new(Position::TrimHorizon, self.time.max(Some(given(when)))))
    }

    /// The same spot behind the loss of the whole shard. Its tokens stay where reading stood:
    /// should the shard be there after all, nothing of it comes twice or is missing.
    pub fn behind_the_shard(&self) -> Self {
        Self { detour: Detour::Gone, ..Self::restored(self.checkpoint()) }
    }

    /// AWS gave the place at `when`: what was trimmed before is no loss. Of a number that says
    /// nothing.
    pub fn given_at(&mut self, when: Timestamp) {
        if !self.is_exact() {
            self.time = self.time.max(Some(given(when)));
        }
    }

    /// The client waits for the place; `placed`: AWS has given it.
    pub fn await_place(&mut self, placed: bool, now: Timestamp) {
        if self.awaited && !placed {
            self.given_at(now);
        }
        self.awaited &= !placed;
    }

    /// The same spot where records are stamped in steps of `grain`: what was created at its time
    /// may be stamped before.
    pub fn coarse(mut self, grain: Duration) -> Self {
        if let PositionBase::Position(Position::AtTimestamp(time)) = &mut self.base {
            *time = time.floor_to(grain);
        }
        self
    }

    /// What a token keeps of it.
    pub fn checkpoint(&self) -> Checkpoint {
        let skip = match &self.base {
            PositionBase::Anchor(anchor) if anchor.first.get().is_some() => 0,
            PositionBase::Position(_) | PositionBase::Anchor(_) => self.skip,
        };
        Checkpoint { position: self.base.position(), skip, time: self.time }
    }

    /// Whether everything behind the spot is certain to be still there: nothing behind it is older
    /// than 23 hours, or it was given a short while ago.
    pub fn is_safe(&self, now: Timestamp) -> bool {
        let known = match self.base.position() {
            Position::AtSequenceNumber(_)
            | Position::AfterSequenceNumber(_)
            | Position::TrimHorizon => self.time,
            // What was created since then cannot be trimmed before then is a day old.
            Position::AtTimestamp(time) => self.time.max(Some(time)),
        };
        known.is_some_and(|time| now.since(time) < SAFE_AGE)
    }

    /// The newest number that is delivered, where the spot is behind one.
    pub fn number(&self) -> Option<SequenceNumber> {
        match self.base {
            PositionBase::Position(Position::AfterSequenceNumber(number)) => Some(number),
            PositionBase::Position(_) | PositionBase::Anchor(_) => None,
        }
    }

    /// The order of the newest delivered entry, where the spot is behind a number.
    pub fn order(&self) -> Option<LogOffset> {
        self.number().map(|number| (Some(number), self.skip))
    }

    /// Whether the spot is a number.
    pub fn is_numbered(&self) -> bool {
        self.number_asked().is_some()
    }

    /// That number.
    pub fn number_asked(&self) -> Option<SequenceNumber> {
        match self.base.position() {
            Position::AtSequenceNumber(number) | Position::AfterSequenceNumber(number) => {
                Some(number)
            }
            Position::TrimHorizon | Position::AtTimestamp(_) => None,
        }
    }

    /// Whether the record at the spot is known by its number, and was not delivered.
    pub fn is_undelivered(&self) -> bool {
        matches!(self.base.position(), Position::AtSequenceNumber(_)) && !self.below
    }

    /// Whether AWS is asked for a number: it says by itself when that is trimmed.
    pub fn is_exact(&self) -> bool {
        self.is_numbered() && self.detour.over_horizon().is_none()
    }

    /// Whether the entry lies before the spot, for a cursor that reads from the horizon.
    pub fn passes(&self, entry: &Entry) -> bool {
        match self.base.position() {
            // What has no number at the horizon lies behind a number that is trimmed.
            Position::AfterSequenceNumber(_) | Position::AtSequenceNumber(_)
                if entry.order.0.is_none() =>
            {
                false
            }
            Position::AfterSequenceNumber(number) => entry.order <= (Some(number), self.skip),
            Position::AtSequenceNumber(number) => entry.order < (Some(number), 0),
            Position::TrimHorizon | Position::AtTimestamp(_) => false,
        }
    }
}

/// [`Checkpoint::time`] of a place without a number that AWS gave at `when`, or behind a loss told
/// then: it counts as safe for a [`GRACE`].
pub fn given(when: Timestamp) -> Timestamp {
    when.minus(SAFE_AGE - GRACE)
}
