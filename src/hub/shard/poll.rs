//! What a cursor asks for and what it finds: plain data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::encode::Chunk;
use crate::model::{SequenceNumber, Timestamp};
use crate::upstream::{ErrorClass, UpstreamError};

use super::denial::APART;
use super::position::ReadPosition;

/// A cursor as it looks; when nothing is there it waits.
#[derive(Debug)]
pub struct Poller<'a> {
    /// Where it stands.
    pub position: &'a mut ReadPosition,
    /// The number under which it waits.
    pub waiter: &'a mut Option<u64>,
}

/// What a cursor asks for when nothing is there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Whatever comes, at the shard's own pace.
    Data,
    /// The same, and to be woken by every answer, news or not.
    EveryResponse,
    /// A fresh answer, soon.
    FreshResponse,
    /// That AWS gives an iterator for the place; no record.
    Iterator,
}

/// Why nothing has come since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the first call of the row failed.
    pub since: Timestamp,
    /// When the newest failed call was asked for.
    pub asked: Instant,
    /// What it failed with.
    pub error: UpstreamError,
    /// It is not likely to pass at once, or was tried as often as is worth while.
    pub lasts: bool,
}

impl Outage {
    /// Whether it is the answer to who waits since then.
    pub fn answers(&self, since: Instant) -> bool {
        self.lasts && self.asked >= since
    }

    /// Whether it has lasted for longer than somebody waits. That AWS does not know a shard or
    /// stream takes two listings to be certain, and nobody gives up before those could have been
    /// made.
    pub fn outlasts(&self, patience: Duration, now: Timestamp) -> bool {
        let doubtful = self.error.class == ErrorClass::NotFound;
        now.since(self.since) >= if doubtful { patience.max(2 * APART) } else { patience }
    }
}

/// Records that are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last record before the gap, where one is known.
    pub after: Option<SequenceNumber>,
    /// Until when nothing was lost, where that is known.
    pub after_time: Option<Timestamp>,
    /// The first record behind the gap, where somebody has read it already.
    pub before: Option<SequenceNumber>,
    /// What happened.
    pub cause: GapCause,
    /// Records were lost, or nothing AWS says can exclude it.
    pub certain: bool,
    /// When it was noticed.
    pub detected: Timestamp,
}

/// Why records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// They were older than 24 hours.
    Trimmed,
    /// AWS does not have the shard any more.
    ShardExpired,
    /// AWS does not have the stream any more, and the table has another.
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

    /// What happened, in words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Trimmed => "DynamoDB keeps records for 24 hours",
            Self::ShardExpired => "the shard has expired",
            Self::StreamReplaced => "the stream has expired and the table has another",
        }
    }
}

/// A record that cannot be read, met by a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Its number, where it has one.
    pub sequence_number: Option<SequenceNumber>,
    /// The newest number before it, where there is one.
    pub after: Option<SequenceNumber>,
    /// What is wrong with it.
    pub cause: String,
}

/// What a cursor finds at its spot.
#[derive(Clone, Debug)]
pub enum Polled {
    /// Records, and the spot behind them.
    Records(Chunk, ReadPosition),
    /// A record that cannot be read, and the spot behind it.
    Unreadable(BadRecord, ReadPosition),
    /// The next record is not older than the room allows.
    TooNew,
    /// Lost records, and the spot behind the loss.
    Gap(Gap, ReadPosition),
    /// The shard is closed and everything was given.
    Ended,
    /// AWS calls the place malformed.
    Refused(UpstreamError),
    /// Too many places are waiting for their turn behind the window.
    Full,
    /// Nothing yet; a waiter is registered.
    Pending(Pending),
}

/// What is known while nothing comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Everything up to the tip was given.
    pub at_tip: bool,
    /// AWS gave an iterator for the place.
    pub opened: bool,
    /// When the upstream was last heard of at this spot.
    pub observed: Option<Timestamp>,
    /// What both clocks agree is past, ours and the upstream's, by that answer.
    pub past: Option<Timestamp>,
    /// Empty answers in a row since the waiter was registered.
    pub empties: u32,
    /// Why nothing can come at the moment.
    pub outage: Option<Arc<Outage>>,
}

/// What became of a LATEST.
#[derive(Clone, Debug)]
pub enum Anchoring {
    /// It is this spot.
    Done(ReadPosition),
    /// AWS says that it does not have the shard, or nothing there: the time at which LATEST was
    /// asked for.
    Missed(ReadPosition),
    /// Not answered yet.
    Pending(Option<Arc<Outage>>),
    /// AWS refuses it.
    Refused(UpstreamError),
    /// Too many places are waiting.
    Full,
}
