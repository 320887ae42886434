//! What the subscribers of whole streams saw, in a form that knows no wire format.
//!
//! A client's log is a row of runs, one Subscribe call each. Each says where it began; from that
//! and the fake's own log follows what it had to see.

use std::fmt;
use std::time::Duration;

use shardstream::model::{SequenceNumber, StreamArn, Timestamp};

use crate::sim::fake::EntryId;
use crate::sim::history::EndReason;

/// What one client saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientLog {
    /// Its calls, in order.
    pub runs: Vec<Run>,
    /// It followed to the end and must have everything that was written up to
    /// [`crate::sim::history::History::settled`].
    pub follows: bool,
}

/// One call of Subscribe.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What was asked for.
    pub wish: Wish,
    /// Where that began.
    pub origin: Origin,
    /// When it was asked for.
    pub asked: Duration,
    /// When the answer's headers came; `None`: they never did.
    pub opened: Option<Duration>,
    /// Every message.
    pub messages: Vec<Message>,
    /// How it ended.
    pub fate: Fate,
    /// The client took its time: when a message came says nothing about when it was sent.
    pub slow: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The client went, or the scenario was over.
    Left,
    /// The server closed the stream with this status.
    Closed(String),
    /// The server refused the call, or broke it off, with an error of this code and reason.
    Failed { code: String, reason: String },
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// A table's name or an ARN; empty beside a token.
    pub stream: String,
    /// Gaps do not end it.
    pub pass_gaps: bool,
    /// Unreadable records do not end it.
    pub skip_unreadable: bool,
    /// BY_TIME.
    pub by_time: bool,
    pub merge_wait: Duration,
    pub heartbeat: Duration,
    pub checkpoint: Duration,
    /// Records and bytes of one message.
    pub records: usize,
    pub bytes: usize,
    pub until: Until,
}

/// When it is to end by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Until {
    pub records: Option<usize>,
    pub time: Option<Timestamp>,
    pub at_tip: bool,
}

/// Where a call began.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    Horizon,
    Latest,
    Since(Timestamp),
    /// The token of one message, and newer shard tokens of others.
    Token(Point, Vec<Point>),
}

/// One message of some client's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    pub client: usize,
    pub run: usize,
    pub message: usize,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// When it came.
    pub at: Duration,
    /// How long it was.
    pub bytes: usize,
    /// Its shard token; empty if it had none.
    pub shard_token: String,
    /// Its stream token; empty if it had none.
    pub token: String,
    pub what: What,
}

/// What a message said.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Records {
        shard: String,
        records: Vec<SeenRecord>,
    },
    Heartbeat {
        at_tip: bool,
        lag: Option<Duration>,
        observed: Option<Timestamp>,
        upstream_error: String,
        /// Shards that are not read: over the server's limit, and not understood.
        over_limit: usize,
        not_understood: usize,
    },
    ShardOpen {
        shard: ShardRow,
    },
    ShardEnd {
        shard: String,
        children: Vec<ShardRow>,
        complete: bool,
    },
    Gap(Gap),
    Unreadable {
        shard: String,
        number: Option<SequenceNumber>,
        after: Option<SequenceNumber>,
    },
    StreamEnd {
        stream: StreamArn,
        next: Option<StreamArn>,
    },
    End {
        reason: EndReason,
    },
}

/// A record, known by its event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRecord {
    pub id: EntryId,
    pub number: Option<SequenceNumber>,
}

/// A shard as an event names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRow {
    pub stream: StreamArn,
    pub shard: String,
    pub parent: Option<String>,
}

/// A reported loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// Empty when it is about a whole stream.
    pub shard: String,
    pub after: Option<SequenceNumber>,
    pub before: Option<SequenceNumber>,
    pub cause: Cause,
    pub certain: bool,
}

/// Why records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Trimmed,
    ShardExpired,
    StreamReplaced,
}

/// Where to start, as it goes to the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    Horizon,
    Latest,
    Since(Timestamp),
    Token(String, Vec<String>),
}

/// What a stream gives: messages, then how it was closed. Messages' times are not set yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Message(Box<Message>),
    Closed(Fate),
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            stream: "Orders".into(),
            pass_gaps: true,
            skip_unreadable: true,
            by_time: false,
            merge_wait: Duration::from_secs(2),
            heartbeat: Duration::from_secs(10),
            checkpoint: Duration::from_secs(1),
            records: 1_000,
            bytes: 256 << 10,
            until: Until::default(),
        }
    }
}

impl Wish {
    /// By table name, so that it goes on with the table's next stream.
    pub fn by_name(&self) -> bool {
        !self.stream.starts_with("arn:")
    }
}

impl What {
    /// Every message of this kind bears the stream's token.
    pub fn must_bear_token(&self) -> bool {
        matches!(
            self,
            Self::Heartbeat { .. } | Self::Gap(_) | Self::StreamEnd { .. } | Self::End { .. }
        )
    }

    /// Every message of this kind bears its shard's token.
    pub fn must_bear_shard_token(&self) -> bool {
        match self {
            Self::Records { .. } | Self::Unreadable { .. } => true,
            // What is gone cannot be resumed.
            Self::Gap(gap) => gap.cause == Cause::Trimmed,
            _ => false,
        }
    }
}

impl Run {
    /// Every message with its point.
    pub fn points(&self, start: Point) -> impl Iterator<Item = (Point, &Message)> {
        self.messages
            .iter()
            .enumerate()
            .map(move |(message, seen)| (Point { message, ..start }, seen))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} run {} message {}", self.client, self.run, self.message)
    }
}
