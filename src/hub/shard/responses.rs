//! How the responses of AWS change the state of a shard: iterators, pages and failures. Pure.

use std::sync::Arc;
use std::time::Duration;

use crate::encode::{LogOffset, PageRead};
use crate::model::{Now, Position};
use crate::upstream::{ErrorClass, IssuedIterator, UpstreamError};

use super::lane::{Iter, LaneEnd, LaneOrigin};
use super::position::{Anchor, PositionBase};
use super::schedule::idle_pause;
use super::state::ShardState;
use super::tip::{EMPTIES_TO_TIP, Sign, Tip, slower};
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
        let shared = self.behaviour.shared_numbers;
        self.came_back(now);
        match answer {
            Ok(issued) => {
                self.succeeded();
                self.waiters.wake_lane(id);
                let grain = self.grain;
                let Some(lane) = self.lane(id) else { return };
                if lane.origin == LaneOrigin::Latest {
                    let anchor = Anchor::new(slower(asked.wall, issued.date), grain);
                    lane.origin = LaneOrigin::Position(PositionBase::Anchor(Arc::new(anchor)));
                }
                lane.iter = Iter::Ready { iterator: issued.iterator, issued: now.at };
                lane.placed.get_or_insert(now.at);
                lane.stands = lane.reopened_at(shared);
                lane.is_given(now.wall);
                lane.ahead = issued.date.map_or(Duration::ZERO, |date| now.wall.since(date));
                lane.tip = Tip::default();
                lane.due = None;
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
        self.came_back(now);
        match answer {
            Ok(page) if self.lane(id).is_some_and(|lane| lane.searches_in_vain(&page.batch)) => {
                self.waiters.wake_all();
                self.lane(id).expect("just found").iter =
                    Iter::Done(LaneEnd::Invalid(UpstreamError::no_times()));
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
        let idle_poll_interval = self.limits.idle_poll_interval;
        let end = page.next_iterator.is_none() && page.cut_to.is_none();
        if !empty {
            self.newest = self.newest.max(page.stands.order.0);
        }
        let turn = idle_poll_interval * 2
            + Duration::from_secs_f64(2.0 * self.lanes.len() as f64 / self.budget.rate());
        let Some(lane) = self.lane(id) else { return };
        let was_at_tip = lane.is_at_tip(now.at, idle_poll_interval);
        lane.pages += 1;
        lane.expiries = 0;
        lane.used = now.at;
        let newest = page.batch.entries().iter().filter_map(|entry| entry.created_at).max();
        // Records are stamped by AWS's clock.
        let asked_there = Now { wall: asked.wall.minus(lane.ahead), ..asked };
        let (dropped, date) = (page.dropped.is_some(), page.date);
        let sign = Sign { is_empty: empty, newest, dropped, asked: asked_there, date };
        lane.tip = lane.tip.after(sign, now, turn);
        lane.expect_after(page.batch.cost());
        let turns = lane.is_at_tip(now.at, idle_poll_interval) != was_at_tip
            || lane.tip.empties == EMPTIES_TO_TIP;
        lane.due = Some(now.at + idle_pause(lane, idle_poll_interval));
        // Dropped entries are in no lane: no other lane may reach down across them.
        let before = lane.tail.max(page.dropped.unwrap_or(lane.tail));
        let passed = lane.drop_before.zip(page.dropped.filter(|order| order.0.is_some()));
        let tail = page.stands.order;
        lane.stands = page.stands;
        lane.append(page.batch, tail);
        lane.end_search();
        lane.iter = match page.next_iterator {
            _ if end => Iter::Done(LaneEnd::Closed),
            Some(iterator) if page.cut_to.is_none() => Iter::Ready { iterator, issued: now.at },
            Some(_) | None => Iter::Needed,
        };
        if !empty {
            self.wake_up_to(id);
        } else if turns {
            self.waiters.wake_lane(id);
        }
        if end {
            self.end =
                self.end.max(self.lane(id).map(|lane| lane.tail)).filter(|tail| tail.0.is_some());
        }
        if let Some((time, order)) = passed {
            self.searches.pass(time, order);
        }
        self.meet(id, before);
        if empty {
            self.join(id);
        }
        self.keep_inside_limits(id);
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
    fn wake_up_to(&mut self, lane: u64) {
        let Some(tail) = self.lane(lane).map(|lane| lane.tail) else { return };
        let ahead = self.lanes.iter().filter(|other| other.id != lane && other.tail >= tail);
        let ahead: Vec<u64> = ahead.map(|other| other.id).collect();
        self.waiters.wake_all_but(&ahead);
    }

    /// The lane has read without a break from `before` to its tail: other lanes whose first entry
    /// lies in between now reach down to it.
    fn meet(&mut self, id: u64, before: LogOffset) {
        let Some(reader) = self.lanes.iter().find(|lane| lane.id == id) else { return };
        let tail = reader.tail;
        let firsts = self.lanes.iter().filter(|lane| lane.id != id);
        let firsts = firsts.filter_map(|lane| Some((lane.id, lane.first_numbered()?)));
        let met: Vec<(u64, LogOffset)> = firsts
            .filter(|(_, first)| *first > before && *first <= tail)
            .map(|(other, first)| (other, reader.last_before(first).unwrap_or(before)))
            .collect();
        for (other, below) in met {
            if let Some(lane) = self.lane(other) {
                lane.reach_down_to(below);
            }
        }
    }

    /// Evicts the oldest batches: first all but the newest page of lanes outside the window, then
    /// from whichever lane keeps most.
    fn keep_inside_limits(&mut self, newest: u64) {
        let window = self.window();
        let most = self.limits.window_bytes_per_shard;
        for lane in self.lanes.iter_mut().filter(|lane| !window.contains(&lane.id)) {
            while lane.batches() > 1 {
                lane.evict();
            }
        }
        while self.cost() > most {
            let with_more =
                self.lanes.iter().filter(|lane| lane.batches() > usize::from(lane.id == newest));
            let Some(id) =
                with_more.max_by_key(|lane| (lane.batches(), lane.cost())).map(|lane| lane.id)
            else {
                break;
            };
            self.lane(id).expect("just found").evict();
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
            ErrorClass::Invalid if self.lane(id).is_some_and(|lane| lane.pages == 0) => {
                LaneEnd::Invalid(error.clone())
            }
            ErrorClass::Invalid
            | ErrorClass::Throttled
            | ErrorClass::Unavailable
            | ErrorClass::ExpiredIterator
            | ErrorClass::AccessDenied => {
                if let Some(lane) = self.lane(id) {
                    lane.iter = Iter::Needed;
                }
                return self.failed(asked, error, now);
            }
        };
        if let Some(lane) = self.lane(id) {
            lane.iter = Iter::Done(end);
        }
    }

    fn read_failed(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        // AWS has trimmed the position that a search by time had reached, before the search found
        // anything.
        let again = error.class == ErrorClass::Trimmed && self.search_again(id);
        let Some(lane) = self.lane(id) else { return };
        let at_horizon = lane.tail.0.is_none()
            && lane.origin == LaneOrigin::Position(PositionBase::Position(Position::TrimHorizon));
        match error.class {
            // At the horizon no particular record was promised: the oldest one still kept is what
            // was requested.
            ErrorClass::ExpiredIterator | ErrorClass::Trimmed
                if error.class == ErrorClass::ExpiredIterator || at_horizon || again =>
            {
                self.begin_again(id, asked, error, now)
            }
            ErrorClass::ExpiredIterator | ErrorClass::Trimmed => {
                lane.iter = Iter::Done(LaneEnd::Trimmed)
            }
            ErrorClass::NotFound => self.not_found(id, asked, error, now),
            ErrorClass::Throttled | ErrorClass::Unavailable | ErrorClass::AccessDenied => {
                if let Iter::Reading { iterator, issued } = lane.iter.clone() {
                    lane.iter = Iter::Ready { iterator, issued };
                }
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
                lane.iter = Iter::Needed;
                self.failed(asked, error, now);
            }
        }
    }

    /// Marks the lane as needing another iterator. Too many in a row count as a failure.
    fn begin_again(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        let Some(lane) = self.lane(id) else { return };
        lane.iter = Iter::Needed;
        lane.expiries += 1;
        if lane.expiries > EXPIRIES_IN_A_ROW {
            self.failed(asked, error, now);
        }
    }
}
