//! What the failed calls of a shard mean for it: which are made again, which end a lane, and when
//! the shard is gone. Pure.

use std::time::Instant;

use crate::model::{Now, Position, Timestamp};
use crate::upstream::{ErrorClass, UpstreamError};

use super::denial::Listed;
use super::lane::{Lane, LaneEnd, LaneOrigin};
use super::position::PositionBase;
use super::state::ShardState;

/// Consecutive iterators that may expire before it counts as a failure.
const EXPIRIES_IN_A_ROW: u32 = 2;

/// The least number of records to request in one call, even after many failures.
const LEAST_RECORDS: u32 = 16;

impl ShardState {
    /// Charges the budget for a call at the moment it is really made, however long it was held
    /// back.
    pub fn began(&mut self, now: Now) {
        self.calls.began(now.at);
    }

    /// Whether the newest call failed.
    pub fn is_troubled(&self) -> bool {
        self.calls.outage().is_some()
    }

    pub(super) fn failed(&mut self, asked: Now, error: UpstreamError, now: Now) {
        if error.class != ErrorClass::NotFound {
            self.doubt.fails_otherwise();
        }
        self.calls.failed(asked, error, now);
    }

    pub(super) fn succeeded(&mut self) {
        self.doubt.is_over();
        if self.calls.succeeded() {
            self.waiters.wake_all();
        }
    }

    pub(super) fn open_failed(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
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

    pub(super) fn read_failed(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
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

    /// Restarts a lane's search if it has found nothing and AWS has trimmed the position it had
    /// reached; returns whether it did.
    fn search_again(&mut self, id: u64) -> bool {
        let Some(lane) = self.lanes.get_mut(id) else { return false };
        let passed = lane.tail();
        let again = lane.search_again();
        if again {
            self.searches.trim(passed);
        }
        again
    }

    /// When a listing is due, if the shard has waiters. If it is due already, it counts as under
    /// way from now on.
    pub(super) fn ask_whether_listed(&mut self, now: Instant) -> Option<Instant> {
        if self.waiters.is_empty() { None } else { self.doubt.take_listing(now) }
    }

    /// Takes in the result of the listing that began at `begun`.
    pub fn listed(&mut self, listed: &Listed, begun: Instant, now: Now) {
        let alive = self.was_there();
        if self.doubt.listed(listed, begun, alive, now) {
            self.lanes.shard_is_gone();
            // New calls get the same denial soon, without a pause.
            self.calls.end_pause();
            self.waiters.wake_all();
        }
    }

    /// The newest creation time known of a record of the shard, from waiters' positions and from
    /// lanes: at that time the shard existed.
    fn was_there(&self) -> Option<Timestamp> {
        let positions = self.waiters.positions();
        let delivered = positions
            .filter(|position| position.is_numbered())
            .filter_map(|position| position.time);
        delivered.chain(self.lanes.iter().filter_map(Lane::newest_created)).max()
    }

    /// A call failed because AWS says that it does not have the shard.
    fn not_found(&mut self, id: u64, asked: Now, error: UpstreamError, now: Now) {
        let certain = self.doubt.denied(now.at);
        if let Some(lane) = self.lanes.get_mut(id) {
            if certain { lane.end(LaneEnd::Gone) } else { lane.renew() }
        }
        if !certain {
            self.failed(asked, error, now);
        }
    }
}
