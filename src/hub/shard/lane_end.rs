//! What the end of a lane means for a cursor there: the end of the shard, a gap, or a detour. Pure.

use super::lane::{Iter, LaneEnd, Located};
use super::poll::{Gap, GapCause, Polled};
use super::position;
use super::position::{PositionBase, PositionState, ReadPosition};
use super::state::ShardState;
use super::tip::EMPTIES_TO_TIP;
use crate::model::{Checkpoint, Now, Position, SequenceNumber, Timestamp};

impl ShardState {
    /// What the end of a lane means for a position there: a result, or (as `Err`) the lane in which
    /// to wait for more.
    pub(super) fn at_end(
        &self,
        id: u64,
        position: &mut ReadPosition,
        now: Now,
    ) -> Result<Polled, Option<u64>> {
        let newest = self.lanes.newest_id();
        let lane = self.lanes.get(id).expect("the caller found it");
        let Iter::Done(end) = lane.iter() else {
            if let (Position::AtTimestamp(time), Some(end)) =
                (position.base.position(), lane.searched_to())
            {
                *position = position.behind(end, Some(time));
            }
            // One empty response may be enough to call it the tip, but not to prove that nothing
            // after it was lost.
            if let (true, Some(answered)) =
                (lane.tip().empties >= EMPTIES_TO_TIP, lane.tip().newest)
            {
                position.seen_at(answered.came.wall);
            }
            return Err(Some(id));
        };
        match end {
            LaneEnd::Closed => Ok(Polled::Ended),
            LaneEnd::Trimmed => Ok(self.gap(position, GapCause::Trimmed, true, now)),
            LaneEnd::Refused
                if position.is_safe(now.wall)
                    && position.is_exact()
                    && (position.number().is_some()
                        || position.state == PositionState::BelowTheShard) =>
            {
                position.go_round(newest);
                Err(None)
            }
            // It is only certain that an undelivered record was lost if that record is known by its
            // number and is old enough.
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

    /// A gap at the position, and the position after the gap: the first record after it if that
    /// was already read, else the horizon as of now, minus what was delivered before. Behind the
    /// gap of a whole shard there is nothing.
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
                // The upstream did not refuse the number: reading continues from it, after what
                // was delivered.
                Position::AtSequenceNumber(_) | Position::AfterSequenceNumber(_)
                    if self.behaviour.is_scylla =>
                {
                    let time = position.time.max(Some(position::given(now.wall)));
                    ReadPosition {
                        base: PositionBase::Position(position.base.position()),
                        time,
                        ..position.clone()
                    }
                }
                // The record of a refused number is gone itself.
                Position::AtSequenceNumber(number) | Position::AfterSequenceNumber(number) => {
                    position.behind_loss(number, self.lanes.newest_id(), now.wall)
                }
                Position::TrimHorizon | Position::AtTimestamp(_) => position.at_horizon(now.wall),
            },
        };
        let next = self.number_at(&behind).filter(|_| cause == GapCause::Trimmed);
        let (before, behind) = match next {
            // If this record is trimmed before it is delivered, AWS will report that.
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

    /// The number and creation time of the entry at the position, if it is in memory and has a
    /// number.
    fn number_at(&self, position: &ReadPosition) -> Option<(SequenceNumber, Option<Timestamp>)> {
        let entry = self.lanes.iter().find_map(|lane| match lane.find(position)? {
            Located::Entry(batch, index) => Some(&lane.batch(batch).entries()[index]),
            Located::End => None,
        })?;
        entry.number().map(|number| (number, entry.created_at))
    }
}
