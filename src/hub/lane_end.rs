//! What the end of a lane means for a cursor that waits there: the end of the shard, a loss, or another way on. Pure.

use super::lane::{Iter, LaneEnd, Located};
use super::poll::{Gap, GapCause, Polled};
use super::position::{self, Detour, PositionBase, ReadPosition};
use super::shard::ShardState;
use super::tip::EMPTIES_TO_TIP;
use crate::model::{Checkpoint, Now, Position, SequenceNumber, Timestamp};

impl ShardState {
    /// What the end of a lane means for a spot that stands there.
    pub(super) fn at_end(&mut self, id: u64, spot: &mut ReadPosition, now: Now) -> Result<Polled, Option<u64>> {
        let ids = self.ids;
        let lane = self.lane(id).expect("the caller found it");
        let Iter::Done(end) = &lane.iter else {
            if let (Position::AtTimestamp(time), Some(end)) = (spot.base.place(), lane.searched_to()) {
                *spot = spot.behind(end, Some(time));
            }
            // One empty answer is enough to call it the tip, not to prove that nothing behind it can have been lost.
            if let (true, Some(answered)) = (lane.tip.empties >= EMPTIES_TO_TIP, lane.tip.answered) {
                spot.seen_at(answered.wall);
            }
            return Err(Some(id));
        };
        match end {
            LaneEnd::Closed => Ok(Polled::Ended),
            LaneEnd::Trimmed => Ok(self.gap(spot, GapCause::Trimmed, true, now)),
            LaneEnd::Refused
                if spot.is_safe(now.wall) && spot.is_exact() && (spot.number().is_some() || spot.below) =>
            {
                spot.detour = Detour::FromHorizon(ids);
                Err(None)
            }
            // That more came than was delivered is certain only of a record that is known by its number, and old enough.
            LaneEnd::Refused => {
                let undelivered = spot.is_undelivered() && !spot.is_safe(now.wall);
                Ok(self.gap(spot, GapCause::Trimmed, undelivered, now))
            }
            LaneEnd::Gone => {
                let undelivered = spot.is_undelivered() && !spot.is_safe(now.wall);
                Ok(self.gap(spot, GapCause::ShardExpired, undelivered, now))
            }
            LaneEnd::Invalid(error) => Ok(Polled::Refused(error.clone())),
        }
    }

    /// A gap at the spot, and the spot behind it: the first record behind the gap if that was read already, else the horizon as
    /// of now, without what was delivered before. Behind a whole shard there is nothing.
    pub(super) fn gap(&self, spot: &ReadPosition, cause: GapCause, certain: bool, now: Now) -> Polled {
        let behind = match cause {
            GapCause::ShardExpired | GapCause::StreamReplaced => spot.behind_the_shard(),
            GapCause::Trimmed => match spot.base.place() {
                // Nobody refused the number: it is a place to go on from as before, and what was delivered stays behind it.
                Position::AtSequenceNumber(_) | Position::AfterSequenceNumber(_) if self.manners.is_scylla => {
                    let time = spot.time.max(Some(position::given(now.wall)));
                    ReadPosition {
                        base: PositionBase::Position(spot.base.place()),
                        time,
                        detour: Detour::None,
                        ..spot.clone()
                    }
                }
                // A refused number is gone itself.
                Position::AtSequenceNumber(number) | Position::AfterSequenceNumber(number) => {
                    spot.behind_loss(number, self.ids, now.wall)
                }
                Position::TrimHorizon | Position::AtTimestamp(_) => spot.at_horizon(now.wall),
            },
        };
        let next = self.number_at(&behind).filter(|_| cause == GapCause::Trimmed);
        let (before, behind) = match next {
            // Should it be trimmed before it is delivered, AWS will say so.
            Some((before, created)) => {
                (Some(before), ReadPosition::restored(Checkpoint::new(Position::AtSequenceNumber(before), created)))
            }
            None => (None, behind),
        };
        let (after, after_time) = (spot.number(), spot.time);
        Polled::Gap(Gap { after, after_time, before, cause, certain, detected: now.wall }, behind)
    }

    /// The number and creation of the entry at the spot, if that is in memory and has a number.
    fn number_at(&self, spot: &ReadPosition) -> Option<(SequenceNumber, Option<Timestamp>)> {
        let entry = self.lanes.iter().find_map(|lane| match lane.find(spot)? {
            Located::Entry(batch, index) => Some(&lane.batch(batch).entries()[index]),
            Located::End => None,
        })?;
        entry.number().map(|number| (number, entry.created_at))
    }
}
