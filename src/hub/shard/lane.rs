//! A lane: one iterator that moves through a shard, and the newest batches it read. Pure.
//!
//! The lane furthest ahead is the live lane; its batches are the shard's window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::encode::{Batch, LogOffset, PageFilter, PageRead};
use crate::model::{Now, Position, Timestamp};
use crate::upstream::{ITERATOR_LIFE, IssuedIterator};

use super::position::{Anchor, PositionBase, ReadPosition, SAFE_AGE};
use super::tip::{EMPTIES_TO_TIP, Sign, Tip, slower};

mod find;
mod iter;
mod log;
mod search;

pub(super) use iter::{Iter, LaneCall, LaneEnd, PageTaken};
pub(super) use log::Located;
use log::Log;

/// An iterator older than this is renewed, before it can expire.
const RENEW_AFTER: Duration = Duration::from_secs(14 * 60);

/// How often an iterator that no waiter needs is read to keep it alive, if an anchor depends on it.
const KEEP_ALIVE: Duration = Duration::from_secs(10 * 60);

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

/// One iterator and what it read.
#[derive(Debug)]
pub(super) struct Lane {
    /// Its id within the shard.
    id: u64,
    /// Where it began.
    origin: LaneOrigin,
    /// Anchors of LATEST requests answered by this lane while it had read no record: each is the
    /// same position as the origin.
    anchors: Vec<Arc<Anchor>>,
    /// When AWS gave the position where the lane began, with its first iterator; set again when a
    /// new iterator is issued and records there may have been trimmed in between. `None`: not yet.
    given: Option<Now>,
    iter: Iter,
    /// What the newest responses say of the tip.
    tip: Tip,
    log: Log,
    /// Set during a search for a time without AWS's help: entries created before it are dropped,
    /// until the first that is not.
    drop_before: Option<Timestamp>,
    /// How far our clock is ahead of AWS's, by the `Date` of its newest iterator.
    ahead: Duration,
    /// When it last read a page or a cursor last polled in it.
    used: Instant,
    /// Its last turn: the shard's count of turns at that time.
    turn: u64,
    /// Pages read in its lifetime.
    pages: u32,
    /// Iterators that expired since the last page.
    expiries: u32,
    /// How much memory its next page is expected to take, in bytes.
    expects: usize,
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
            given: None,
            iter: Iter::Needed,
            tip: Tip::default(),
            log: Log::new(start),
            drop_before: None,
            ahead: Duration::ZERO,
            used: now,
            turn: 0,
            pages: 0,
            expiries: 0,
            expects: FIRST_PAGE,
        }
    }

    /// Its id within the shard.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Where it began.
    pub(super) fn origin(&self) -> &LaneOrigin {
        &self.origin
    }

    /// The state of its iterator.
    pub(super) fn iter(&self) -> &Iter {
        &self.iter
    }

    /// What the newest responses say of the tip.
    pub(super) fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The order of the newest entry read, even if it was not kept; before the first one, the order
    /// after which the lane began.
    pub(super) fn tail(&self) -> LogOffset {
        self.log.tail()
    }

    /// Whether AWS has issued an iterator for it.
    pub(super) fn is_placed(&self) -> bool {
        self.given.is_some()
    }

    /// When it last read a page or a cursor last polled in it.
    pub(super) fn used(&self) -> Instant {
        self.used
    }

    /// Its last turn: the shard's count of turns at that time.
    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    /// Pages read in its lifetime.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// The memory that its batches use, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.log.cost()
    }

    /// The number of batches it keeps.
    pub(super) fn batches(&self) -> usize {
        self.log.batches().len()
    }

    /// The batch of a [`Located::Entry`].
    pub(super) fn batch(&self, index: usize) -> &Batch {
        &self.log.batches()[index]
    }

    /// A cursor polled in it.
    pub(super) fn polled(&mut self, now: Instant) {
        self.used = now;
    }

    /// It has its turn, which is the shard's turn of that number: its call is under way from now
    /// on.
    pub(super) fn take_turn(&mut self, turn: u64, by_moment: bool, now: Instant) -> LaneCall {
        self.turn = turn;
        let is_stale = self.is_stale(now);
        match &self.iter {
            Iter::Ready { iterator, issued } if !is_stale => {
                let (iterator, issued) = (iterator.clone(), *issued);
                self.iter = Iter::Reading { iterator: iterator.clone(), issued };
                let cut = PageFilter {
                    from: self.log.stands().clone(),
                    known: self.log.tail(),
                    drop_before: self.drop_before,
                    by_moment,
                };
                LaneCall::Read { iterator, expected: self.expects, cut }
            }
            _ => {
                self.iter = Iter::Opening;
                LaneCall::Open
            }
        }
    }

    /// AWS issued an iterator that was requested at `asked`. `shared`: several records may share a
    /// number; records are stamped in steps of `grain`.
    pub(super) fn opened(
        &mut self,
        issued: IssuedIterator,
        shared: bool,
        grain: Duration,
        (asked, now): (Now, Now),
    ) {
        if self.origin == LaneOrigin::Latest {
            let anchor = Anchor::new(slower(asked.wall, issued.date), grain);
            self.origin = LaneOrigin::Position(PositionBase::Anchor(Arc::new(anchor)));
        }
        self.iter = Iter::Ready { iterator: issued.iterator, issued: now.at };
        self.log.reopened(shared);
        self.note_given(now);
        self.ahead = issued.date.map_or(Duration::ZERO, |date| now.wall.since(date));
        self.tip = Tip::default();
    }

    /// It read a page that was requested at `asked`. `turn`: how long it may have to wait for its
    /// turn while others read.
    pub(super) fn add_page(
        &mut self,
        page: PageRead,
        asked: Now,
        turn: Duration,
        (idle, now): (Duration, Now),
    ) -> PageTaken {
        let was_at_tip = self.is_at_tip(now.at, idle);
        self.pages += 1;
        self.expiries = 0;
        self.used = now.at;
        self.tip = self.tip.after(self.sign(&page, asked), now, turn);
        // One small page does not lower the estimate at once.
        let cost = page.batch.cost();
        self.expects = (cost + cost / 4).max(self.expects / 2).max(LEAST_PAGE);
        let turns =
            self.is_at_tip(now.at, idle) != was_at_tip || self.tip.empties == EMPTIES_TO_TIP;
        // Dropped entries are in no lane: no other lane may reach down across them.
        let before = self.tail().max(page.dropped.unwrap_or(self.tail()));
        let passed = self.drop_before.zip(page.dropped.filter(|order| order.0.is_some()));
        let ended = page.next_iterator.is_none() && page.cut_to.is_none();
        self.iter = match page.next_iterator {
            _ if ended => Iter::Done(LaneEnd::Closed),
            Some(iterator) if page.cut_to.is_none() => Iter::Ready { iterator, issued: now.at },
            Some(_) | None => Iter::Needed,
        };
        self.meet_first(&page.batch);
        self.log.append(page.batch, page.stands);
        self.end_search();
        PageTaken { turns, ended, before, passed }
    }

    fn sign(&self, page: &PageRead, asked: Now) -> Sign {
        Sign {
            is_empty: page.entries == 0,
            newest: page.batch.entries().iter().filter_map(|entry| entry.created_at).max(),
            dropped: page.dropped.is_some(),
            // Records are stamped by AWS's clock.
            asked: Now { wall: asked.wall.minus(self.ahead), ..asked },
            date: page.date,
        }
    }

    /// The first entries of the lane, if these are.
    fn meet_first(&mut self, batch: &Batch) {
        let Some(first) = batch.entries().first() else {
            return;
        };
        self.found();
        if self.log.is_intact()
            && self.log.batches().is_empty()
            && let Some(number) = first.order.0
        {
            // A position that begins at the number would skip an entry without a number before it,
            // so a number is set only if it comes first.
            for anchor in self.all_anchors() {
                let _ = anchor.first.set(number);
            }
        }
    }

    /// Its iterator is of no use any more: it needs another.
    pub(super) fn renew(&mut self) {
        self.iter = Iter::Needed;
    }

    /// As [`Self::renew`], because the iterator expired; returns how many did in a row.
    pub(super) fn expired(&mut self) -> u32 {
        self.iter = Iter::Needed;
        self.expiries += 1;
        self.expiries
    }

    /// A page could not be read, and the same iterator will do.
    pub(super) fn read_again(&mut self) {
        if let Iter::Reading { iterator, issued } = self.iter.clone() {
            self.iter = Iter::Ready { iterator, issued };
        }
    }

    /// Nothing more will be read.
    pub(super) fn end(&mut self, end: LaneEnd) {
        self.iter = Iter::Done(end);
    }

    /// The position to request when the iterator must be renewed: after the newest number, else
    /// the origin; `None`: LATEST. If further records may share that number (`shared`), the number
    /// itself is requested, because they would be skipped otherwise.
    pub(super) fn position(&self, shared: bool) -> Option<Position> {
        match (self.tail().0, &self.origin) {
            (Some(number), _) if shared => Some(Position::AtSequenceNumber(number)),
            (Some(number), _) => Some(Position::AfterSequenceNumber(number)),
            (None, LaneOrigin::Position(base)) => Some(base.position()),
            (None, LaneOrigin::Latest) => None,
        }
    }

    /// The position of a cursor at `position` once everything in the lane is delivered to it.
    pub(super) fn end_position(&self, position: &ReadPosition) -> ReadPosition {
        position.behind(self.tail(), None)
    }

    /// Notes that AWS issued an iterator for its position.
    fn note_given(&mut self, now: Now) {
        let tip = self.tip.newest.filter(|_| self.tip.empties >= EMPTIES_TO_TIP);
        // Whatever came after such a recent tip still exists.
        let is_recent = tip.is_some_and(|tip| now.wall.since(tip.came.wall) < SAFE_AGE);
        let nothing_lost = self.tail().0.is_some() || is_recent;
        if self.given.is_none() || !nothing_lost {
            self.given = Some(now);
        }
    }

    /// An anchor for a LATEST that was shown to be the end of this lane, which has read no record:
    /// its beginning equals LATEST now, but only until a record comes.
    pub(super) fn anchor_at_tip(&mut self, shown: Timestamp, grain: Duration) -> Arc<Anchor> {
        if self.anchors.is_empty() {
            self.anchors.push(Arc::new(Anchor::new(shown, grain)));
        }
        self.anchors[0].clone()
    }

    /// Whether some cursor's anchor depends on this lane's iterator alone.
    pub(super) fn is_anchoring(&self) -> bool {
        // The lane itself holds one reference. Before AWS responds, the clients that requested
        // LATEST are waiters, and those keep the lane.
        self.tail().0.is_none() && self.all_anchors().any(|anchor| Arc::strong_count(anchor) > 1)
    }

    /// Moves all anchors of the other lane to the beginning of this one.
    pub(super) fn take_over(&mut self, other: Self) {
        self.anchors.extend(other.all_anchors().cloned());
        drop(other);
        // No cursor uses the other anchors any more.
        self.anchors.retain(|anchor| Arc::strong_count(anchor) > 1);
    }

    /// When it should be read next, if a waiter needs it; `None`: at once.
    pub(super) fn due(&self, idle: Duration) -> Option<Instant> {
        self.tip.due(idle)
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
            .newest
            .is_some_and(|newest| now.saturating_duration_since(newest.came.at) < idle * 2);
        fresh && self.saw_tip()
    }

    /// Evicts the oldest batch.
    pub(super) fn evict(&mut self) {
        self.log.evict();
    }

    /// Notes that another lane read without a break from `below` up to this lane's first entry:
    /// this lane now reaches down to `below`.
    pub(super) fn reach_down_to(&mut self, below: LogOffset) {
        self.log.reach_down_to(below);
    }

    /// The order of the oldest kept entry that has a number.
    pub(super) fn first_numbered(&self) -> Option<LogOffset> {
        self.log.first_numbered()
    }

    /// The order of the newest kept entry strictly before `order`.
    pub(super) fn last_before(&self, order: LogOffset) -> Option<LogOffset> {
        self.log.last_before(order)
    }

    /// Whether the lane keeps everything from after `order` up to its own tail.
    pub(super) fn reaches(&self, order: LogOffset) -> bool {
        self.log.reaches(order)
    }

    /// Creation time of the newest entry kept.
    pub(super) fn newest_created(&self) -> Option<Timestamp> {
        self.log.last().and_then(|entry| entry.created_at)
    }

    fn all_anchors(&self) -> impl Iterator<Item = &Arc<Anchor>> {
        let origin = match &self.origin {
            LaneOrigin::Position(PositionBase::Anchor(anchor)) => Some(anchor),
            LaneOrigin::Position(PositionBase::Position(_)) | LaneOrigin::Latest => None,
        };
        origin.into_iter().chain(&self.anchors)
    }
}
