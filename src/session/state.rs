//! One session: a cursor's place under a lease, and which of its calls may move it. Pure.

use std::time::{Duration, Instant};

use crate::hub::ShardKey;
use crate::hub::shard::position::ReadPosition;
use crate::model::ShardId;

/// A cursor the server keeps for a client.
#[derive(Clone, Debug)]
pub struct Session {
    /// The shard it is in.
    pub key: ShardKey,
    /// The shard's parent, as listed.
    pub parent: Option<ShardId>,
    /// Where it stands; `None` until it is positioned.
    pub position: Option<ReadPosition>,
    /// The shard is closed and everything was given.
    pub exhausted: bool,
    /// The newest answer found everything up to the tip given.
    pub at_tip: bool,
    /// Where a running StreamRecords on it stands.
    pub streaming: Option<ReadPosition>,
    /// The newest read that gave records, so that it can be repeated.
    pub last_read: Option<LastRead>,
    lease: Duration,
    deadline: Instant,
    running: u32,
    newest_mover: u64,
    closed: bool,
}

/// A read that can be repeated: the range, not the bytes.
#[derive(Clone, Debug)]
pub struct LastRead {
    /// The client's name for it.
    pub request_id: Vec<u8>,
    /// Where its first entry stands.
    pub from: ReadPosition,
    /// How many entries it gave, unreadable ones included.
    pub entries: usize,
    /// It skipped unreadable records instead of failing at them.
    pub skips: bool,
}

/// Why a mover may not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// A newer mover came.
    ByNewer,
    /// The lease was closed.
    ByClose,
}

impl Session {
    /// A session of `key` whose lease runs for `lease` from `now`.
    pub fn new(
        key: ShardKey,
        parent: Option<ShardId>,
        position: Option<ReadPosition>,
        lease: Duration,
        now: Instant,
    ) -> Self {
        Self {
            key,
            parent,
            position,
            exhausted: false,
            at_tip: false,
            streaming: None,
            last_read: None,
            lease,
            deadline: now + lease,
            running: 0,
            newest_mover: 0,
            closed: false,
        }
    }

    /// The lease's duration.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// When the lease ends, unless it is renewed.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When the lease can end at the soonest: a running call renews it when it ends.
    pub fn ends_at(&self, now: Instant) -> Instant {
        if self.running > 0 { now + self.lease } else { self.deadline }
    }

    /// Whether the lease has ended: never while a call runs.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.closed || (self.running == 0 && self.deadline <= now)
    }

    /// A call begins: the lease is renewed, and does not end before the call.
    pub fn enter(&mut self, now: Instant) {
        self.running += 1;
        self.renew(now);
    }

    /// A call ended.
    pub fn leave(&mut self, now: Instant) {
        self.running -= 1;
        self.renew(now);
    }

    /// The lease runs anew.
    pub fn renew(&mut self, now: Instant) {
        self.deadline = now + self.lease;
    }

    /// A mover begins, and supersedes the one before; returns its ticket.
    pub fn begin_move(&mut self) -> u64 {
        self.newest_mover += 1;
        // Whoever streamed here is superseded, and may not say any more that it ended.
        self.streaming = None;
        self.newest_mover
    }

    /// Whether the mover with this ticket may still move.
    pub fn may_move(&self, ticket: u64) -> Result<(), Superseded> {
        match (self.closed, self.newest_mover == ticket) {
            (true, _) => Err(Superseded::ByClose),
            (false, true) => Ok(()),
            (false, false) => Err(Superseded::ByNewer),
        }
    }

    /// Moves to where a jump, a seek or an ended stream stands.
    pub fn move_to(&mut self, position: ReadPosition, exhausted: bool, at_tip: bool) {
        self.position = Some(position);
        self.exhausted = exhausted;
        self.at_tip = at_tip;
        self.last_read = None;
    }

    /// The lease is given up.
    pub fn close(&mut self) {
        self.closed = true;
    }
}
