//! The iterator of a lane: what state it is in, how it ends, and what is asked with it. Pure.

use std::time::Instant;

use crate::encode::{LogOffset, PageFilter};
use crate::model::Timestamp;
use crate::upstream::UpstreamError;

/// The state of a lane's iterator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Iter {
    /// A new iterator must be requested.
    Needed,
    /// It was requested; the call is under way.
    Opening,
    /// It is ready to be read.
    Ready {
        /// The iterator as AWS issued it.
        iterator: String,
        /// When it was issued.
        issued: Instant,
    },
    /// It is being read; the call is under way.
    Reading {
        /// The iterator as AWS issued it.
        iterator: String,
        /// When it was issued.
        issued: Instant,
    },
    /// The lane has ended: nothing more will be read.
    Done(LaneEnd),
}

impl Iter {
    /// Ranks lanes that end at the same position: one that ended well (2) tells a cursor most, one
    /// that ended badly (0) least.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Done(LaneEnd::Closed) => 2,
            Self::Needed | Self::Opening | Self::Ready { .. } | Self::Reading { .. } => 1,
            Self::Done(_) => 0,
        }
    }
}

/// Why a lane ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LaneEnd {
    /// The shard is closed and was read to its last record.
    Closed,
    /// AWS trimmed records that the iterator had yet to read.
    Trimmed,
    /// AWS refused the position: its record is trimmed.
    Refused,
    /// AWS no longer has the shard.
    Gone,
    /// AWS rejects the position as malformed.
    Invalid(UpstreamError),
}

/// What a lane does with its turn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LaneCall {
    /// It requests an iterator.
    Open,
    /// It reads a page.
    Read {
        /// With this iterator.
        iterator: String,
        /// How much memory the page is expected to take, in bytes.
        expected: usize,
        /// How to filter and encode the page.
        cut: PageFilter,
    },
}

/// How a page changed a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageTaken {
    /// It is at the tip now and was not before, or the other way round; or it may have missed
    /// nothing before the tip.
    pub turns: bool,
    /// It is at the shard's end.
    pub ended: bool,
    /// The order up to which it had read before, dropped entries included.
    pub before: LogOffset,
    /// It searches: all entries up to the order were created before the time.
    pub passed: Option<(Timestamp, LogOffset)>,
}
