//! How the responses of AWS change the state of a shard: iterators and pages. What failed is in
//! [`super::failures`]. Pure.

use std::time::Duration;

use crate::encode::{LogOffset, PageRead};
use crate::model::Now;
use crate::upstream::{IssuedIterator, UpstreamError};

use super::lane::{Lane, LaneEnd};
use super::state::ShardState;
use super::waiters::CountedPage;

impl ShardState {
    /// Takes in the response to an iterator request made at `asked`.
    pub fn opened(
        &mut self,
        id: u64,
        asked: Now,
        answer: Result<IssuedIterator, UpstreamError>,
        now: Now,
    ) {
        self.calls.came_back(now.at);
        match answer {
            Ok(issued) => {
                self.succeeded();
                self.waiters.wake_lane(id);
                let (shared, grain) = (self.behaviour.shared_numbers, self.grain);
                if let Some(lane) = self.lanes.get_mut(id) {
                    lane.opened(issued, shared, grain, (asked, now));
                }
            }
            Err(error) => {
                self.waiters.wake_all();
                self.open_failed(id, asked, error, now);
            }
        }
    }

    /// Takes in the response to a page request made at `asked`.
    pub fn answered(
        &mut self,
        id: u64,
        asked: Now,
        answer: Result<PageRead, UpstreamError>,
        now: Now,
    ) {
        self.calls.came_back(now.at);
        match answer {
            Ok(page)
                if self.lanes.get(id).is_some_and(|lane| lane.searches_in_vain(&page.batch)) =>
            {
                self.waiters.wake_all();
                self.end_lane(id, LaneEnd::Invalid(UpstreamError::no_times()));
            }
            Ok(page) => self.add_page(id, asked, page, now),
            Err(error) => {
                self.waiters.wake_all();
                self.read_failed(id, asked, error, now);
            }
        }
    }

    fn add_page(&mut self, id: u64, asked: Now, page: PageRead, now: Now) {
        self.succeeded();
        if page.next_iterator.is_none() {
            self.waiters.wake_all();
        }
        self.page_limit = self.next_page_limit(&page);
        let empty = page.entries == 0;
        let counted = match page.entries {
            0 => CountedPage::Empty,
            _ if page.batch.entries().is_empty() => CountedPage::Dropped,
            _ => CountedPage::Data,
        };
        self.waiters.answered(id, asked.at, counted, now.at);
        if !empty {
            self.newest = self.newest.max(page.stands.order.0);
        }
        let idle = self.limits.idle_poll_interval;
        let turn =
            idle * 2 + Duration::from_secs_f64(2.0 * self.lanes.count() as f64 / self.calls.rate());
        let Some(lane) = self.lanes.get_mut(id) else { return };
        let taken = lane.add_page(page, asked, turn, (idle, now));
        let tail = lane.tail();
        if !empty {
            self.wake_up_to(id, tail);
        } else if taken.turns {
            self.waiters.wake_lane(id);
        }
        if taken.ended {
            self.end = self.end.max(Some(tail)).filter(|tail| tail.0.is_some());
        }
        if let Some((time, order)) = taken.passed {
            self.searches.pass(time, order);
        }
        self.lanes.meet(id, taken.before);
        if empty {
            self.join(id);
        }
        self.lanes.keep_inside(self.limits.window_bytes_per_shard, id);
    }

    /// How many records to ask for after `page`: what fitted of a page that was too large, twice
    /// as many after one that was full.
    fn next_page_limit(&self, page: &PageRead) -> u32 {
        let (asked_for, most) = (self.page_limit, self.limits.page_records);
        match page.cut_to {
            Some(kept) => u32::try_from(kept)
                .unwrap_or(most)
                .clamp(self.behaviour.least_records().min(most), most),
            None if page.entries >= asked_for as usize => {
                asked_for.saturating_mul(2).clamp(1, most)
            }
            None => asked_for,
        }
    }

    /// The lane read records. Wakes its waiters, waiters without a lane, and those at the ends of
    /// lanes that are less far ahead.
    fn wake_up_to(&mut self, lane: u64, tail: LogOffset) {
        let ahead = self.lanes.iter().filter(|other| other.id() != lane && other.tail() >= tail);
        let ahead: Vec<u64> = ahead.map(Lane::id).collect();
        self.waiters.wake_all_but(&ahead);
    }

    pub(super) fn end_lane(&mut self, id: u64, end: LaneEnd) {
        if let Some(lane) = self.lanes.get_mut(id) {
            lane.end(end);
        }
    }
}
