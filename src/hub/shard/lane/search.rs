//! A lane that looks for a time without AWS's help: it drops what is older. Pure.

use crate::encode::{Batch, LogOffset, Stand};
use crate::model::Position;

use super::{Lane, LaneOrigin};

impl Lane {
    /// Whether it looks for a time among records that bear none: it would find everything.
    pub fn searches_in_vain(&self, first: &Batch) -> bool {
        self.drop_before.is_some() && self.is_bare() && first.is_timeless()
    }

    /// Begins a search behind an entry up to which everything is too old, if it has met nothing
    /// yet; whether it does.
    pub fn search_behind(&mut self, passed: LogOffset) -> bool {
        let begins = self.is_bare();
        if begins {
            (self.tail, self.stands) = (passed, Stand::behind(passed));
        }
        begins
    }

    /// Begins a search by time anew if it has found nothing yet; whether it did.
    pub fn search_again(&mut self) -> bool {
        let searches = self.drop_before.is_some()
            && self.intact
            && self.batches.is_empty()
            && self.floor.is_none();
        if searches {
            (self.tail, self.stands) = ((None, 0), Stand::behind((None, 0)));
        }
        searches
    }

    /// At the tip a search by time is over: everything up to the tail is older, and whatever comes
    /// now is read from there.
    pub fn end_search(&mut self) {
        if self.saw_tip() && self.tail.0.is_some() && self.drop_before.take().is_some() {
            self.floor = Some(self.tail);
        }
    }

    /// Where a search that met nothing ended: for whoever looks for its time that is as good a
    /// place, and an exact one.
    pub fn searched_to(&self) -> Option<LogOffset> {
        let ended = self.intact
            && self.batches.is_empty()
            && self.floor == Some(self.tail)
            && self.saw_tip();
        let by_time = matches!(&self.origin, LaneOrigin::Position(base) if matches!(base.position(), Position::AtTimestamp(_)));
        (ended && by_time).then_some(self.tail)
    }
}
