//! How far a shard is read, for progress reports. Pure.

use std::time::Duration;

use crate::model::{Now, SequenceNumber, Timestamp};

use super::lane::{Iter, LaneEnd, Located};
use super::position::ReadPosition;
use super::state::ShardState;

/// How far this server has read one shard, for all clients together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ShardProgress {
    /// The sequence number of the newest record read; `None`: none was.
    pub newest: Option<SequenceNumber>,
    /// How far reading is behind: zero at the tip, else the age of the newest record read. `None`:
    /// not known.
    pub lag: Option<Duration>,
    /// The shard is closed and was read to its end.
    pub drained: bool,
    /// Records of the shard were certainly trimmed before they were read.
    pub lost: bool,
    /// The number of lanes.
    pub lanes: usize,
    /// The number of cursors on the shard.
    pub followers: usize,
    /// Creation time of the oldest record that some cursor has not received, or of the record
    /// before it. `None`: nothing is known to be unread.
    pub oldest_unread: Option<Timestamp>,
}

/// The reading state of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingState {
    /// No cursor is on it.
    Unread,
    /// No cursor is on it, but an ancestor shard is being read.
    Waiting,
    /// It is being read, and has more records.
    Behind,
    /// It is being read, and all its present records were read.
    AtTip,
    /// The shard is closed and was read to its end.
    Drained,
    /// Records of it were trimmed before they were read.
    Trimmed,
}

impl ShardProgress {
    /// The reading state. `reported`: the end of the shard was reported to a client, whoever read
    /// it. `awaited`: its parent is being read, or is awaited itself.
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

    /// The progress that remains known when the shard is no longer read.
    pub(in crate::hub) fn left_behind(self) -> Self {
        Self { newest: self.newest, drained: self.drained, lost: self.lost, ..Self::default() }
    }
}

impl ShardState {
    /// The progress of the shard, given the number of cursors on it.
    pub fn progress(&self, followers: usize, now: Now) -> ShardProgress {
        let closed = self.lanes.iter().any(|lane| *lane.iter() == Iter::Done(LaneEnd::Closed));
        ShardProgress {
            newest: self.newest,
            lag: self.lag(now),
            drained: closed || self.end.is_some(),
            lost: self.has_lost(),
            lanes: self.lane_count(),
            followers,
            oldest_unread: self
                .positions()
                .filter_map(|position| self.unread_since(position))
                .min(),
        }
    }

    fn positions(&self) -> impl Iterator<Item = &ReadPosition> {
        self.waiters.positions().chain(self.parked.positions())
    }

    fn unread_since(&self, position: &ReadPosition) -> Option<Timestamp> {
        let mut has_all = false;
        for lane in self.lanes.iter() {
            match lane.find(position) {
                Some(Located::Entry(batch, index)) => {
                    return lane.batch(batch).entries()[index].created_at.or(position.time);
                }
                Some(Located::End) => {
                    has_all |= lane.saw_tip() || *lane.iter() == Iter::Done(LaneEnd::Closed)
                }
                None => {}
            }
        }
        // The next record was not read yet: it is no older than the last one delivered.
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
