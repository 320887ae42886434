//! The read position of one cursor: an AWS position, or an anchor that has no number yet. Pure.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::encode::{Entry, LogOffset};
use crate::model::{Checkpoint, Now, Position, SequenceNumber, Timestamp};
use crate::upstream::ITERATOR_LIFE;

/// The age up to which a record is certainly not trimmed: 24 hours, less an hour for clock
/// differences and for AWS's own "at any moment".
pub const SAFE_AGE: Duration = Duration::from_secs(23 * 3_600);

/// How long a position without a number counts as safe after AWS gave it, however old the records
/// after it are: the life of an iterator. A cursor that comes back later may have lost what was
/// trimmed meanwhile.
pub const GRACE: Duration = ITERATOR_LIFE;

/// How far before the response's `Date` a LATEST that is resumed by time begins: covers the
/// difference between AWS's clock and ours, and the time between the response and its `Date`.
const ANCHOR_MARGIN: Duration = Duration::from_secs(3);

/// A LATEST that was requested and has no record yet. All positions on it share one `Arc`, which
/// keeps the iterator alive.
#[derive(Debug)]
pub struct Anchor {
    /// Every record written after LATEST was requested was created at this time or later: the
    /// position to resume from until `first` is known.
    pub fallback: Timestamp,
    /// The first record after the anchor, once it was read: from then on the position is exact.
    pub first: OnceLock<SequenceNumber>,
}

/// What a read position is relative to.
#[derive(Clone, Debug)]
pub enum PositionBase {
    /// A position that AWS can be asked for.
    Position(Position),
    /// A LATEST, as it was anchored.
    Anchor(Arc<Anchor>),
}

/// The position of a cursor in a shard.
#[derive(Clone, Debug)]
pub struct ReadPosition {
    /// What the position is relative to.
    pub base: PositionBase,
    /// How many entries directly after the base, without a number of their own, are already
    /// delivered.
    pub skip: u16,
    /// As [`Checkpoint::time`].
    pub time: Option<Timestamp>,
    /// What is known of the position.
    pub state: PositionState,
}

/// What is known of a position: whether AWS gave it, and how to continue when AWS refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionState {
    /// AWS gave it, or a token or a record brought it.
    Known,
    /// A client requested it, and AWS has not given an iterator for it yet: it begins wherever AWS
    /// says.
    Awaited,
    /// It is a number that a client named and that precedes everything the shard ever held.
    BelowTheShard,
    /// AWS refused the number although nothing behind it can be lost, or the loss was already
    /// reported: read from the horizon, and skip entries that are not after the base. Lanes with
    /// ids up to this one that ended badly are ignored.
    FromHorizon(u64),
    /// AWS no longer has the shard, and that was reported to the client.
    ShardGone,
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
    /// An anchor set at `date`, the slower of AWS's clock and ours; records are stamped in steps of
    /// `grain`.
    pub fn new(date: Timestamp, grain: Duration) -> Self {
        Self { fallback: date.minus(ANCHOR_MARGIN).floor_to(grain), first: OnceLock::new() }
    }
}

impl PositionBase {
    /// The position to ask AWS for. For an anchor: its first record or, until there is one, its
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
    /// The read position for a position that a client requests now.
    pub fn asked(position: Position, created: Option<Timestamp>, now: Now) -> Self {
        let restored = Self::restored(Checkpoint::new(position, created));
        let mut position = Self { state: PositionState::Awaited, ..restored };
        position.given_at(now.wall);
        position
    }

    /// The read position restored from a token.
    pub fn restored(checkpoint: Checkpoint) -> Self {
        let Checkpoint { position, skip, time } = checkpoint;
        Self { base: PositionBase::Position(position), skip, time, state: PositionState::Known }
    }

    /// A read position on an anchor.
    pub fn anchored(anchor: Arc<Anchor>, now: Now) -> Self {
        let position = Self::restored(Checkpoint::new(Position::TrimHorizon, Some(now.wall)));
        Self { base: PositionBase::Anchor(anchor), ..position }
    }

    /// The read position after the entry at `order`, reached from this one. An entry before any
    /// number is counted from the base, where its lane began; no other cursor is led to that
    /// position.
    pub fn behind(&self, order: LogOffset, created_at: Option<Timestamp>) -> Self {
        let (number, skip) = order;
        let base = match number {
            Some(number) => PositionBase::Position(Position::AfterSequenceNumber(number)),
            // Read on a detour: from now on the horizon is where this cursor began.
            None if self.over_horizon().is_some() => PositionBase::Position(Position::TrimHorizon),
            None => self.base.clone(),
        };
        // The time at which a position without a number was given says nothing about the age of a
        // number.
        let time =
            if number.is_some() { created_at.or(self.time) } else { self.time.max(created_at) };
        Self { base, skip, time, state: PositionState::Known }
    }

    /// The anchor's iterator is gone: from here on the cursor uses the position that the anchor
    /// stands for.
    pub fn leave_the_anchor(&mut self) {
        self.base = PositionBase::Position(self.base.position());
    }

    /// Notes that the number precedes everything the shard ever held.
    pub fn note_below_the_shard(&mut self) {
        self.state = PositionState::BelowTheShard;
    }

    /// If it is read from the horizon although it is a number: the id of the newest lane that
    /// existed when that began.
    pub fn over_horizon(&self) -> Option<u64> {
        match self.state {
            PositionState::FromHorizon(newest) => Some(newest),
            PositionState::Known
            | PositionState::Awaited
            | PositionState::BelowTheShard
            | PositionState::ShardGone => None,
        }
    }

    /// AWS refused the number although nothing behind it can be lost. `newest`: the newest lane
    /// that there is.
    pub fn go_round(&mut self, newest: u64) {
        self.state = PositionState::FromHorizon(newest);
    }

    /// Notes that the position was at the tip at `when`.
    pub fn seen_at(&mut self, when: Timestamp) {
        self.time = self.time.max(Some(when));
    }

    /// The same position after a gap that is reported at `when`: for a while AWS's refusal of its
    /// number means nothing new. No server goes back before the number, whatever it still has in
    /// memory.
    pub fn behind_loss(&self, number: SequenceNumber, newest: u64, when: Timestamp) -> Self {
        let time = self.time.max(Some(given(when)));
        let behind = Self::restored(Checkpoint {
            position: Position::AfterSequenceNumber(number),
            skip: self.skip,
            time,
        });
        Self { state: PositionState::FromHorizon(newest), ..behind }
    }

    /// The horizon as AWS has it at `when`, in place of this position, which precedes it.
    pub fn at_horizon(&self, when: Timestamp) -> Self {
        Self::restored(Checkpoint::new(Position::TrimHorizon, self.time.max(Some(given(when)))))
    }

    /// The same position after the gap of the whole shard. Its tokens keep the old position: if
    /// the shard exists after all, no record comes twice or is missing.
    pub fn behind_the_shard(&self) -> Self {
        Self { state: PositionState::ShardGone, ..Self::restored(self.checkpoint()) }
    }

    /// Notes that AWS gave the position at `when`: what was trimmed before is no loss. Does nothing
    /// for a number.
    pub fn given_at(&mut self, when: Timestamp) {
        if !self.is_exact() {
            self.time = self.time.max(Some(given(when)));
        }
    }

    /// Notes that the client still waits for the position; `placed`: AWS has given it.
    pub fn await_place(&mut self, placed: bool, now: Timestamp) {
        match (self.state, placed) {
            (PositionState::Awaited, true) => self.state = PositionState::Known,
            (PositionState::Awaited, false) => self.given_at(now),
            (_, _) => {}
        }
    }

    /// The same position for an upstream that stamps records in steps of `grain`: a record created
    /// at that time may bear an earlier stamp.
    pub fn coarse(mut self, grain: Duration) -> Self {
        if let PositionBase::Position(Position::AtTimestamp(time)) = &mut self.base {
            *time = time.floor_to(grain);
        }
        self
    }

    /// The part of the position that a token keeps.
    pub fn checkpoint(&self) -> Checkpoint {
        let skip = match &self.base {
            PositionBase::Anchor(anchor) if anchor.first.get().is_some() => 0,
            PositionBase::Position(_) | PositionBase::Anchor(_) => self.skip,
        };
        Checkpoint { position: self.base.position(), skip, time: self.time }
    }

    /// Whether all records after the position certainly still exist: none of them is older than 23
    /// hours, or AWS gave the position a short while ago.
    pub fn is_safe(&self, now: Timestamp) -> bool {
        let known = match self.base.position() {
            Position::AtSequenceNumber(_)
            | Position::AfterSequenceNumber(_)
            | Position::TrimHorizon => self.time,
            // Records created since `time` cannot be trimmed before `time` is a day ago.
            Position::AtTimestamp(time) => self.time.max(Some(time)),
        };
        known.is_some_and(|time| now.since(time) < SAFE_AGE)
    }

    /// The newest delivered sequence number; `None` if the position is not after one.
    pub fn number(&self) -> Option<SequenceNumber> {
        match self.base {
            PositionBase::Position(Position::AfterSequenceNumber(number)) => Some(number),
            PositionBase::Position(_) | PositionBase::Anchor(_) => None,
        }
    }

    /// The order of the newest delivered entry; `None` if the position is not after a number.
    pub fn order(&self) -> Option<LogOffset> {
        self.number().map(|number| (Some(number), self.skip))
    }

    /// Whether AWS is asked for a sequence number here.
    pub fn is_numbered(&self) -> bool {
        self.number_asked().is_some()
    }

    /// The sequence number that AWS is asked for; `None` if the position has none.
    pub fn number_asked(&self) -> Option<SequenceNumber> {
        match self.base.position() {
            Position::AtSequenceNumber(number) | Position::AfterSequenceNumber(number) => {
                Some(number)
            }
            Position::TrimHorizon | Position::AtTimestamp(_) => None,
        }
    }

    /// Whether the record at the position is known by its number and was not delivered.
    pub fn is_undelivered(&self) -> bool {
        // AWS is led around a number that it refuses only where the shard never held its record.
        let is_below =
            matches!(self.state, PositionState::BelowTheShard | PositionState::FromHorizon(_));
        matches!(self.base.position(), Position::AtSequenceNumber(_)) && !is_below
    }

    /// Whether AWS is asked for this number itself: then AWS reports when it is trimmed.
    pub fn is_exact(&self) -> bool {
        self.is_numbered() && self.over_horizon().is_none()
    }

    /// Whether a cursor that reads from the horizon skips the entry because it lies before the
    /// position.
    pub fn passes(&self, entry: &Entry) -> bool {
        match self.base.position() {
            // An entry at the horizon without a number lies after a number that is trimmed.
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

/// [`Checkpoint::time`] for a position without a number that AWS gave at `when`, or after a gap
/// reported then: it counts as safe for a [`GRACE`].
pub fn given(when: Timestamp) -> Timestamp {
    when.minus(SAFE_AGE - GRACE)
}
