//! The lanes of a shard together: which is furthest ahead, which reach down to which, and what
//! they keep. Pure.

use std::time::{Duration, Instant};

use crate::encode::LogOffset;

use super::lane::{Iter, Lane, LaneEnd, LaneOrigin};
use super::position::PositionBase;

/// The lanes of one shard.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    list: Vec<Lane>,
    ids: u64,
}

impl Lanes {
    /// None, after a fault that lost them all: ids are not used again.
    pub(super) fn after_fault(self) -> Self {
        Self { list: vec![], ids: self.ids }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.list.iter_mut()
    }

    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Lane> {
        self.list.iter().find(|lane| lane.id() == id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Lane> {
        self.list.iter_mut().find(|lane| lane.id() == id)
    }

    /// The id of the newest lane that there ever was.
    pub(super) fn newest_id(&self) -> u64 {
        self.ids
    }

    /// A new lane; returns its id.
    pub(super) fn start(&mut self, origin: LaneOrigin, passed: u16, now: Instant) -> u64 {
        self.ids += 1;
        self.list.push(Lane::new(self.ids, origin, passed, now));
        self.ids
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Lane> {
        let at = self.list.iter().position(|lane| lane.id() == id)?;
        Some(self.list.remove(at))
    }

    /// Removes all lanes that are not to stay; returns their ids.
    pub(super) fn remove_unless(&mut self, stays: impl Fn(&Lane) -> bool) -> Vec<u64> {
        let mut removed = vec![];
        self.list.retain(|lane| {
            let stays = stays(lane);
            removed.extend((!stays).then_some(lane.id()));
            stays
        });
        removed
    }

    /// AWS no longer has the shard: ends all lanes without a call under way.
    pub(super) fn shard_is_gone(&mut self) {
        let waiting = |lane: &&mut Lane| !lane.is_busy() && !matches!(lane.iter(), Iter::Done(_));
        self.list.iter_mut().filter(waiting).for_each(|lane| lane.end(LaneEnd::Gone));
    }

    /// The live lane: one at LATEST that has read no record and is known to be at the tip, else the
    /// one with the highest number. A LATEST lane that is not being read does not count.
    pub(super) fn live(&self, now: Instant, idle: Duration) -> Option<u64> {
        let ahead = |lane: &&Lane| {
            let at_latest = lane.tail().0.is_none()
                && matches!(lane.origin(), LaneOrigin::Position(PositionBase::Anchor(_)));
            (at_latest && lane.is_at_tip(now, idle), lane.tail(), lane.id())
        };
        self.list.iter().max_by_key(ahead).map(Lane::id)
    }

    /// The lanes whose pages follow one another without a break up to the highest number read:
    /// together they are the window.
    pub(super) fn window(&self) -> Vec<u64> {
        let numbered = self.list.iter().filter(|lane| lane.tail().0.is_some());
        let newest = numbered.max_by_key(|lane| (lane.tail(), lane.id()));
        let mut window: Vec<&Lane> = newest.into_iter().collect();
        let mut next = 0;
        while let Some(&upper) = window.get(next) {
            let follows = |lane: &&Lane| lane.tail().0.is_some() && upper.reaches(lane.tail());
            let below = self.list.iter().filter(follows);
            let below: Vec<_> =
                below.filter(|lane| window.iter().all(|known| known.id() != lane.id())).collect();
            window.extend(below);
            next += 1;
        }
        window.into_iter().map(Lane::id).collect()
    }

    /// The lane has read without a break from `before` to its tail: other lanes whose first entry
    /// lies in between now reach down to it.
    pub(super) fn meet(&mut self, id: u64, before: LogOffset) {
        let Some(reader) = self.get(id) else { return };
        let tail = reader.tail();
        let firsts = self.list.iter().filter(|lane| lane.id() != id);
        let firsts = firsts.filter_map(|lane| Some((lane.id(), lane.first_numbered()?)));
        let met: Vec<(u64, LogOffset)> = firsts
            .filter(|(_, first)| *first > before && *first <= tail)
            .map(|(other, first)| (other, reader.last_before(first).unwrap_or(before)))
            .collect();
        for (other, below) in met {
            if let Some(lane) = self.get_mut(other) {
                lane.reach_down_to(below);
            }
        }
    }

    /// The memory that the batches use, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.list.iter().map(Lane::cost).sum()
    }

    /// Evicts the oldest batches: first all but the newest page of lanes outside the window, then
    /// from whichever lane keeps most, until no more than `most` bytes are left. The lane that read
    /// last keeps its newest page.
    pub(super) fn keep_inside(&mut self, most: usize, newest: u64) {
        let window = self.window();
        for lane in self.list.iter_mut().filter(|lane| !window.contains(&lane.id())) {
            while lane.batches() > 1 {
                lane.evict();
            }
        }
        while self.cost() > most
            && self.evict_from_the_fullest(|lane| usize::from(lane.id() == newest))
        {}
    }

    /// Frees memory until `enough` returns true, always the oldest batch of the lane that keeps
    /// most. Each lane keeps its newest batch, unless `all` is set.
    pub(super) fn shed(&mut self, all: bool, enough: impl Fn() -> bool) {
        while !enough() && self.evict_from_the_fullest(|_| usize::from(!all)) {}
    }

    /// Evicts a batch of the lane that keeps most, among those with more than they are to keep.
    fn evict_from_the_fullest(&mut self, keeps: impl Fn(&Lane) -> usize) -> bool {
        let with_more = self.list.iter_mut().filter(|lane| lane.batches() > keeps(lane));
        let Some(lane) = with_more.max_by_key(|lane| (lane.batches(), lane.cost())) else {
            return false;
        };
        lane.evict();
        true
    }
}
