//! What to read next in a shard, and what an answer changes. Pure.
//!
//! The order: the live end first, then those behind it in turn; the live end has at most every other turn while others
//! wait, so nobody starves. Everything keeps inside the shard's budget of calls a second and calls in flight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::encode::{LogOffset, PageFilter, PageRead};
use crate::model::{Now, Position};
use crate::upstream::{ErrorClass, IssuedIterator, IteratorStart, UpstreamError};

use super::lane::{Iter, Lane, LaneEnd, LaneOrigin};
use super::poll::WaitFor;
use super::position::{Anchor, PositionBase};
use super::state::{ShardState, WaiterKind};
use super::tip::{EMPTIES_TO_TIP, Sign, Tip, slower};

/// Pages a lane reads before it makes way, when others wait for a lane.
const PAGES_A_TURN: u32 = 8;

/// The first pause between looks at a shard that has nothing new; doubles up to the configured interval.
const FIRST_IDLE: Duration = Duration::from_millis(250);

/// Iterators that may expire in a row before it counts as a failure.
const EXPIRIES_IN_A_ROW: u32 = 2;

/// Records that are still asked for in one call after many failures.
const LEAST_RECORDS: u32 = 16;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask for an iterator.
    Open {
        /// The lane that needs it.
        lane: u64,
        /// What for.
        start: IteratorStart,
    },
    /// Read a page.
    Read(ReadPage),
    /// Ask whether the stream still lists the shard.
    List,
    /// Nothing before this moment, or before somebody comes.
    Wait(Option<Instant>),
}

/// A page to read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPage {
    /// The lane that reads it.
    pub lane: u64,
    /// AWS's iterator.
    pub iterator: String,
    /// How many records to ask for.
    pub limit: u32,
    /// What it is expected to cost in memory, in bytes.
    pub expected: usize,
    /// What to make of it.
    pub cut: PageFilter,
}

impl ShardState {
    /// Decides what to do next.
    pub fn next(&mut self, now: Now) -> Action {
        self.tidy(now.at);
        self.seat_the_queue(now);
        let asks_on = match self.ask_whether_listed(now.at) {
            Some(at) if at <= now.at => return Action::List,
            later => later,
        };
        match self.next_call(now) {
            Action::Wait(until) => Action::Wait(until.into_iter().chain(asks_on).min()),
            call => call,
        }
    }

    fn next_call(&mut self, now: Now) -> Action {
        if self.in_flight >= self.limits.shard_calls_in_flight.max(1) {
            return Action::Wait(None);
        }
        let Some((due, lane)) = self.pick(now.at) else { return Action::Wait(self.next_tidying(now.at)) };
        let start = due.max(self.paused.unwrap_or(due));
        if start > now.at {
            return Action::Wait(Some(self.next_tidying(now.at).map_or(start, |tidying| start.min(tidying))));
        }
        let affordable = self.budget.next(now.at);
        if affordable > now.at || !self.budget.take(now.at) {
            return Action::Wait(Some(affordable));
        }
        self.take_turn(lane, now)
    }

    /// An iterator was answered. `asked`: when it was asked for.
    pub fn opened(&mut self, id: u64, asked: Now, answer: Result<IssuedIterator, UpstreamError>, now: Now) {
        let shared = self.behaviour.shared_numbers;
        self.came_back(now);
        match answer {
            Ok(issued) => {
                self.succeeded();
                self.wake_lane(id);
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
                self.wake_all();
                self.open_failed(id, asked, error, now);
            }
        }
    }

    /// A page was answered. `asked`: when it was asked for.
    pub fn answered(&mut self, id: u64, asked: Now, answer: Result<PageRead, UpstreamError>, now: Now) {
        self.came_back(now);
        match answer {
            Ok(page) if self.lane(id).is_some_and(|lane| lane.searches_in_vain(&page.batch)) => {
                self.wake_all();
                self.lane(id).expect("just found").iter = Iter::Done(LaneEnd::Invalid(UpstreamError::no_times()));
            }
            Ok(page) => self.add_page(id, asked, page, now),
            Err(error) => {
                self.wake_all();
                self.read_failed(id, asked, error, now);
            }
        }
    }

    fn add_page(&mut self, id: u64, asked: Now, page: PageRead, now: Now) {
        self.succeeded();
        if page.next_iterator.is_none() {
            self.wake_all();
        }
        let (asked_for, most) = (self.page_limit, self.limits.page_records);
        self.page_limit = match page.cut_to {
            Some(kept) => u32::try_from(kept).unwrap_or(most).clamp(self.behaviour.least_records().min(most), most),
            None if page.entries >= asked_for as usize => asked_for.saturating_mul(2).clamp(1, most),
            None => asked_for,
        };
        let empty = page.entries == 0;
        self.count_for_wants(id, asked.at, &page, now.at);
        let idle_poll_interval = self.limits.idle_poll_interval;
        let end = page.next_iterator.is_none() && page.cut_to.is_none();
        if !empty {
            self.newest = self.newest.max(page.stands.order.0);
        }
        let turn = idle_poll_interval * 2 + Duration::from_secs_f64(2.0 * self.lanes.len() as f64 / self.budget.rate());
        let Some(lane) = self.lane(id) else { return };
        let was_at_tip = lane.is_at_tip(now.at, idle_poll_interval);
        lane.pages += 1;
        lane.expiries = 0;
        lane.used = now.at;
        let newest = page.batch.entries().iter().filter_map(|entry| entry.created_at).max();
        // Records bear AWS's time.
        let asked_there = Now { wall: asked.wall.minus(lane.ahead), ..asked };
        let (dropped, date) = (page.dropped.is_some(), page.date);
        let sign = Sign { is_empty: empty, newest, dropped, asked: asked_there, date };
        lane.tip = lane.tip.after(sign, now, turn);
        lane.expect_after(page.batch.cost());
        let turns = lane.is_at_tip(now.at, idle_poll_interval) != was_at_tip || lane.tip.empties == EMPTIES_TO_TIP;
        lane.due = Some(now.at + idle_pause(lane, idle_poll_interval));
        // What was dropped is in no lane: nobody may reach down over it.
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
            self.wake_lane(id);
        }
        if end {
            self.end = self.end.max(self.lane(id).map(|lane| lane.tail)).filter(|tail| tail.0.is_some());
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

    /// What whoever waits at the lane has seen by a page.
    fn count_for_wants(&mut self, id: u64, asked: Instant, page: &PageRead, now: Instant) {
        let (empty, met_records) = (page.entries == 0, !page.batch.entries().is_empty());
        for waiter in self.waiters.values_mut().filter(|waiter| waiter.lane == Some(id) && asked >= waiter.since) {
            waiter.answers += 1;
            waiter.empties = if empty { waiter.empties + 1 } else { 0 };
            if met_records && matches!(waiter.kind, WaiterKind::Poll(_)) {
                waiter.data_at.get_or_insert(now);
            }
            if waiter.empties == 1 || waiter.kind == WaiterKind::Poll(WaitFor::EveryResponse) {
                // The first empty one says that it was looked for.
                self.wakeups.add(waiter.wake_id);
            }
        }
    }

    /// The lane read without a break from `before` to its tail: lanes whose first entry lies in between now reach down.
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

    /// Forgets the oldest: of lanes behind the window all but their newest page, then of whatever keeps most.
    fn keep_inside_limits(&mut self, newest: u64) {
        let window = self.window();
        let most = self.limits.window_bytes_per_shard;
        for lane in self.lanes.iter_mut().filter(|lane| !window.contains(&lane.id)) {
            while lane.batches() > 1 {
                lane.evict();
            }
        }
        while self.cost() > most {
            let with_more = self.lanes.iter().filter(|lane| lane.batches() > usize::from(lane.id == newest));
            let Some(id) = with_more.max_by_key(|lane| (lane.batches(), lane.cost())).map(|lane| lane.id) else {
                break;
            };
            self.lane(id).expect("just found").evict();
        }
    }

    fn open_failed(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        let end = match error.class {
            ErrorClass::Trimmed if self.search_again(id) => return self.begin_again(id, asked, error, now),
            ErrorClass::Trimmed => LaneEnd::Refused,
            ErrorClass::NotFound => return self.not_found(id, asked, error, now),
            // A lane that has read cannot be malformed: the upstream is in trouble.
            ErrorClass::Invalid if self.lane(id).is_some_and(|lane| lane.pages == 0) => LaneEnd::Invalid(error.clone()),
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
        // What a search by time has passed is trimmed before what it looks for.
        let again = error.class == ErrorClass::Trimmed && self.search_again(id);
        let Some(lane) = self.lane(id) else { return };
        let at_horizon =
            lane.tail.0.is_none() && lane.origin == LaneOrigin::Position(PositionBase::Position(Position::TrimHorizon));
        match error.class {
            // At the horizon nobody was promised a record: the oldest that is still there is what was asked for.
            ErrorClass::ExpiredIterator | ErrorClass::Trimmed
                if error.class == ErrorClass::ExpiredIterator || at_horizon || again =>
            {
                self.begin_again(id, asked, error, now)
            }
            ErrorClass::ExpiredIterator | ErrorClass::Trimmed => lane.iter = Iter::Done(LaneEnd::Trimmed),
            ErrorClass::NotFound => self.not_found(id, asked, error, now),
            ErrorClass::Throttled | ErrorClass::Unavailable | ErrorClass::AccessDenied => {
                if let Iter::Reading { iterator, issued } = lane.iter.clone() {
                    lane.iter = Iter::Ready { iterator, issued };
                }
                if error.class == ErrorClass::Unavailable {
                    // The answer may have been too large to be read, or to come in time. Full pages make it grow again.
                    let least = LEAST_RECORDS.max(self.behaviour.least_records()).min(self.page_limit);
                    self.page_limit = (self.page_limit / 2).max(least);
                }
                self.failed(asked, error, now);
            }
            ErrorClass::Invalid => {
                // The iterator is what AWS calls malformed: ask for another after the pause.
                lane.iter = Iter::Needed;
                self.failed(asked, error, now);
            }
        }
    }

    /// The lane needs another iterator. That this happens again and again counts as a failure.
    fn begin_again(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        let Some(lane) = self.lane(id) else { return };
        lane.iter = Iter::Needed;
        lane.expiries += 1;
        if lane.expiries > EXPIRIES_IN_A_ROW {
            self.failed(asked, error, now);
        }
    }

    fn take_turn(&mut self, id: u64, now: Now) -> Action {
        self.in_flight += 1;
        self.turns += 1;
        self.live_had_turn = self.live(now.at) == Some(id);
        let (turn, limit, behaviour) = (self.turns, self.page_limit, self.behaviour);
        let lane = self.lane(id).expect("only a lane that exists is picked");
        lane.turn = turn;
        if !lane.is_stale(now.at)
            && let Iter::Ready { iterator, issued } = &lane.iter
        {
            let (iterator, issued) = (iterator.clone(), *issued);
            let cut = PageFilter {
                from: lane.stands.clone(),
                known: lane.tail,
                drop_before: lane.drop_before,
                by_moment: behaviour.is_scylla,
            };
            lane.iter = Iter::Reading { iterator: iterator.clone(), issued };
            return Action::Read(ReadPage { lane: id, iterator, limit, expected: lane.expects, cut });
        }
        lane.iter = Iter::Opening;
        Action::Open { lane: id, start: self.start(id, now) }
    }

    /// The lane to read next and when, by due time, then by turn.
    fn pick(&self, now: Instant) -> Option<(Instant, u64)> {
        let live = self.live(now);
        let ready = self.lanes.iter().filter_map(|lane| Some((self.due(lane, now)?, lane)));
        let key = |(due, lane): &(Instant, &Lane)| {
            let waits = *due > now;
            let is_live = Some(lane.id) == live;
            // Among those due now: the live end, unless it just had its turn; then whoever waits longest for a turn.
            let after = if is_live { self.live_had_turn } else { !self.live_had_turn };
            (waits, waits.then_some(*due), after, lane.turn, lane.id)
        };
        ready.min_by_key(key).map(|(due, lane)| (due, lane.id))
    }

    /// When a lane should be read: `None` if nobody needs it.
    fn due(&self, lane: &Lane, now: Instant) -> Option<Instant> {
        let mut wanted = false;
        let mut soon = false;
        for waiter in self.waiters.values().filter(|waiter| waiter.lane == Some(lane.id)) {
            let only_iterator = matches!(waiter.kind, WaiterKind::Latest | WaiterKind::Poll(WaitFor::Iterator));
            if only_iterator && lane.iter != Iter::Needed || waiter.data_at.is_some() {
                continue;
            }
            wanted = true;
            soon |= !matches!(waiter.kind, WaiterKind::Poll(WaitFor::Data | WaitFor::EveryResponse))
                && lane.tip.asked.is_none_or(|asked| asked < waiter.since || !lane.saw_tip());
        }
        match &lane.iter {
            Iter::Needed if wanted => Some(now),
            Iter::Ready { .. } if soon => Some(now),
            Iter::Ready { .. } if wanted => Some(lane.due.unwrap_or(now)),
            Iter::Ready { .. } => lane.keep_alive_due(),
            Iter::Needed | Iter::Opening | Iter::Reading { .. } | Iter::Done(_) => None,
        }
    }

    /// Ends lanes that nobody waits at: failed ones at once, others after a while.
    fn tidy(&mut self, now: Instant) {
        let linger = self.limits.reader_idle_timeout;
        let waiting = self.waiters.values().filter(|waiter| self.is_waiting(waiter, now));
        let wanted: std::collections::BTreeSet<u64> = waiting.filter_map(|waiter| waiter.lane).collect();
        self.lanes.retain(|lane| {
            let useful = match &lane.iter {
                Iter::Done(LaneEnd::Closed) => true,
                Iter::Done(_) => false,
                Iter::Needed | Iter::Opening | Iter::Ready { .. } | Iter::Reading { .. } => true,
            };
            let lingers = useful && now.saturating_duration_since(lane.used) < linger;
            wanted.contains(&lane.id) || lane.is_busy() || lane.is_anchoring() || lingers
        });
        let lanes: std::collections::BTreeSet<u64> = self.lanes.iter().map(|lane| lane.id).collect();
        for (&id, waiter) in &mut self.waiters {
            if waiter.lane.is_some_and(|lane| !lanes.contains(&lane)) {
                waiter.lane = None;
                if waiter.data_at.is_none() {
                    self.queue.push_back(id);
                }
            }
        }
    }

    fn next_tidying(&self, now: Instant) -> Option<Instant> {
        let unwanted =
            self.lanes.iter().filter(|lane| !self.is_wanted(lane.id, now) && !lane.is_anchoring() && !lane.is_busy());
        let linger = self.limits.reader_idle_timeout;
        let ends = unwanted.map(|lane| lane.used + linger).min();
        if self.queue.is_empty() {
            return ends;
        }
        // Who has not taken what came leaves a lane to those who wait for one.
        let left = self
            .waiters
            .values()
            .filter_map(|waiter| waiter.data_at)
            .map(|met| met + linger)
            .filter(|left| *left > now);
        left.chain(ends).min()
    }

    /// Gives lanes to those who wait for one; when all are taken, one that has had its turn makes way.
    fn seat_the_queue(&mut self, now: Now) {
        while let Some(&id) = self.queue.front() {
            let waiter = self.waiters.get(&id).expect("the queue names waiters");
            let (kind, position) = (waiter.kind, waiter.position.clone());
            let lane = match position {
                Some(mut position) => self.lane_for(&mut position, now),
                None => {
                    let (kind, lane) = self.place_for_latest(kind == WaiterKind::Tip, now);
                    self.waiters.get_mut(&id).expect("just found").kind = kind;
                    lane
                }
            };
            let Some(lane) = lane else {
                if self.make_way(now.at) {
                    continue;
                }
                return;
            };
            self.waiters.get_mut(&id).expect("just found").lane = Some(lane);
            self.queue.pop_front();
        }
    }

    /// Ends the lane behind the live end that has read most since it was opened; those who wait at it queue again.
    fn make_way(&mut self, now: Instant) -> bool {
        let live = self.live(now);
        // What a search found and nobody has taken yet is lost with its lane, and the search begins again.
        let holds_a_find = |lane: &Lane| {
            let mut met =
                self.waiters.values().filter(|waiter| waiter.lane == Some(lane.id) && waiter.data_at.is_some());
            met.any(|waiter| {
                self.is_waiting(waiter, now) && waiter.position.as_ref().is_some_and(|position| !position.is_numbered())
            })
        };
        let may = |lane: &&Lane| {
            // One that waits where it began loses nothing by beginning again.
            let loses_nothing = lane.tail.0.is_some() || lane.saw_tip();
            let progressed = lane.pages >= PAGES_A_TURN && loses_nothing;
            progressed && Some(lane.id) != live && !lane.is_busy() && !holds_a_find(lane)
        };
        // Cursors at a LATEST go on by its time, which costs more than to go on from a number.
        let readiest = |lane: &&Lane| (!lane.is_anchoring(), lane.pages, lane.id);
        let Some(id) = self.lanes.iter().filter(may).max_by_key(readiest).map(|lane| lane.id) else {
            return false;
        };
        self.lanes.retain(|lane| lane.id != id);
        for (&waiter_id, waiter) in &mut self.waiters {
            if waiter.lane == Some(id) {
                waiter.lane = None;
                if waiter.data_at.is_none() {
                    self.queue.push_back(waiter_id);
                }
            }
        }
        true
    }
}

/// How long to wait after the lane's newest answer.
fn idle_pause(lane: &Lane, longest: Duration) -> Duration {
    if !lane.saw_tip() {
        return Duration::ZERO;
    }
    let doublings = (lane.tip.rests - 1).min(16);
    FIRST_IDLE.saturating_mul(1 << doublings).min(longest)
}
