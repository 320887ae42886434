//! How the responses of AWS change the state of a shard: iterators, pages and failures. Pure.

use std::time::Duration;

use crate::encode::{LogOffset, PageRead};
use crate::model::{Now, Position};
use crate::upstream::{ErrorClass, IssuedIterator, UpstreamError};

use super::lane::{Lane, LaneEnd, LaneOrigin};
use super::position::PositionBase;
use super::state::ShardState;
use super::waiters::CountedPage;

/// Consecutive iterators that may expire before it counts as a failure.
const EXPIRIES_IN_A_ROW: u32 = 2;

/// The least number of records to request in one call, even after many failures.
const LEAST_RECORDS: u32 = 16;

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

    /// How many records to ask for behind `page`: what fitted of a page that was too large, twice
    /// as many behind one that was full.
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

    fn end_lane(&mut self, id: u64, end: LaneEnd) {
        if let Some(lane) = self.lanes.get_mut(id) {
            lane.end(end);
        }
    }

    fn open_failed(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        let end = match error.class {
            ErrorClass::Trimmed if self.search_again(id) => {
                return self.begin_again(id, asked, error, now);
            }
            ErrorClass::Trimmed => LaneEnd::Refused,
            ErrorClass::NotFound => return self.not_found(id, asked, error, now),
            // A position that has been read before cannot be malformed: the upstream is failing.
            ErrorClass::Invalid if self.lanes.get(id).is_some_and(|lane| lane.pages() == 0) => {
                LaneEnd::Invalid(error.clone())
            }
            ErrorClass::Invalid
            | ErrorClass::Throttled
            | ErrorClass::Unavailable
            | ErrorClass::ExpiredIterator
            | ErrorClass::AccessDenied => {
                if let Some(lane) = self.lanes.get_mut(id) {
                    lane.renew();
                }
                return self.failed(asked, error, now);
            }
        };
        self.end_lane(id, end);
    }

    fn read_failed(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        // AWS has trimmed the position that a search by time had reached, before the search found
        // anything.
        let again = error.class == ErrorClass::Trimmed && self.search_again(id);
        let Some(lane) = self.lanes.get_mut(id) else { return };
        let at_horizon = lane.tail().0.is_none()
            && *lane.origin()
                == LaneOrigin::Position(PositionBase::Position(Position::TrimHorizon));
        match error.class {
            // At the horizon no particular record was promised: the oldest one still kept is what
            // was requested.
            ErrorClass::ExpiredIterator | ErrorClass::Trimmed
                if error.class == ErrorClass::ExpiredIterator || at_horizon || again =>
            {
                self.begin_again(id, asked, error, now)
            }
            ErrorClass::ExpiredIterator | ErrorClass::Trimmed => lane.end(LaneEnd::Trimmed),
            ErrorClass::NotFound => self.not_found(id, asked, error, now),
            ErrorClass::Throttled | ErrorClass::Unavailable | ErrorClass::AccessDenied => {
                lane.read_again();
                if error.class == ErrorClass::Unavailable {
                    // The response may have been too large to be read, or to come in time: request
                    // fewer records. Full pages raise the limit again.
                    let least =
                        LEAST_RECORDS.max(self.behaviour.least_records()).min(self.page_limit);
                    self.page_limit = (self.page_limit / 2).max(least);
                }
                self.failed(asked, error, now);
            }
            ErrorClass::Invalid => {
                // It is the iterator that AWS calls malformed: request another after the pause.
                lane.renew();
                self.failed(asked, error, now);
            }
        }
    }

    /// Marks the lane as needing another iterator. Too many in a row count as a failure.
    fn begin_again(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        let Some(lane) = self.lanes.get_mut(id) else { return };
        if lane.expired() > EXPIRIES_IN_A_ROW {
            self.failed(asked, error, now);
        }
    }
}
