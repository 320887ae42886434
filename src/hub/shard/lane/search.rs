//! A lane's search for a time without AWS's help: older entries are dropped. Pure.

use crate::encode::{Batch, LogOffset, Stand};
use crate::model::Position;

use super::{Lane, LaneOrigin};

impl Lane {
    /// Whether the lane searches for a time among records without times: every record would match.
    pub(crate) fn searches_in_vain(&self, first: &Batch) -> bool {
        self.drop_before.is_some() && self.is_bare() && first.is_timeless()
    }

    /// If the lane has read nothing yet, starts its search behind `passed`, up to which all entries
    /// are too old. Returns whether it did.
    pub(crate) fn search_behind(&mut self, passed: LogOffset) -> bool {
        let begins = self.is_bare();
        if begins {
            (self.tail, self.stands) = (passed, Stand::behind(passed));
        }
        begins
    }

    /// Restarts a search by time if it has found nothing yet; returns whether it did.
    pub(crate) fn search_again(&mut self) -> bool {
        let searches = self.drop_before.is_some()
            && self.intact
            && self.batches.is_empty()
            && self.floor.is_none();
        if searches {
            (self.tail, self.stands) = ((None, 0), Stand::behind((None, 0)));
        }
        searches
    }

    /// At the tip a search by time ends: everything up to the tail is older, and whatever comes
    /// from now on is kept.
    pub(crate) fn end_search(&mut self) {
        if self.saw_tip() && self.tail.0.is_some() && self.drop_before.take().is_some() {
            self.floor = Some(self.tail);
        }
    }

    /// The order at which a search that found nothing ended: for a cursor searching for the same
    /// time an equivalent position, and an exact one. `None`: there was no such search, or it has
    /// not ended.
    pub(crate) fn searched_to(&self) -> Option<LogOffset> {
        let ended = self.intact
            && self.batches.is_empty()
            && self.floor == Some(self.tail)
            && self.saw_tip();
        let by_time = matches!(&self.origin, LaneOrigin::Position(base) if matches!(base.position(), Position::AtTimestamp(_)));
        (ended && by_time).then_some(self.tail)
    }
}
