//! What the end of a lane means for a cursor that waits there: the end of the shard, a loss, or
//! another way on. Pure.

use super::lane::{Iter, LaneEnd, Located};
use super::poll::{Gap, GapCause, Polled};
use super::position;
use super::position::{Detour, PositionBase, ReadPosition};
use super::state::ShardState;
use super::tip::EMPTIES_TO_TIP;
use crate::model::{Checkpoint, Now, Position, SequenceNumber, Timestamp};

impl ShardState {
    /// What the end of a lane means for a spot that stands there.
    pub(super) fn at_end(
        &mut self,
        id: u64,
        position: &mut ReadPosition,
        now: Now,
    ) -> Result<Polled, Option<u64>> {
        let ids = self.ids;
        let lane = self.lane(id).expect("the caller found it");
        let Iter::Done(end) = &lane.iter else {
            if let (Position::AtTimestamp(time), Some(end)) =
                (position.base.position(), lane.searched_to())
            {
                *position = position.behind(end, Some(time));
            }
            // One empty answer is enough to call it the tip, not to prove that nothing behind it
            // can have been lost.
            if let (true, Some(answered)) = (lane.tip.empties >= EMPTIES_TO_TIP, lane.tip.answered)
            {
                position.seen_at(answered.wall);
            }
            return Err(Some(id));
        };
        match end {
            LaneEnd::Closed => Ok(Polled::Ended),
            LaneEnd::Trimmed => Ok(self.gap(position, GapCause::Trimmed, true, now)),
            LaneEnd::Refused
                if position.is_safe(now.wall)
                    && position.is_exact()
                    && (position.number().is_some() || position.below) =>
            {
                position.detour = Detour::FromHorizon(ids);
                Err(None)
            }
            // That more came than was delivered is certain only of a record that is known by its
            // number, and old enough.
            LaneEnd::Refused => {
                let undelivered = position.is_undelivered() && !position.is_safe(now.wall);
                Ok(self.gap(position, GapCause::Trimmed, undelivered, now))
            }
            LaneEnd::Gone => {
                let undelivered = position.is_undelivered() && !position.is_safe(now.wall);
                Ok(self.gap(position, GapCause::ShardExpired, undelivered, now))
            }
            LaneEnd::Invalid(error) => Ok(Polled::Refused(error.clone())),
        }
    }

    /// A gap at the spot, and the spot behind it: the first record behind the gap if that was read
    /// already, else the horizon as of now, without what was delivered before. Behind a whole shard
    /// there is nothing.
    pub(super) fn gap(
        &self,
        position: &ReadPosition,
        cause: GapCause,
        certain: bool,
        now: Now,
    ) -> Polled {
        let behind = match cause {
            GapCause::ShardExpired | GapCause::StreamReplaced => position.behind_the_shard(),
            GapCause::Trimmed => match position.base.position() {
                // Nobody refused the number: it is a place to go on from as before, and what was
                // delivered stays behind it.
                Position::AtSequenceNumber(_) | Position::AfterSequenceNumber(_)
                    if self.behaviour.is_scylla =>
                {
                    let time = position.time.max(Some(position::given(now.wall)));
                    ReadPosition {
                        base: PositionBase::Position(position.base.position()),
                        time,
                        detour: Detour::None,
                        ..position.clone()
                    }
                }
                // A refused number is gone itself.
                Position::AtSequenceNumber(number) | Position::AfterSequenceNumber(number) => {
                    position.behind_loss(number, self.ids, now.wall)
                }
                Position::TrimHorizon | Position::AtTimestamp(_) => position.at_horizon(now.wall),
            },
        };
        let next = self.number_at(&behind).filter(|_| cause == GapCause::Trimmed);
        let (before, behind) = match next {
            // Should it be trimmed before it is delivered, AWS will say so.
            Some((before, created)) => (
                Some(before),
                ReadPosition::restored(Checkpoint::new(
                    Position::AtSequenceNumber(before),
                    created,
                )),
            ),
            None => (None, behind),
        };
        let (after, after_time) = (position.number(), position.time);
        Polled::Gap(Gap { after, after_time, before, cause, certain, detected: now.wall }, behind)
    }

    /// The number and creation of the entry at the spot, if that is in memory and has a number.
    fn number_at(&self, position: &ReadPosition) -> Option<(SequenceNumber, Option<Timestamp>)> {
        let entry = self.lanes.iter().find_map(|lane| match lane.find(position)? {
            Located::Entry(batch, index) => Some(&lane.batch(batch).entries()[index]),
            Located::End => None,
        })?;
        entry.number().map(|number| (number, entry.created_at))
    }
}
