//! How far a shard is read, for those who watch. Pure.

use std::time::Duration;

use crate::model::{Now, SequenceNumber, Timestamp};

use super::lane::{Iter, LaneEnd, Located};
use super::position::ReadPosition;
use super::state::ShardState;

/// How far one shard is read here, whoever it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ShardProgress {
    /// The newest record read.
    pub newest: Option<SequenceNumber>,
    /// How far reading is behind: zero at the tip, else the age of the newest record read.
    pub lag: Option<Duration>,
    /// It is closed and was read to its end.
    pub drained: bool,
    /// Records of it are certain to have been trimmed before they were read.
    pub lost: bool,
    /// Places in it that are being read.
    pub lanes: usize,
    /// Cursors on it.
    pub followers: usize,
    /// Creation of the oldest record that a cursor has yet to get, or of what came just before it.
    pub oldest_unread: Option<Timestamp>,
}

/// What is being done with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingState {
    /// Nobody follows it.
    Unread,
    /// Nobody reads it, but somebody reads one that it descends from.
    Waiting,
    /// It is read, and more is there.
    Behind,
    /// Everything that is there was read.
    AtTip,
    /// It is closed and was read to its end.
    Drained,
    /// Records of it were trimmed before they were read.
    Trimmed,
}

impl ShardProgress {
    /// What is being done with the shard. `reported`: its end was reported, whoever read it.
    /// `awaited`: its parent is read, or awaited itself.
    pub fn reading(&self, reported: bool, awaited: bool) -> ReadingState {
        match () {
            () if self.lost => ReadingState::Trimmed,
            () if self.drained || reported => ReadingState::Drained,
            () if self.followers > 0 && self.lag == Some(Duration::ZERO) => ReadingState::AtTip,
            () if self.followers > 0 => ReadingState::Behind,
            () if awaited => ReadingState::Waiting,
            () => ReadingState::Unread,
        }
    }

    /// What stays of it when nobody reads the shard any more.
    pub(in crate::hub) fn left_behind(self) -> Self {
        Self { newest: self.newest, drained: self.drained, lost: self.lost, ..Self::default() }
    }
}

impl ShardState {
    /// How far the shard is read, with so many cursors on it.
    pub fn progress(&self, followers: usize, now: Now) -> ShardProgress {
        let closed = self.lanes.iter().any(|lane| lane.iter == Iter::Done(LaneEnd::Closed));
        ShardProgress {
            newest: self.newest,
            lag: self.lag(now),
            drained: closed || self.end.is_some(),
            lost: self.lost,
            lanes: self.lane_count(),
            followers,
            oldest_unread: self
                .positions()
                .filter_map(|position| self.unread_since(position))
                .min(),
        }
    }

    fn positions(&self) -> impl Iterator<Item = &ReadPosition> {
        self.waiters
            .values()
            .filter_map(|waiter| waiter.position.as_ref())
            .chain(self.parked.values())
    }

    fn unread_since(&self, position: &ReadPosition) -> Option<Timestamp> {
        let mut has_all = false;
        for lane in &self.lanes {
            match lane.find(position) {
                Some(Located::Entry(batch, index)) => {
                    return lane.batch(batch).entries()[index].created_at.or(position.time);
                }
                Some(Located::End) => {
                    has_all |= lane.saw_tip() || lane.iter == Iter::Done(LaneEnd::Closed)
                }
                None => {}
            }
        }
        // What comes next was not read yet: it is no older than what was delivered last.
        position.time.filter(|_| !has_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_reason() {
        let nobody = ShardProgress::default();
        let read = ShardProgress { followers: 1, lag: Some(Duration::from_secs(3)), ..nobody };
        let tip = ShardProgress { lag: Some(Duration::ZERO), ..read };
        assert_eq!(
            (nobody.reading(false, false), nobody.reading(false, true)),
            (ReadingState::Unread, ReadingState::Waiting)
        );
        assert_eq!(
            (read.reading(false, true), tip.reading(false, false)),
            (ReadingState::Behind, ReadingState::AtTip)
        );
        assert_eq!(
            ShardProgress { followers: 0, ..tip }.reading(false, false),
            ReadingState::Unread,
            "it only lingers"
        );
        assert_eq!(tip.reading(true, false), ReadingState::Drained, "whoever read it");
        let drained = ShardProgress { drained: true, ..tip };
        assert_eq!(drained.reading(false, false), ReadingState::Drained);
        assert_eq!(
            ShardProgress { lost: true, ..drained }.reading(true, true),
            ReadingState::Trimmed,
            "what is lost stays so"
        );
        let left = drained.left_behind();
        assert_eq!(
            (left.followers, left.lag, left.reading(false, false)),
            (0, None, ReadingState::Drained)
        );
    }
}
