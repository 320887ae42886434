//! A lane: one iterator moving through a shard, and the newest of what it read. Pure.
//!
//! The lane that is furthest ahead is the live end; what it keeps is the shard's window.

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

/// An iterator is renewed before it is this old, rather than found expired.
const RENEW_AFTER: Duration = Duration::from_secs(14 * 60);

/// An iterator nobody reads is read this often, if somebody's LATEST hangs on it.
const KEEP_ALIVE: Duration = Duration::from_secs(10 * 60);

/// A record can be this much older than its neighbours' stamps say: stamps are rounded down to the
/// second.
const STAMP_MARGIN: Duration = Duration::from_secs(2);

/// What a page is expected to cost before anything is known, in bytes.
const FIRST_PAGE: usize = 16 << 10;

/// What a page is expected to cost at least, in bytes.
const LEAST_PAGE: usize = 4 << 10;

/// What a lane's first iterator was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum LaneOrigin {
    /// LATEST, not answered yet.
    Latest,
    /// A place, or the anchor that LATEST became.
    Position(PositionBase),
}

/// The iterator's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Iter {
    /// A new one must be asked for.
    Needed,
    /// It has been asked for.
    Opening,
    /// It can be read.
    Ready {
        /// AWS's string.
        iterator: String,
        /// When it was issued.
        issued: Instant,
    },
    /// It is being read.
    Reading {
        /// AWS's string.
        iterator: String,
        /// When it was issued.
        issued: Instant,
    },
    /// Nothing will be read any more.
    Done(LaneEnd),
}

impl Iter {
    /// Which of two lanes a cursor waits at: one that ended well tells most, one that ended badly
    /// least.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Done(LaneEnd::Closed) => 2,
            Self::Needed | Self::Opening | Self::Ready { .. } | Self::Reading { .. } => 1,
            Self::Done(_) => 0,
        }
    }
}

/// Why a lane ended.
#[derive(Clone, Debug, PartialEq)]
pub enum LaneEnd {
    /// The shard is closed and read to its last record.
    Closed,
    /// AWS trimmed records under the iterator.
    Trimmed,
    /// AWS refused the place: its record is trimmed.
    Refused,
    /// AWS does not have the shard any more.
    Gone,
    /// AWS calls the place malformed.
    Invalid(UpstreamError),
}

/// One iterator and what it read.
#[derive(Debug)]
pub struct Lane {
    /// Its name within the shard.
    pub id: u64,
    /// Where it began.
    pub origin: LaneOrigin,
    /// What LATESTs became while the lane had met no record: the same place as the origin.
    pub anchors: Vec<Arc<Anchor>>,
    /// When its first iterator was answered.
    pub placed: Option<Instant>,
    /// Its iterator.
    pub iter: Iter,
    /// What the newest answers said.
    pub tip: Tip,
    /// The newest entry read, kept or not; before the first one, the place it began behind.
    pub tail: LogOffset,
    /// Where its iterator stands: before the tail while what came before a renewal comes again.
    pub stands: Stand,
    /// While looking for a time without AWS's help: entries created before it are dropped until one
    /// is not.
    pub drop_before: Option<Timestamp>,
    /// When it should be read next, if wanted.
    pub due: Option<Instant>,
    /// When AWS gave the place where it began: anew, if what lay there may have been trimmed since
    /// the time before.
    pub given: Option<Timestamp>,
    /// How far our clock is ahead of AWS's, as its newest iterator's `Date` says.
    pub ahead: Duration,
    /// When a cursor last stood in it.
    pub used: Instant,
    /// Its last turn, as a count of all turns of the shard.
    pub turn: u64,
    /// Pages read since it was opened.
    pub pages: u32,
    /// Iterators that expired since the last page.
    pub expiries: u32,
    /// What its next page is expected to cost, in bytes.
    pub expects: usize,
    batches: VecDeque<Batch>,
    cost: usize,
    /// Everything behind this order is kept. `None`: unknown, but nothing is missing while
    /// `intact`.
    floor: Option<LogOffset>,
    /// Behind which number's which entry it began.
    begun: Option<LogOffset>,
    intact: bool,
    newest_gone: Option<Timestamp>,
}

/// What stands at a spot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located {
    /// An entry: which batch, which entry of it.
    Entry(usize, usize),
    /// Nothing yet: the spot is the lane's end.
    End,
}

impl Lane {
    /// A lane that begins at `origin`; where that is behind a number, so many further entries of it
    /// are passed.
    pub fn new(id: u64, origin: LaneOrigin, passed: u16, now: Instant) -> Self {
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

    /// What it keeps, in bytes.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// How many batches it keeps.
    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    /// The batch of a [`Located::Entry`].
    pub fn batch(&self, index: usize) -> &Batch {
        &self.batches[index]
    }

    /// The place to ask AWS for when the iterator must be renewed: behind the newest number, else
    /// the origin. Where further records may bear that number (`shared`) it is asked for that
    /// number itself: they would be passed over.
    pub fn position(&self, shared: bool) -> Option<Position> {
        match (self.tail.0, &self.origin) {
            (Some(number), _) if shared => Some(Position::AtSequenceNumber(number)),
            (Some(number), _) => Some(Position::AfterSequenceNumber(number)),
            (None, LaneOrigin::Position(base)) => Some(base.position()),
            (None, LaneOrigin::Latest) => None,
        }
    }

    /// Where the lane stands once its iterator is opened anew: entries up to the tail come again
    /// and are dropped.
    pub fn reopened_at(&self, shared: bool) -> Stand {
        match self.tail.0 {
            Some(number) if shared => Stand::at(number),
            _ => Stand::behind((self.tail.0, 0)),
        }
    }

    /// The spot a cursor has when everything of the lane is delivered to it, reached from
    /// `position`.
    pub fn end_spot(&self, position: &ReadPosition) -> ReadPosition {
        position.behind(self.tail, None)
    }

    /// AWS gives an iterator for its place.
    pub fn is_given(&mut self, now: Timestamp) {
        let tip = self.tip.answered.filter(|_| self.tip.empties >= EMPTIES_TO_TIP);
        // What came after so recent a tip is all still there.
        let nothing_lost =
            self.tail.0.is_some() || tip.is_some_and(|tip| now.since(tip.wall) < SAFE_AGE);
        if self.given.is_none() || !nothing_lost {
            self.given = Some(now);
        }
    }

    /// Somebody's LATEST hangs on this lane's iterator and on nothing else.
    pub fn is_anchoring(&self) -> bool {
        // The lane's own reference is one. Before AWS has answered, those who asked are waiting,
        // and that keeps the lane.
        self.tail.0.is_none() && self.all_anchors().any(|anchor| Arc::strong_count(anchor) > 1)
    }

    /// It has met nothing at all, not even what it would drop: its tail is where it began.
    pub fn is_bare(&self) -> bool {
        self.intact && self.tail == (None, 0) && self.batches.is_empty()
    }

    /// Whether all that lies behind the other lane's beginning lies behind this one's end, too:
    /// both met nothing, and this one, which was there first, has looked since the other came.
    pub fn covers(&self, other: &Self) -> bool {
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

    /// From now on whoever stood at the beginning of the other lane stands at this one's.
    pub fn take_over(&mut self, other: Self) {
        self.anchors.extend(other.all_anchors().cloned());
        drop(other);
        // Nobody stands on the others any more.
        self.anchors.retain(|anchor| Arc::strong_count(anchor) > 1);
    }

    /// A page cost so many bytes: the next will cost about as much, but one small page does not
    /// make them all small.
    pub fn expect_after(&mut self, cost: usize) {
        self.expects = (cost + cost / 4).max(self.expects / 2).max(LEAST_PAGE);
    }

    /// A call for it is under way.
    pub fn is_busy(&self) -> bool {
        matches!(self.iter, Iter::Opening | Iter::Reading { .. })
    }

    /// When an unread iterator must be read to stay alive.
    pub fn keep_alive_due(&self) -> Option<Instant> {
        match &self.iter {
            Iter::Ready { issued, .. } if self.is_anchoring() => Some(*issued + KEEP_ALIVE),
            Iter::Ready { .. }
            | Iter::Needed
            | Iter::Opening
            | Iter::Reading { .. }
            | Iter::Done(_) => None,
        }
    }

    /// Whether its iterator is too old to be trusted.
    pub fn is_stale(&self, now: Instant) -> bool {
        debug_assert!(RENEW_AFTER < ITERATOR_LIFE);
        matches!(&self.iter, Iter::Ready { issued, .. } if now.saturating_duration_since(*issued) > RENEW_AFTER)
    }

    /// Everything was read as far as can be told by the newest answer, however old that is.
    pub fn saw_tip(&self) -> bool {
        self.tip.is_reached()
    }

    /// Everything was read, as of an answer younger than two idle intervals.
    pub fn is_at_tip(&self, now: Instant, idle: Duration) -> bool {
        let fresh = self
            .tip
            .answered
            .is_some_and(|answer| now.saturating_duration_since(answer.at) < idle * 2);
        fresh && self.saw_tip()
    }

    /// Whether the lane began where the spot stands, but so long after the spot was last known to
    /// be readable that what was there may have been trimmed before: AWS does not say so of a place
    /// without a number.
    pub fn began_too_late(&self, position: &ReadPosition, now: Now) -> bool {
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

    /// Adds what was read. `tail` is the newest entry of the page, dropped ones included.
    pub fn append(&mut self, batch: Batch, tail: LogOffset) {
        self.tail = self.tail.max(tail);
        if batch.entries().is_empty() {
            return;
        }
        self.drop_before = None;
        if self.intact
            && self.batches.is_empty()
            && let Some(number) = batch.entries().first().and_then(|first| first.order.0)
        {
            // An entry without a number before it would be skipped by a place that begins at the
            // number.
            for anchor in self.all_anchors() {
                let _ = anchor.first.set(number);
            }
        }
        self.cost += batch.cost();
        self.batches.push_back(batch);
    }

    /// Forgets the oldest batch; returns what that frees.
    pub fn evict(&mut self) -> usize {
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

    /// Another lane read without a break from `below` up to this lane's first entry: this lane now
    /// reaches down to it.
    pub fn reach_down_to(&mut self, below: LogOffset) {
        let first = self.first_numbered();
        if below.0.is_some()
            && first.is_some_and(|first| below < first)
            && self.floor.is_none_or(|floor| below < floor)
        {
            self.floor = Some(below);
        }
    }

    /// Creation of the newest entry kept.
    pub fn newest_created(&self) -> Option<Timestamp> {
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
