//! The state of one shard: its lanes, its waiters, and what a cursor finds when it polls. Pure.
//!
//! [`super::schedule`] decides from the same state what to read next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::encode::{LogOffset, ReadLimit};
use crate::limits::ReadingLimits;
use crate::model::{Now, Position, SequenceNumber, Timestamp};

use super::super::rate_limit::{Backoff, Budget};
use super::denial::Denial;
use super::lane::{Iter, Lane, LaneOrigin, Located};
use super::poll::{BadRecord, GapCause, Outage, Polled, Poller, WaitFor};
use super::position::{Detour, PositionBase, ReadPosition};
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
    /// How often a call is tried before its failure is reported to clients that wait for a single
    /// response.
    pub(super) attempts: u32,
    pub(super) lanes: Vec<Lane>,
    pub(super) waiters: Waiters,
    pub(super) budget: Budget,
    pub(super) backoff: Backoff,
    pub(super) paused: Option<Instant>,
    pub(super) in_flight: usize,
    pub(super) turns: u64,
    pub(super) live_had_turn: bool,
    pub(super) page_limit: u32,
    pub(super) outage: Option<Arc<Outage>>,
    /// Set once AWS has said that it does not have the shard, until a call succeeds.
    pub(super) denial: Option<Denial>,
    /// How far searches for a time have read.
    pub(super) searches: Searches,
    /// The last entry of a closed shard, once some lane has read to its end.
    pub(super) end: Option<LogOffset>,
    /// Positions of parked cursors (found something, not polled again), for progress reports.
    pub(super) parked: BTreeMap<u64, ReadPosition>,
    /// The newest sequence number read by any lane, even one that is gone.
    pub(super) newest: Option<SequenceNumber>,
    /// A certain gap was reported to some cursor.
    pub(super) lost: bool,
    pub(super) ids: u64,
}

impl ShardState {
    /// A shard that has not been read yet. `seed` seeds the jitter of its pauses.
    pub fn new(limits: ReadingLimits, behaviour: UpstreamBehaviour, seed: u64) -> Self {
        Self {
            behaviour,
            grain: Duration::from_secs(1),
            attempts: 1,
            lanes: Vec::new(),
            waiters: Waiters::default(),
            budget: Budget::new(limits.shard_calls_per_second),
            backoff: Backoff::new(limits.backoff, seed),
            paused: None,
            in_flight: 0,
            turns: 0,
            live_had_turn: false,
            page_limit: limits.page_records,
            outage: None,
            denial: None,
            searches: Searches::default(),
            end: None,
            parked: BTreeMap::new(),
            newest: None,
            lost: false,
            ids: 0,
            limits,
        }
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
            let lane = self.lanes.iter().find(holds).map(|lane| lane.id);
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
        match (position, *parked) {
            (Some(position), Some(id)) => _ = self.parked.insert(id, position.clone()),
            (Some(position), None) => {
                self.ids += 1;
                self.parked.insert(self.ids, position.clone());
                *parked = Some(self.ids);
            }
            (None, Some(id)) => {
                self.parked.remove(&id);
                *parked = None;
            }
            (None, None) => {}
        }
    }

    /// The memory that the shard's batches use, in bytes.
    pub fn cost(&self) -> usize {
        self.lanes.iter().map(Lane::cost).sum()
    }

    /// The number of lanes.
    pub fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// The number of parked cursors: they found something and have not polled again.
    pub fn parked_count(&self) -> usize {
        self.parked.len()
    }

    /// There are no waiters, no calls under way, and no anchors that depend on an iterator.
    pub fn is_idle(&self) -> bool {
        // A lane that has ended has no iterator to keep alive, and nothing notifies the reader when
        // its anchors are dropped.
        let holds = |lane: &Lane| lane.is_anchoring() && !matches!(lane.iter, Iter::Done(_));
        self.waiters.is_empty() && self.in_flight == 0 && !self.lanes.iter().any(holds)
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
        let live = self.live(now.at)?;
        let lane = self.lanes.iter().find(|lane| lane.id == live)?;
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
        let keep = usize::from(!all);
        while !enough() {
            let with_more = self.lanes.iter_mut().filter(|lane| lane.batches() > keep);
            let Some(lane) = with_more.max_by_key(|lane| (lane.batches(), lane.cost())) else {
                return;
            };
            lane.evict();
        }
    }

    /// The live lane: one at LATEST that has read no record and is known to be at the tip, else the
    /// one with the highest number. A LATEST lane that is not being read does not count.
    pub(super) fn live(&self, now: Instant) -> Option<u64> {
        let ahead = |lane: &&Lane| {
            let at_latest = lane.tail.0.is_none()
                && matches!(lane.origin, LaneOrigin::Position(PositionBase::Anchor(_)));
            let latest = at_latest && lane.is_at_tip(now, self.limits.idle_poll_interval);
            (latest, lane.tail, lane.id)
        };
        self.lanes.iter().max_by_key(ahead).map(|lane| lane.id)
    }

    /// The lanes whose pages follow one another without a break up to the highest number read:
    /// together they are the window.
    pub(super) fn window(&self) -> Vec<u64> {
        let newest = self
            .lanes
            .iter()
            .filter(|lane| lane.tail.0.is_some())
            .max_by_key(|lane| (lane.tail, lane.id));
        let mut window: Vec<&Lane> = newest.into_iter().collect();
        let mut next = 0;
        while let Some(&upper) = window.get(next) {
            let follows = |lane: &&Lane| lane.tail.0.is_some() && upper.reaches(lane.tail);
            let below = self.lanes.iter().filter(follows);
            let below: Vec<_> =
                below.filter(|lane| window.iter().all(|known| known.id != lane.id)).collect();
            window.extend(below);
            next += 1;
        }
        window.into_iter().map(|lane| lane.id).collect()
    }

    pub(super) fn lane(&mut self, id: u64) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.id == id)
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
        if self.lanes.len() >= self.limits.most_lanes() {
            let (live, window) = (self.live(now), self.window());
            let idle = |lane: &&Lane| !self.is_wanted(lane.id, now) && !lane.is_busy();
            let worth = |lane: &&Lane| {
                let keeps = window.contains(&lane.id) && lane.batches() > 0;
                (Some(lane.id) == live, keeps, lane.is_anchoring(), lane.used, lane.id)
            };
            let oldest = self.lanes.iter().filter(idle).min_by_key(worth).map(|lane| lane.id)?;
            self.lanes.retain(|lane| lane.id != oldest);
            self.waiters.lose(&[oldest]);
        }
        self.ids += 1;
        self.lanes.push(Lane::new(self.ids, origin, passed, now));
        Some(self.ids)
    }

    /// As [`Self::find`], and once more if that put the position on a detour.
    pub(super) fn find_around(
        &mut self,
        position: &mut ReadPosition,
        own: Option<u64>,
        room: ReadLimit,
        now: Now,
    ) -> Result<Polled, Option<u64>> {
        let detour = position.detour;
        let found = self.find(position, own, room, now);
        if position.detour == detour { found } else { self.find(position, own, room, now) }
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
        if position.detour == Detour::Gone {
            return Ok(Polled::Ended);
        }
        let mut ends: Option<&Lane> = None;
        for lane in self.lanes.iter_mut().filter(|lane| !lane.began_too_late(position, now)) {
            match lane.find(position) {
                Some(Located::Entry(batch, index)) => {
                    lane.used = now.at;
                    return Ok(taken(lane, batch, index, position, room));
                }
                Some(Located::End) if lane.iter.rank() == 0 && own != Some(lane.id) => {}
                Some(Located::End) => {
                    lane.used = now.at;
                    let better =
                        |old: &&Lane| (old.iter.rank(), old.tail) >= (lane.iter.rank(), lane.tail);
                    ends = Some(ends.filter(better).unwrap_or(lane));
                }
                None => {}
            }
        }
        match ends.map(|lane| lane.id) {
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
        let origin = match (position.detour, &position.base) {
            (detour, _) if detour.over_horizon().is_some() => {
                PositionBase::Position(Position::TrimHorizon)
            }
            (_, base) => PositionBase::Position(base.position()),
        };
        if position.detour.over_horizon().is_none() && position.base != origin {
            // The anchor's iterator is gone: from here on the cursor uses the position that the
            // anchor stands for.
            position.base = origin.clone();
        }
        let goes_on = |lane: &&Lane| lane.iter.rank() > 0 && lane.find(position).is_some();
        let begun = self.lanes.iter().find(goes_on).map(|lane| lane.id);
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
