//! The plain data types of a cursor's poll: what it waits for, and what it finds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::encode::Chunk;
use crate::model::{SequenceNumber, Timestamp};
use crate::upstream::{ErrorClass, UpstreamError};

use super::denial::APART;
use super::position::ReadPosition;

/// A cursor that polls; if nothing is found it becomes a waiter.
#[derive(Debug)]
pub struct Poller<'a> {
    /// The cursor's position.
    pub position: &'a mut ReadPosition,
    /// The id of its waiter; `None` while it does not wait.
    pub waiter: &'a mut Option<u64>,
}

/// What a cursor waits for when a poll finds nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// New records, read at the shard's own pace.
    Data,
    /// The same, but every upstream response wakes the cursor, even an empty one.
    EveryResponse,
    /// A response to a call made from now on, as soon as possible.
    FreshResponse,
    /// That AWS issues an iterator for the position; no record.
    Iterator,
}

/// Why nothing has been read since `since`: upstream calls are failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the first of the consecutive failed calls was made.
    pub since: Timestamp,
    /// When the newest failed call was made.
    pub asked: Instant,
    /// The error of that call.
    pub error: UpstreamError,
    /// The error is unlikely to pass soon, or the call was retried as often as is worthwhile.
    pub lasts: bool,
}

impl Outage {
    /// Whether this outage is to be reported to a client that has waited since `since`.
    pub fn answers(&self, since: Instant) -> bool {
        self.lasts && self.asked >= since
    }

    /// Whether the outage has lasted longer than a client's `patience`. For "not found" the
    /// patience is at least the time of two listings, because only those make certain that AWS has
    /// lost a shard or stream.
    pub fn outlasts(&self, patience: Duration, now: Timestamp) -> bool {
        let doubtful = self.error.class == ErrorClass::NotFound;
        now.since(self.since) >= if doubtful { patience.max(2 * APART) } else { patience }
    }
}

/// Records that were trimmed before they were delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last record before the gap, if known.
    pub after: Option<SequenceNumber>,
    /// The time up to which nothing was lost, if known.
    pub after_time: Option<Timestamp>,
    /// The first record after the gap, if some lane has already read it.
    pub before: Option<SequenceNumber>,
    /// Why the records are gone.
    pub cause: GapCause,
    /// Whether records were certainly lost; `false`: AWS does not say, so a loss is only possible.
    pub certain: bool,
    /// When the gap was detected.
    pub detected: Timestamp,
}

/// Why records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The records were older than 24 hours.
    Trimmed,
    /// AWS no longer has the shard.
    ShardExpired,
    /// AWS no longer has the stream, and the table has a new one.
    StreamReplaced,
}

impl GapCause {
    /// The metric label of this cause.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::ShardExpired => "shard_expired",
            Self::StreamReplaced => "stream_replaced",
        }
    }

    /// A description of the cause for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Trimmed => "DynamoDB keeps records for 24 hours",
            Self::ShardExpired => "the shard has expired",
            Self::StreamReplaced => "the stream has expired and the table has another",
        }
    }
}

/// An unreadable record that a cursor reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Its sequence number; `None` if it has none.
    pub sequence_number: Option<SequenceNumber>,
    /// The newest sequence number before it; `None` if there is none.
    pub after: Option<SequenceNumber>,
    /// Why it cannot be read.
    pub cause: String,
}

/// What a poll finds at the cursor's position.
#[derive(Clone, Debug)]
pub enum Polled {
    /// Records, and the position after them.
    Records(Chunk, ReadPosition),
    /// An unreadable record, and the position after it.
    Unreadable(BadRecord, ReadPosition),
    /// The next record is too new for the time limit of the poll.
    TooNew,
    /// A gap, and the position after it.
    Gap(Gap, ReadPosition),
    /// The shard is closed and all its records were delivered.
    Ended,
    /// AWS rejects the position as malformed.
    Refused(UpstreamError),
    /// Too many waiters without a lane are queued already; this one was not registered.
    Full,
    /// Nothing yet; a waiter is registered.
    Pending(Pending),
}

/// What is known of the shard while a waiter waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The waiter is at the tip: everything was delivered.
    pub at_tip: bool,
    /// AWS has issued an iterator for the position.
    pub opened: bool,
    /// When the upstream last responded for this position; `None`: not yet.
    pub observed: Option<Timestamp>,
    /// A time that had passed by both clocks, ours and the upstream's, when it last responded.
    pub past: Option<Timestamp>,
    /// Consecutive empty responses since the waiter was registered.
    pub empties: u32,
    /// The current outage, if upstream calls are failing.
    pub outage: Option<Arc<Outage>>,
}

/// The outcome of requesting LATEST.
#[derive(Clone, Debug)]
pub enum Anchoring {
    /// LATEST has become this position.
    Done(ReadPosition),
    /// AWS says that it does not have the shard or the position; continue from the time at which
    /// LATEST was requested.
    Missed(ReadPosition),
    /// AWS has not responded yet; with the current outage, if there is one.
    Pending(Option<Arc<Outage>>),
    /// AWS rejects the request as malformed.
    Refused(UpstreamError),
    /// Too many waiters without a lane are queued already.
    Full,
}
