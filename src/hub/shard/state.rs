//! The state of one shard: its lanes, its waiters, and what a cursor finds when it polls. Pure.
//!
//! [`super::schedule`] decides from the same state what to read next.

use std::time::{Duration, Instant};

use crate::encode::{LogOffset, ReadLimit};
use crate::limits::ReadingLimits;
use crate::model::{Now, Position, SequenceNumber, Timestamp};
use crate::upstream::UpstreamError;

use super::calls::Calls;
use super::denial::Doubt;
use super::lane::{Iter, Lane, LaneOrigin, Located};
use super::lanes::Lanes;
use super::parked::Parked;
use super::poll::{BadRecord, GapCause, Polled, Poller, WaitFor};
use super::position::{PositionBase, PositionState, ReadPosition};
use super::searches::Searches;
use super::upstream_behaviour::UpstreamBehaviour;
use super::waiters::{Registration, WaiterKind, Waiters};

/// The state of one shard.
#[derive(Debug)]
pub struct ShardState {
    pub(super) limits: ReadingLimits,
    pub(super) behaviour: UpstreamBehaviour,
    /// The steps in which the upstream stamps its records.
    pub(super) grain: Duration,
    pub(super) lanes: Lanes,
    pub(super) waiters: Waiters,
    pub(super) parked: Parked,
    pub(super) calls: Calls,
    pub(super) turns: u64,
    pub(super) page_limit: u32,
    pub(super) doubt: Doubt,
    /// How far searches for a time have read.
    pub(super) searches: Searches,
    /// The last entry of a closed shard, once some lane has read to its end.
    pub(super) end: Option<LogOffset>,
    /// The newest sequence number read by any lane, even one that is gone.
    pub(super) newest: Option<SequenceNumber>,
    /// A certain gap was reported to some cursor.
    lost: bool,
}

impl ShardState {
    /// A shard that has not been read yet. `seed` seeds the jitter of its pauses.
    pub fn new(limits: ReadingLimits, behaviour: UpstreamBehaviour, seed: u64) -> Self {
        Self {
            behaviour,
            grain: Duration::from_secs(1),
            lanes: Lanes::default(),
            waiters: Waiters::default(),
            parked: Parked::default(),
            calls: Calls::new(&limits, seed),
            turns: 0,
            page_limit: limits.page_records,
            doubt: Doubt::default(),
            searches: Searches::default(),
            end: None,
            newest: None,
            lost: false,
            limits,
        }
    }

    /// Sets the steps in which the upstream stamps its records (default: whole seconds).
    pub fn stamped(self, grain: Duration) -> Self {
        Self { grain, ..self }
    }

    /// Sets how many consecutive failures it takes until an error that may pass soon is reported.
    pub fn with_attempts(self, attempts: u32) -> Self {
        Self { calls: self.calls.with_attempts(attempts), ..self }
    }

    /// Resets the shard after a fault that may have left any state half changed: lanes and waiters
    /// are dropped. Each waiter polls again and finds this error as its outage. Ids are not reused,
    /// so that no cursor takes another's waiter for its own.
    pub fn restart(&mut self, error: UpstreamError, now: Now) {
        let fresh = || Self::new(self.limits.clone(), self.behaviour, 0);
        let (rest, empty) = (fresh(), fresh());
        let old = std::mem::replace(self, empty);
        *self = Self {
            lanes: old.lanes.after_fault(),
            waiters: old.waiters.after_fault(),
            parked: old.parked.after_fault(),
            calls: old.calls.after_fault(now.at),
            grain: old.grain,
            newest: old.newest,
            lost: old.lost,
            ..rest
        };
        self.failed(now, error, now);
    }

    /// Finds what comes next at the cursor's position. If nothing is found, a waiter is registered
    /// under `waiter` (or kept); otherwise the waiter is removed.
    ///
    /// The position itself is not advanced, only changed to an equivalent one (such as a detour);
    /// the caller takes the returned position once the result is delivered.
    pub fn poll(
        &mut self,
        Poller { position, waiter }: Poller<'_>,
        room: ReadLimit,
        wait_for: WaitFor,
        now: Now,
    ) -> Polled {
        let own = self.waiters.get(*waiter).and_then(|waiter| waiter.lane);
        let found = self.find_around(position, own, room, now);
        let polled = found
            .unwrap_or_else(|lane| self.wait(Poller { position, waiter }, lane, wait_for, now));
        if !matches!(polled, Polled::Pending(_)) {
            self.leave(waiter);
        }
        self.lost |= matches!(&polled, Polled::Gap(gap, _) if gap.certain);
        polled
    }

    /// As [`Self::poll`], but records that are found are to be taken later: the waiter stays
    /// registered, so that for a while their lane is not given to others.
    pub fn peek(
        &mut self,
        Poller { position, waiter }: Poller<'_>,
        room: ReadLimit,
        wait_for: WaitFor,
        now: Now,
    ) -> Polled {
        let data_at = self.waiters.get(*waiter).and_then(|waiter| waiter.data_at);
        let polled = self.poll(Poller { position, waiter }, room, wait_for, now);
        if matches!(polled, Polled::Records(..) | Polled::Unreadable(..)) {
            let holds = |lane: &&Lane| matches!(lane.find(position), Some(Located::Entry(..)));
            let lane = self.lanes.iter().find(holds).map(Lane::id);
            let (kind, position) = (WaiterKind::Poll(wait_for), Some(position.clone()));
            let data_at = data_at.or(Some(now.at));
            self.waiters.register(waiter, Registration { lane, kind, position, data_at }, now.at);
        }
        polled
    }

    /// As [`Self::poll`], but without waiting: no waiter is registered.
    pub fn glance(&mut self, position: &mut ReadPosition, room: ReadLimit, now: Now) -> Polled {
        let found = self.find_around(position, None, room, now);
        found.unwrap_or_else(|lane| Polled::Pending(self.pending(lane, None, now)))
    }

    /// Notes the position of a cursor that has no waiter. `None`: the cursor has a waiter again, or
    /// is dropped.
    pub fn park(&mut self, parked: &mut Option<u64>, position: Option<&ReadPosition>) {
        self.parked.park(parked, position);
    }

    /// The memory that the shard's batches use, in bytes.
    pub fn cost(&self) -> usize {
        self.lanes.cost()
    }

    /// The number of lanes.
    pub fn lane_count(&self) -> usize {
        self.lanes.count()
    }

    /// Whether a certain gap was reported to some cursor.
    pub(super) fn has_lost(&self) -> bool {
        self.lost
    }

    /// The number of parked cursors: they found something and have not polled again.
    pub fn parked_count(&self) -> usize {
        self.parked.count()
    }

    /// There are no waiters, no calls under way, and no anchors that depend on an iterator.
    pub fn is_idle(&self) -> bool {
        // A lane that has ended has no iterator to keep alive, and nothing notifies the reader when
        // its anchors are dropped.
        let holds = |lane: &Lane| lane.is_anchoring() && !matches!(lane.iter(), Iter::Done(_));
        self.waiters.is_empty() && self.calls.in_flight() == 0 && !self.lanes.iter().any(holds)
    }

    /// Creation time of the next record at the position, if that record is in memory.
    pub fn next_created(&self, position: &ReadPosition) -> Option<Timestamp> {
        self.lanes.iter().find_map(|lane| match lane.find(position) {
            Some(Located::Entry(batch, index)) => lane.batch(batch).entries()[index].created_at,
            Some(Located::End) | None => None,
        })
    }

    /// How far reading at the live lane is behind: zero at the tip, else the age of the newest
    /// record read. `None`: not known yet.
    pub fn lag(&self, now: Now) -> Option<Duration> {
        let lane = self.lanes.get(self.live(now.at)?)?;
        if lane.is_at_tip(now.at, self.limits.idle_poll_interval) {
            return Some(Duration::ZERO);
        }
        lane.newest_created().map(|created| now.wall.since(created))
    }

    /// The position at the end of the lane, if `position` is at the end of one; else `None`.
    pub fn end_of(&self, position: &ReadPosition) -> Option<ReadPosition> {
        let lane = self.lanes.iter().find(|lane| lane.find(position) == Some(Located::End))?;
        Some(lane.end_position(position))
    }

    /// Frees memory until `enough` returns true, always the oldest batch of the lane that keeps
    /// most. Each lane keeps its newest batch, unless `all` is set.
    pub fn shed(&mut self, all: bool, enough: impl Fn() -> bool) {
        self.lanes.shed(all, enough);
    }

    /// The live lane.
    pub(super) fn live(&self, now: Instant) -> Option<u64> {
        self.lanes.live(now, self.limits.idle_poll_interval)
    }

    /// Starts a lane if the limit allows it, or else ends a lane without waiters to make room: an
    /// old one first, then a LATEST lane kept alive for its anchors (whose cursors then continue by
    /// time), and the window last. `None`: no room.
    pub(super) fn start_lane(
        &mut self,
        origin: LaneOrigin,
        passed: u16,
        now: Instant,
    ) -> Option<u64> {
        if self.lanes.count() >= self.limits.most_lanes() {
            let (live, window) = (self.live(now), self.lanes.window());
            let idle = |lane: &&Lane| !self.is_wanted(lane.id(), now) && !lane.is_busy();
            let worth = |lane: &&Lane| {
                let (id, keeps) = (lane.id(), window.contains(&lane.id()) && lane.batches() > 0);
                (Some(id) == live, keeps, lane.is_anchoring(), lane.used(), id)
            };
            let oldest = self.lanes.iter().filter(idle).min_by_key(worth)?.id();
            self.lanes.remove(oldest);
            self.waiters.lose(&[oldest]);
        }
        Some(self.lanes.start(origin, passed, now))
    }

    /// As [`Self::find`], and once more if that put the position on a detour.
    pub(super) fn find_around(
        &mut self,
        position: &mut ReadPosition,
        own: Option<u64>,
        room: ReadLimit,
        now: Now,
    ) -> Result<Polled, Option<u64>> {
        let around = position.over_horizon();
        let found = self.find(position, own, room, now);
        if position.over_horizon() == around { found } else { self.find(position, own, room, now) }
    }

    /// Finds what comes next at the position, or returns as `Err` the lane whose end is there
    /// (`None`: no lane covers the position). A lane that ended badly is reported only to its own
    /// waiters (`own`), not to cursors that come later: their position may already be behind that
    /// loss.
    fn find(
        &mut self,
        position: &mut ReadPosition,
        own: Option<u64>,
        room: ReadLimit,
        now: Now,
    ) -> Result<Polled, Option<u64>> {
        if position.state == PositionState::ShardGone {
            return Ok(Polled::Ended);
        }
        let mut ends: Option<&Lane> = None;
        for lane in self.lanes.iter_mut().filter(|lane| !lane.began_too_late(position, now)) {
            match lane.find(position) {
                Some(Located::Entry(batch, index)) => {
                    lane.polled(now.at);
                    return Ok(taken(lane, batch, index, position, room));
                }
                Some(Located::End) if lane.iter().rank() == 0 && own != Some(lane.id()) => {}
                Some(Located::End) => {
                    lane.polled(now.at);
                    let rank = |lane: &Lane| (lane.iter().rank(), lane.tail());
                    let better = |old: &&Lane| rank(old) >= rank(lane);
                    ends = Some(ends.filter(better).unwrap_or(lane));
                }
                None => {}
            }
        }
        match ends.map(Lane::id) {
            Some(lane) => self.at_end(lane, position, now),
            None if self.end.is_some() && self.end == position.order() => Ok(Polled::Ended),
            None if self.behaviour.may_have_trimmed(position, now) => {
                Ok(self.gap(position, GapCause::Trimmed, false, now))
            }
            None => Err(None),
        }
    }

    /// The lane that will read from the position: one that already covers it, else a new one;
    /// `None` if there is no room.
    pub(super) fn lane_for(&mut self, position: &mut ReadPosition, now: Now) -> Option<u64> {
        let origin = match position.over_horizon() {
            Some(_) => PositionBase::Position(Position::TrimHorizon),
            None => {
                position.leave_the_anchor();
                position.base.clone()
            }
        };
        let goes_on = |lane: &&Lane| lane.iter().rank() > 0 && lane.find(position).is_some();
        let begun = self.lanes.iter().find(goes_on).map(Lane::id);
        // Entries of this number that were already delivered need not be kept and fill pages.
        let passed = position.skip;
        begun.or_else(|| self.start_lane(LaneOrigin::Position(origin), passed, now.at))
    }
}

/// What a cursor finds at an entry of a lane.
fn taken(
    lane: &Lane,
    batch: usize,
    index: usize,
    position: &ReadPosition,
    room: ReadLimit,
) -> Polled {
    let found = lane.batch(batch);
    let entry = &found.entries()[index];
    if let Some(chunk) = found.cut(index, room) {
        let after = position.behind(chunk.last, chunk.created_at);
        return Polled::Records(chunk, after);
    }
    let Some(bad) = &entry.unreadable else { return Polled::TooNew };
    let (number, nameless) = entry.order;
    let bad = BadRecord {
        sequence_number: bad.number,
        after: if nameless == 0 {
            lane.last_before(entry.order).and_then(|order| order.0).or(position.number())
        } else {
            number
        },
        cause: bad.cause.clone(),
    };
    Polled::Unreadable(bad, position.behind(entry.order, entry.created_at))
}
