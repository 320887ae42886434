//! A lane: one iterator that moves through a shard, and the newest batches it read. Pure.
//!
//! The lane furthest ahead is the live lane; its batches are the shard's window.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::encode::{Batch, LogOffset, Stand};
use crate::model::{Now, Position, Timestamp};
use crate::upstream::{ITERATOR_LIFE, UpstreamError};

use super::position::{Anchor, PositionBase, ReadPosition, SAFE_AGE};
use super::tip::{EMPTIES_TO_TIP, Tip};

mod find;
mod search;

/// An iterator older than this is renewed, before it can expire.
const RENEW_AFTER: Duration = Duration::from_secs(14 * 60);

/// How often an iterator that no waiter needs is read to keep it alive, if an anchor depends on it.
const KEEP_ALIVE: Duration = Duration::from_secs(10 * 60);

/// How much older a record can be than the stamps of its neighbours say: stamps are rounded down to
/// the second.
const STAMP_MARGIN: Duration = Duration::from_secs(2);

/// The memory that a page is expected to take before any was read, in bytes.
const FIRST_PAGE: usize = 16 << 10;

/// The least memory that a page is expected to take, in bytes.
const LEAST_PAGE: usize = 4 << 10;

/// What a lane's first iterator was requested for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LaneOrigin {
    /// LATEST, before AWS has responded.
    Latest,
    /// A position, or the anchor that LATEST became.
    Position(PositionBase),
}

/// The state of a lane's iterator.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Iter {
    /// A new iterator must be requested.
    Needed,
    /// It was requested; the call is under way.
    Opening,
    /// It is ready to be read.
    Ready {
        /// The iterator as AWS issued it.
        iterator: String,
        /// When it was issued.
        issued: Instant,
    },
    /// It is being read; the call is under way.
    Reading {
        /// The iterator as AWS issued it.
        iterator: String,
        /// When it was issued.
        issued: Instant,
    },
    /// The lane has ended: nothing more will be read.
    Done(LaneEnd),
}

impl Iter {
    /// Ranks lanes that end at the same position: one that ended well (2) tells a cursor most, one
    /// that ended badly (0) least.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Done(LaneEnd::Closed) => 2,
            Self::Needed | Self::Opening | Self::Ready { .. } | Self::Reading { .. } => 1,
            Self::Done(_) => 0,
        }
    }
}

/// Why a lane ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LaneEnd {
    /// The shard is closed and was read to its last record.
    Closed,
    /// AWS trimmed records that the iterator had yet to read.
    Trimmed,
    /// AWS refused the position: its record is trimmed.
    Refused,
    /// AWS no longer has the shard.
    Gone,
    /// AWS rejects the position as malformed.
    Invalid(UpstreamError),
}

/// One iterator and what it read.
#[derive(Debug)]
pub(super) struct Lane {
    /// Its id within the shard.
    pub id: u64,
    /// Where it began.
    pub origin: LaneOrigin,
    /// Anchors of LATEST requests answered by this lane while it had read no record: each is the
    /// same position as the origin.
    pub anchors: Vec<Arc<Anchor>>,
    /// When AWS issued its first iterator; `None`: not yet.
    pub placed: Option<Instant>,
    /// Its iterator.
    pub iter: Iter,
    /// What the newest responses say of the tip.
    pub tip: Tip,
    /// The order of the newest entry read, even if it was not kept; before the first one, the order
    /// behind which the lane began.
    pub tail: LogOffset,
    /// The position of its iterator: before the tail while entries from before a renewal come
    /// again.
    pub stands: Stand,
    /// Set during a search for a time without AWS's help: entries created before it are dropped,
    /// until the first that is not.
    pub drop_before: Option<Timestamp>,
    /// When it should be read next, if a waiter needs it.
    pub due: Option<Instant>,
    /// When AWS gave the position where the lane began; set again when a new iterator is issued and
    /// records there may have been trimmed in between.
    pub given: Option<Timestamp>,
    /// How far our clock is ahead of AWS's, by the `Date` of its newest iterator.
    pub ahead: Duration,
    /// When it last read a page or a cursor last polled in it.
    pub used: Instant,
    /// Its last turn: the shard's count of turns at that time.
    pub turn: u64,
    /// Pages read in its lifetime.
    pub pages: u32,
    /// Iterators that expired since the last page.
    pub expiries: u32,
    /// How much memory its next page is expected to take, in bytes.
    pub expects: usize,
    batches: VecDeque<Batch>,
    cost: usize,
    /// Every entry behind this order is kept. `None`: unknown, but no entry is missing while
    /// `intact`.
    floor: Option<LogOffset>,
    /// The order behind which it began, if that was behind a number.
    begun: Option<LogOffset>,
    intact: bool,
    newest_gone: Option<Timestamp>,
}

/// What a lane has at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// An entry: the index of its batch, and its index in that batch.
    Entry(usize, usize),
    /// Nothing yet: the position is the end of the lane.
    End,
}

impl Lane {
    /// A lane that begins at `origin`; if that is behind a number, `passed` further entries of the
    /// number are skipped.
    pub(super) fn new(id: u64, origin: LaneOrigin, passed: u16, now: Instant) -> Self {
        let start = match &origin {
            LaneOrigin::Position(PositionBase::Position(Position::AfterSequenceNumber(number))) => {
                Some((Some(*number), passed))
            }
            LaneOrigin::Position(_) | LaneOrigin::Latest => None,
        };
        Self {
            id,
            origin,
            anchors: vec![],
            placed: None,
            iter: Iter::Needed,
            tip: Tip::default(),
            tail: start.unwrap_or((None, 0)),
            stands: Stand::behind(start.unwrap_or((None, 0))),
            drop_before: None,
            due: None,
            given: None,
            ahead: Duration::ZERO,
            used: now,
            turn: 0,
            pages: 0,
            expiries: 0,
            expects: FIRST_PAGE,
            batches: VecDeque::new(),
            cost: 0,
            floor: start,
            begun: start,
            intact: true,
            newest_gone: None,
        }
    }

    /// The memory that its batches use, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// The number of batches it keeps.
    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// The batch of a [`Located::Entry`].
    pub(super) fn batch(&self, index: usize) -> &Batch {
        &self.batches[index]
    }

    /// The position to request when the iterator must be renewed: behind the newest number, else
    /// the origin; `None`: LATEST. If further records may share that number (`shared`), the number
    /// itself is requested, because they would be skipped otherwise.
    pub(super) fn position(&self, shared: bool) -> Option<Position> {
        match (self.tail.0, &self.origin) {
            (Some(number), _) if shared => Some(Position::AtSequenceNumber(number)),
            (Some(number), _) => Some(Position::AfterSequenceNumber(number)),
            (None, LaneOrigin::Position(base)) => Some(base.position()),
            (None, LaneOrigin::Latest) => None,
        }
    }

    /// The iterator's position once it is renewed: entries up to the tail come again and are
    /// dropped.
    pub(super) fn reopened_at(&self, shared: bool) -> Stand {
        match self.tail.0 {
            Some(number) if shared => Stand::at(number),
            _ => Stand::behind((self.tail.0, 0)),
        }
    }

    /// The position of a cursor at `position` once everything in the lane is delivered to it.
    pub(super) fn end_position(&self, position: &ReadPosition) -> ReadPosition {
        position.behind(self.tail, None)
    }

    /// Notes that AWS issued an iterator for its position.
    pub(super) fn is_given(&mut self, now: Timestamp) {
        let tip = self.tip.answered.filter(|_| self.tip.empties >= EMPTIES_TO_TIP);
        // Whatever came after such a recent tip still exists.
        let nothing_lost =
            self.tail.0.is_some() || tip.is_some_and(|tip| now.since(tip.wall) < SAFE_AGE);
        if self.given.is_none() || !nothing_lost {
            self.given = Some(now);
        }
    }

    /// Whether some cursor's anchor depends on this lane's iterator alone.
    pub(super) fn is_anchoring(&self) -> bool {
        // The lane itself holds one reference. Before AWS responds, the clients that requested
        // LATEST are waiters, and those keep the lane.
        self.tail.0.is_none() && self.all_anchors().any(|anchor| Arc::strong_count(anchor) > 1)
    }

    /// No entry was read, not even a dropped one: the tail is where the lane began.
    pub(super) fn is_bare(&self) -> bool {
        self.intact && self.tail == (None, 0) && self.batches.is_empty()
    }

    /// Whether everything behind the other lane's beginning also lies behind this lane's end: both
    /// have read no entry, and this one, which began first, has read up to the tip since the other
    /// began.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let from_before = matches!(
            &self.origin,
            LaneOrigin::Position(
                PositionBase::Anchor(_) | PositionBase::Position(Position::TrimHorizon)
            )
        );
        let at_latest = matches!(&other.origin, LaneOrigin::Position(PositionBase::Anchor(_)));
        let (Some(here), Some(there), Some(looked)) = (self.placed, other.placed, self.tip.asked)
        else {
            return false;
        };
        let has_looked = here <= there && there <= looked && self.saw_tip();
        self.is_bare() && other.is_bare() && from_before && at_latest && has_looked
    }

    /// Moves all anchors of the other lane to the beginning of this one.
    pub(super) fn take_over(&mut self, other: Self) {
        self.anchors.extend(other.all_anchors().cloned());
        drop(other);
        // No cursor uses the other anchors any more.
        self.anchors.retain(|anchor| Arc::strong_count(anchor) > 1);
    }

    /// Takes in the memory that a page took, in bytes: the next is expected to take about as much,
    /// but one small page does not lower the estimate at once.
    pub(super) fn expect_after(&mut self, cost: usize) {
        self.expects = (cost + cost / 4).max(self.expects / 2).max(LEAST_PAGE);
    }

    /// Whether a call for the lane is under way.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.iter, Iter::Opening | Iter::Reading { .. })
    }

    /// When the iterator must be read to keep it alive for an anchor; `None`: it need not be.
    pub(super) fn keep_alive_due(&self) -> Option<Instant> {
        match &self.iter {
            Iter::Ready { issued, .. } if self.is_anchoring() => Some(*issued + KEEP_ALIVE),
            Iter::Ready { .. }
            | Iter::Needed
            | Iter::Opening
            | Iter::Reading { .. }
            | Iter::Done(_) => None,
        }
    }

    /// Whether its iterator is old enough to be renewed.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        debug_assert!(RENEW_AFTER < ITERATOR_LIFE);
        matches!(&self.iter, Iter::Ready { issued, .. } if now.saturating_duration_since(*issued) > RENEW_AFTER)
    }

    /// Whether everything was read, by the newest response, however old that is.
    pub(super) fn saw_tip(&self) -> bool {
        self.tip.is_reached()
    }

    /// Whether everything was read, by a response younger than two idle intervals.
    pub(super) fn is_at_tip(&self, now: Instant, idle: Duration) -> bool {
        let fresh = self
            .tip
            .answered
            .is_some_and(|answer| now.saturating_duration_since(answer.at) < idle * 2);
        fresh && self.saw_tip()
    }

    /// Whether the lane began at this position, but so long after the position was last known to be
    /// readable that records there may have been trimmed in between: for a position without a
    /// number AWS does not report that.
    pub(super) fn began_too_late(&self, position: &ReadPosition, now: Now) -> bool {
        let horizon = PositionBase::Position(Position::TrimHorizon);
        let by_beginning = match position.base.position() {
            _ if position.detour.over_horizon().is_some() => self.begins_at(&horizon),
            Position::TrimHorizon => self.begins_at(&position.base),
            Position::AtTimestamp(time) => {
                self.begins_at(&position.base)
                    || self.begins_at(&horizon) && !self.has_older_than(time)
            }
            Position::AtSequenceNumber(_) | Position::AfterSequenceNumber(_) => false,
        };
        by_beginning && !position.is_safe(self.given.unwrap_or(now.wall))
    }

    /// Appends a page. `tail` is the order of its newest entry, dropped ones included.
    pub(super) fn append(&mut self, batch: Batch, tail: LogOffset) {
        self.tail = self.tail.max(tail);
        if batch.entries().is_empty() {
            return;
        }
        self.drop_before = None;
        if self.intact
            && self.batches.is_empty()
            && let Some(number) = batch.entries().first().and_then(|first| first.order.0)
        {
            // A position that begins at the number would skip an entry without a number before it,
            // so a number is set only if it comes first.
            for anchor in self.all_anchors() {
                let _ = anchor.first.set(number);
            }
        }
        self.cost += batch.cost();
        self.batches.push_back(batch);
    }

    /// Evicts the oldest batch; returns the bytes that this frees.
    pub(super) fn evict(&mut self) -> usize {
        let Some(batch) = self.batches.pop_front() else { return 0 };
        let last = batch.entries().last().expect("empty batches are not kept").order;
        self.floor = last.0.is_some().then_some(last);
        self.intact = false;
        self.newest_gone = batch
            .entries()
            .iter()
            .map(|entry| entry.created_at)
            .max()
            .flatten()
            .max(self.newest_gone);
        self.cost -= batch.cost();
        batch.cost()
    }

    /// Notes that another lane read without a break from `below` up to this lane's first entry:
    /// this lane now reaches down to `below`.
    pub(super) fn reach_down_to(&mut self, below: LogOffset) {
        let first = self.first_numbered();
        if below.0.is_some()
            && first.is_some_and(|first| below < first)
            && self.floor.is_none_or(|floor| below < floor)
        {
            self.floor = Some(below);
        }
    }

    /// Creation time of the newest entry kept.
    pub(super) fn newest_created(&self) -> Option<Timestamp> {
        self.batches
            .back()
            .and_then(|batch| batch.entries().last())
            .and_then(|entry| entry.created_at)
    }

    fn all_anchors(&self) -> impl Iterator<Item = &Arc<Anchor>> {
        let origin = match &self.origin {
            LaneOrigin::Position(PositionBase::Anchor(anchor)) => Some(anchor),
            LaneOrigin::Position(PositionBase::Position(_)) | LaneOrigin::Latest => None,
        };
        origin.into_iter().chain(&self.anchors)
    }
}
