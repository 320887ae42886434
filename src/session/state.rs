//! One session: a cursor's position under a lease, and which of its calls may move it. Pure.

use std::time::{Duration, Instant};

use crate::hub::{ReadPosition, ShardKey};
use crate::model::ShardId;

/// A cursor the server keeps for a client.
#[derive(Clone, Debug)]
pub struct Session {
    /// The shard that it reads.
    pub key: ShardKey,
    /// The shard's parent, as listed.
    pub parent: Option<ShardId>,
    /// Its position; `None` until it is positioned.
    pub position: Option<ReadPosition>,
    /// The shard is closed and everything was delivered.
    pub exhausted: bool,
    /// After the newest response, everything up to the tip was delivered.
    pub at_tip: bool,
    /// The position of a StreamRecords call running on it; `None`: none runs.
    pub streaming: Option<ReadPosition>,
    /// The newest read that returned records, so that it can be repeated.
    pub last_read: Option<LastRead>,
    lease: Duration,
    deadline: Instant,
    running: u32,
    newest_mover: u64,
    closed: bool,
}

/// A read that can be repeated: its range is kept, not its bytes.
#[derive(Clone, Debug)]
pub struct LastRead {
    /// The client's id of the read.
    pub request_id: Vec<u8>,
    /// The position of its first entry.
    pub from: ReadPosition,
    /// How many entries it returned, unreadable ones included.
    pub entries: usize,
    /// Whether it skipped unreadable records instead of failing at them.
    pub skips: bool,
}

/// Why a mover may not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// A newer mover began.
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

    /// The earliest moment at which the lease can end: a running call renews it when the call ends.
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

    /// Renews the lease: its full duration from now.
    pub fn renew(&mut self, now: Instant) {
        self.deadline = now + self.lease;
    }

    /// Begins a mover, which supersedes the one before; returns its ticket.
    pub fn begin_move(&mut self) -> u64 {
        self.newest_mover += 1;
        // A call that streamed here is superseded and may no longer report where it ended.
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

    /// Moves the session to the position of a jump, a seek or an ended stream.
    pub fn move_to(&mut self, position: ReadPosition, exhausted: bool, at_tip: bool) {
        self.position = Some(position);
        self.exhausted = exhausted;
        self.at_tip = at_tip;
        self.last_read = None;
    }

    /// The client gave up the lease.
    pub fn close(&mut self) {
        self.closed = true;
    }
}
