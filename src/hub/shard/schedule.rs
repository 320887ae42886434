//! Decides which call to make next for a shard. Pure.
//!
//! The live lane comes first, then the lanes behind it in turn. While others wait, the live lane
//! has at most every other turn, so that no lane starves. All calls stay within the shard's budget
//! of calls a second and its limit of calls in flight.

use std::time::Instant;

use crate::encode::PageFilter;
use crate::model::{Now, Position, Timestamp};
use crate::upstream::IteratorStart;

use super::lane::{Iter, Lane, LaneCall, LaneEnd};
use super::position::SAFE_AGE;
use super::state::ShardState;
use super::waiters::WaiterKind;

/// Pages a lane reads before it may be ended for waiters that queue for a lane.
const PAGES_A_TURN: u32 = 8;

/// The next action of the reader.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Request an iterator.
    Open {
        /// The lane that needs it.
        lane: u64,
        /// Its parameters.
        start: IteratorStart,
    },
    /// Read a page.
    Read(ReadPage),
    /// List the stream, to see whether it still has the shard.
    List,
    /// Do nothing before this moment (`None`: no deadline) unless a waiter comes.
    Wait(Option<Instant>),
}

/// A page to read with GetRecords.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPage {
    /// The lane that reads it.
    pub lane: u64,
    /// AWS's iterator.
    pub iterator: String,
    /// How many records to request.
    pub limit: u32,
    /// How much memory the page is expected to take, in bytes.
    pub expected: usize,
    /// How to filter and encode the page.
    pub cut: PageFilter,
}

impl ShardState {
    /// Decides the next action.
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
        if self.calls.in_flight() >= self.limits.shard_calls_in_flight.max(1) {
            return Action::Wait(None);
        }
        let Some((due, lane)) = self.pick(now.at) else {
            return Action::Wait(self.next_tidying(now.at));
        };
        let start = self.calls.not_before(due);
        if start > now.at {
            return Action::Wait(Some(
                self.next_tidying(now.at).map_or(start, |tidying| start.min(tidying)),
            ));
        }
        match self.calls.take(now.at) {
            Ok(()) => self.take_turn(lane, now),
            Err(affordable) => Action::Wait(Some(affordable)),
        }
    }

    fn take_turn(&mut self, id: u64, now: Now) -> Action {
        self.turns += 1;
        let (turn, limit) = (self.turns, self.page_limit);
        let lane = self.lanes.get_mut(id).expect("only a lane that exists is picked");
        match lane.take_turn(turn, self.behaviour.is_scylla, now.at) {
            LaneCall::Read { iterator, expected, cut } => {
                Action::Read(ReadPage { lane: id, iterator, limit, expected, cut })
            }
            LaneCall::Open => Action::Open { lane: id, start: self.start(id, now) },
        }
    }

    /// The parameters for a lane's next iterator. A search that has read nothing yet begins after
    /// what other searches have passed.
    fn start(&mut self, id: u64, now: Now) -> IteratorStart {
        let (shared, at_timestamp) = (self.behaviour.shared_numbers, self.behaviour.at_timestamp);
        let lane = self.lanes.get_mut(id).expect("the lane whose turn it is");
        let (start, drop_before) = start_of(lane.position(shared), at_timestamp, now.wall);
        let Some(time) = drop_before else { return start };
        lane.search(time);
        match self.searches.reached(time).is_some_and(|passed| lane.search_behind(passed)) {
            true => start_of(lane.position(shared), at_timestamp, now.wall).0,
            false => start,
        }
    }

    /// The lane to read next and when, by due time, then by turn.
    fn pick(&self, now: Instant) -> Option<(Instant, u64)> {
        let live = self.live(now);
        let had_turn = |lane: &Lane| self.turns > 0 && lane.turn() == self.turns;
        let live_had_turn = live.and_then(|id| self.lanes.get(id)).is_some_and(had_turn);
        let ready = self.lanes.iter().filter_map(|lane| Some((self.due(lane, now)?, lane)));
        let key = |(due, lane): &(Instant, &Lane)| {
            let waits = *due > now;
            let is_live = Some(lane.id()) == live;
            // Among lanes due now: the live lane, unless it just had its turn; then the lane that
            // has waited longest for a turn.
            let after = if is_live { live_had_turn } else { !live_had_turn };
            (waits, waits.then_some(*due), after, lane.turn(), lane.id())
        };
        ready.min_by_key(key).map(|(due, lane)| (due, lane.id()))
    }

    /// When the lane is due to be read; `None` if no waiter needs it.
    fn due(&self, lane: &Lane, now: Instant) -> Option<Instant> {
        let needs = self.waiters.needs(lane.id());
        let soon = needs.response_since.is_some_and(|since| {
            lane.tip().newest.is_none_or(|newest| newest.asked < since || !lane.saw_tip())
        });
        match lane.iter() {
            Iter::Needed if needs.pages || needs.iterator => Some(now),
            Iter::Ready { .. } if soon => Some(now),
            Iter::Ready { .. } if needs.pages => {
                Some(lane.due(self.limits.idle_poll_interval).unwrap_or(now))
            }
            Iter::Ready { .. } => lane.keep_alive_due(),
            Iter::Needed | Iter::Opening | Iter::Reading { .. } | Iter::Done(_) => None,
        }
    }

    /// Ends lanes that no waiter needs: failed ones at once, others after the idle timeout.
    fn tidy(&mut self, now: Instant) {
        let linger = self.limits.reader_idle_timeout;
        let Self { lanes, waiters, .. } = self;
        let ended = lanes.remove_unless(|lane| {
            let useful = match lane.iter() {
                Iter::Done(LaneEnd::Closed) => true,
                Iter::Done(_) => false,
                Iter::Needed | Iter::Opening | Iter::Ready { .. } | Iter::Reading { .. } => true,
            };
            let lingers = useful && now.saturating_duration_since(lane.used()) < linger;
            let wanted = waiters.want(lane.id(), linger, now);
            wanted || lane.is_busy() || lane.is_anchoring() || lingers
        });
        waiters.lose(&ended);
    }

    fn next_tidying(&self, now: Instant) -> Option<Instant> {
        let unwanted = self.lanes.iter().filter(|lane| {
            !self.is_wanted(lane.id(), now) && !lane.is_anchoring() && !lane.is_busy()
        });
        let linger = self.limits.reader_idle_timeout;
        let ends = unwanted.map(|lane| lane.used() + linger).min();
        if self.waiters.queued() == 0 {
            return ends;
        }
        // A waiter that has not polled since data arrived gives up its lane to the queue after a
        // while.
        self.waiters.next_to_give_up(linger, now).into_iter().chain(ends).min()
    }

    /// Gives lanes to the queued waiters; when all lanes are in use, one that has had its turn is
    /// ended.
    fn seat_the_queue(&mut self, now: Now) {
        while let Some((id, kind, position)) = self.waiters.first_queued() {
            let lane = match position {
                Some(mut position) => self.lane_for(&mut position, now),
                None => {
                    let (kind, lane) = self.place_for_latest(kind == WaiterKind::Tip, now);
                    self.waiters.wait_for(id, kind);
                    lane
                }
            };
            match lane {
                Some(lane) => self.waiters.seat(id, lane),
                None if self.make_way(now.at) => {}
                None => return,
            }
        }
    }

    /// Ends the lane, other than the live one, that has read most since it was opened; its waiters
    /// are queued again.
    fn make_way(&mut self, now: Instant) -> bool {
        let live = self.live(now);
        let patience = self.limits.reader_idle_timeout;
        let Self { lanes, waiters, .. } = self;
        let may = |lane: &&Lane| {
            // A lane that waits where it began loses nothing by beginning again.
            let loses_nothing = lane.tail().0.is_some() || lane.saw_tip();
            let progressed = lane.pages() >= PAGES_A_TURN && loses_nothing;
            // What a search found and its waiter has not yet taken would be lost with the lane, and
            // the search would begin again.
            progressed
                && Some(lane.id()) != live
                && !lane.is_busy()
                && !waiters.hold_a_find(lane.id(), patience, now)
        };
        // Cursors at a LATEST would continue by its time, which costs more than to continue from a
        // number.
        let readiest = |lane: &&Lane| (!lane.is_anchoring(), lane.pages(), lane.id());
        let Some(id) = lanes.iter().filter(may).max_by_key(readiest).map(Lane::id) else {
            return false;
        };
        lanes.remove(id);
        waiters.lose(&[id]);
        true
    }
}

/// Which iterator to request from AWS, and the time before which entries of its pages must be
/// dropped.
fn start_of(
    place: Option<Position>,
    at_timestamp: bool,
    now: Timestamp,
) -> (IteratorStart, Option<Timestamp>) {
    match place {
        None => (IteratorStart::Latest, None),
        // For a time that is too old AWS silently treats AT_TIMESTAMP as TRIM_HORIZON. We then
        // request TRIM_HORIZON and drop older records ourselves.
        Some(Position::AtTimestamp(time)) if at_timestamp && now.since(time) < SAFE_AGE => {
            (IteratorStart::Position(Position::AtTimestamp(time.min(now.floor()))), None)
        }
        Some(Position::AtTimestamp(time)) => {
            (IteratorStart::Position(Position::TrimHorizon), Some(time))
        }
        Some(place) => (IteratorStart::Position(place), None),
    }
}
