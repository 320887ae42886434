//! One waiter: what its cursor waits for, where, and what came meanwhile. Pure.

use std::time::Instant;

use super::super::poll::WaitFor;
use super::super::position::ReadPosition;

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub::shard) enum WaiterKind {
    /// The cursor's own request.
    Poll(WaitFor),
    /// LATEST: the end of a lane, once a response to a call made from now on shows that it is the
    /// tip.
    Tip,
    /// LATEST: an iterator of AWS for LATEST itself.
    Latest,
}

/// The responses of a waiter's lane since it was registered there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub::shard) struct Counts {
    /// All of them.
    pub answers: u32,
    /// Consecutive empty ones.
    pub empties: u32,
}

/// A cursor that waits for what comes next at its position.
#[derive(Debug)]
pub(super) struct Waiter {
    pub position: Option<ReadPosition>,
    pub place: Place,
    /// The id of its wake handle, if it registered one.
    pub wake_id: Option<u64>,
    pub kind: WaiterKind,
    pub since: Instant,
    pub data_at: Option<Instant>,
    /// The crowd's count of responses when the first of them counted for this waiter.
    pub counted_from: Option<u32>,
    /// What counted for it before it came to this lane.
    pub before: Counts,
}

/// Where a waiter waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a lane.
    Lane(u64),
    /// In the queue for one, with this ticket.
    Queue(u64),
    /// Nowhere: its lane ended, and it has yet to take what came.
    Nowhere,
}

impl Waiter {
    pub(super) fn lane(&self) -> Option<u64> {
        match self.place {
            Place::Lane(lane) => Some(lane),
            Place::Queue(_) | Place::Nowhere => None,
        }
    }

    /// Whether what it found by a search would be lost with its lane: a number finds it again.
    pub(super) fn searches(&self) -> bool {
        self.position.as_ref().is_some_and(|position| !position.is_numbered())
    }

    /// The responses that counted for it, given those of its crowd: all, and the consecutive empty
    /// ones.
    pub(super) fn counts(&self, answers: u32, empties: u32) -> Counts {
        let Some(from) = self.counted_from else { return self.before };
        let answers = answers - from;
        Counts {
            answers: self.before.answers + answers,
            empties: if empties >= answers { self.before.empties + answers } else { empties },
        }
    }
}
