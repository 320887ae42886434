//! What every client saw, in order, in a form that knows no wire format.
//!
//! The log of a single shard's client is a row of *runs*: a run is one response stream, or what one
//! session read between two jumps, or one call without a lease. Each run says where it began
//! ([`Origin`]); from that and the fake's own log follows what it had to see. So it is with
//! subscribers of whole streams ([`subscribed`]), of which each run is one call.

pub mod subscribed;

use std::fmt;
use std::time::Duration;

use shardstream::model::{Position as TokenPosition, SequenceNumber, Timestamp};

use crate::sim::fake::{EntryId, ShardRef};

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The clients of single shards, in the order in which they came.
    pub clients: Vec<ClientLog>,
    /// The subscribers of whole streams.
    pub subscribers: Vec<subscribed::ClientLog>,
    /// Everything written up to here had time to arrive; `None`: nothing is said about arriving.
    pub settled: Option<Duration>,
    /// What was said of shards' children.
    pub families: Vec<Family>,
}

/// What was said of one shard's children.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Whose.
    pub of: ShardRef,
    /// Its stream was named by its table: the shard of that name in the newest stream is meant.
    pub by_table: bool,
    /// When it was asked.
    pub asked: Duration,
    /// When it was answered.
    pub at: Duration,
    /// The children, and whether these are all; or the reason of an error.
    pub said: Result<(Vec<ShardRef>, bool), String>,
}

/// What one client saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientLog {
    /// Its name.
    pub name: String,
    /// What it saw, in order.
    pub items: Vec<Seen>,
    /// It followed to the end and must have everything that was written up to [`History::settled`].
    pub follows: bool,
    /// When it did not look at its stream.
    pub away: Vec<(Duration, Duration)>,
}

/// How often a stream's client wants to hear of the server.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// One thing seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The run it belongs to, counted in this client's log.
    pub run: usize,
    /// When, on the fake's clock.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// One item of some client's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which client.
    pub client: usize,
    /// Which of its items.
    pub item: usize,
}

/// Where something shows: an item of a client's log, or a message to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Item(Point),
    Message(subscribed::Point),
}

/// What can be seen.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A run begins; [`Seen::at`] is when the server said so.
    Opened(Opened),
    /// Records, in a message or an answer.
    Records(Batch),
    /// Records that were handed over and never reached the client.
    LostAnswer(Batch),
    /// Records of an earlier answer, asked for again.
    Repeat { of: Point, batch: Batch },
    /// A heartbeat, or an answer without records.
    Heartbeat { at_tip: bool, observed: Option<Timestamp>, token: Token },
    /// Records are gone.
    Gap(Gap),
    /// One record cannot be read.
    Unreadable { entry: BadEntry, token: Token },
    /// The shard's end, or an answer that says `exhausted`.
    ShardEnd { token: Token },
    /// The server's last message and its status.
    End { reason: EndReason, code: String, token: Token },
    /// An error.
    Failed { code: String, reason: String, token: Option<Token> },
    /// The client gave up a call or a stream.
    Left,
}

/// How and where a run began.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// By which call.
    pub via: Via,
    /// Which shard.
    pub shard: ShardRef,
    /// Where.
    pub origin: Origin,
    /// When it was asked for.
    pub asked: Duration,
    /// How much one message or answer may hold.
    pub room: Room,
}

/// By which call a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// OpenShard, then GetRecords on the lease.
    Open,
    /// JumpTo on the lease.
    Jump,
    /// SeekTo.
    Seek,
    /// One GetRecords without a lease.
    Unary,
    /// StreamRecords.
    Stream,
}

/// Where a run began.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A position.
    Position(Position),
    /// The first record created then or later, looked for by SeekTo.
    Seek(Timestamp),
    /// The token that came with that item.
    Token(Point),
    /// Where that item left the session.
    Session(Point),
}

/// A position, as clients name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// TRIM_HORIZON.
    Horizon,
    /// LATEST.
    Latest,
    /// AT_SEQUENCE_NUMBER.
    At(SequenceNumber),
    /// AFTER_SEQUENCE_NUMBER.
    After(SequenceNumber),
    /// AT_TIMESTAMP.
    Since(Timestamp),
}

/// How much one message or answer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Records.
    pub records: usize,
    /// Bytes; one record always fits.
    pub bytes: usize,
}

/// A message or an answer with records.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The records in order; the bad ones of an answer are in order too, and told beside the
    /// records.
    pub entries: Vec<SeenEntry>,
    /// What the whole message was long, in bytes.
    pub bytes: usize,
    /// The token that came with it.
    pub token: Token,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenEntry {
    /// A record.
    Record { id: EntryId, number: Option<SequenceNumber> },
    /// One that cannot be read.
    Bad(BadEntry),
}

/// An entry that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// Its number, where it has one.
    pub number: Option<SequenceNumber>,
    /// The number before it.
    pub after: Option<SequenceNumber>,
}

/// A reported loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// The newest number before it, if any.
    pub after: Option<SequenceNumber>,
    /// The oldest number behind it, where it is known.
    pub before: Option<SequenceNumber>,
    /// Certain, or possible.
    pub certain: bool,
    /// The whole shard is gone.
    pub expired: bool,
    /// The token that came with it.
    pub token: Token,
}

/// A token, and what it says where the test can read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Token {
    /// As the client got it; empty if it got none.
    pub text: String,
    /// The place inside, and how many entries without a number behind it are covered.
    pub place: Option<(TokenPosition, u16)>,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    ShardEnd,
    StreamEnd,
    Limit,
    Draining,
    MaxAge,
    Upstream,
    Superseded,
    LeaseClosed,
    Gap,
    Unreadable,
    CatchUpLimit,
    ShardLimit,
    Deadline,
    Refused,
}

impl EndReason {
    /// The status that belongs to it.
    pub fn code(self) -> &'static str {
        match self {
            Self::ShardEnd | Self::StreamEnd | Self::Limit => "OK",
            Self::Draining | Self::MaxAge | Self::Upstream => "UNAVAILABLE",
            Self::Superseded | Self::LeaseClosed => "ABORTED",
            Self::CatchUpLimit | Self::ShardLimit => "RESOURCE_EXHAUSTED",
            Self::Deadline => "DEADLINE_EXCEEDED",
            Self::Refused => "INVALID_ARGUMENT",
            Self::Gap => "OUT_OF_RANGE",
            Self::Unreadable => "DATA_LOSS",
        }
    }
}

impl What {
    /// The token that came with it, if any.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Records(batch) | Self::LostAnswer(batch) | Self::Repeat { batch, .. } => {
                Some(&batch.token)
            }
            Self::Heartbeat { token, .. } | Self::Unreadable { token, .. } => Some(token),
            Self::ShardEnd { token } | Self::End { token, .. } => Some(token),
            Self::Gap(gap) => Some(&gap.token),
            Self::Failed { token, .. } => token.as_ref(),
            Self::Opened(_) | Self::Left => None,
        }
        .filter(|token| !token.text.is_empty())
    }
}

impl What {
    /// The client never got it.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::LostAnswer(_))
    }
}

impl History {
    /// Which shard an item is about.
    pub fn shard_at(&self, point: Point) -> Option<ShardRef> {
        let items = &self.clients.get(point.client)?.items;
        let run = items.get(point.item)?.run;
        items[..=point.item].iter().find_map(|seen| match &seen.what {
            What::Opened(opened) if seen.run == run => Some(opened.shard.clone()),
            _ => None,
        })
    }

    /// The item at a point.
    pub fn at(&self, point: Point) -> Option<&Seen> {
        self.clients.get(point.client)?.items.get(point.item)
    }

    /// Every item with its point, client by client.
    pub fn items(&self) -> impl Iterator<Item = (Point, &Seen)> {
        self.clients.iter().enumerate().flat_map(|(client, log)| {
            let items = log.items.iter().enumerate();
            items.map(move |(item, seen)| (Point { client, item }, seen))
        })
    }
}

impl History {
    /// The message to a subscriber at a point.
    pub fn message_at(&self, point: subscribed::Point) -> Option<&subscribed::Message> {
        self.subscribers.get(point.client)?.runs.get(point.run)?.messages.get(point.message)
    }

    /// Every call of a subscriber, with the point of its first message.
    pub fn runs(&self) -> impl Iterator<Item = (subscribed::Point, &subscribed::Run)> {
        self.subscribers.iter().enumerate().flat_map(|(client, log)| {
            log.runs
                .iter()
                .enumerate()
                .map(move |(run, seen)| (subscribed::Point { client, run, message: 0 }, seen))
        })
    }
}

impl From<Point> for Option<At> {
    fn from(point: Point) -> Self {
        Some(At::Item(point))
    }
}

impl From<subscribed::Point> for Option<At> {
    fn from(point: subscribed::Point) -> Self {
        Some(At::Message(point))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(point) => point.fmt(f),
            Self::Message(point) => point.fmt(f),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} item {}", self.client, self.item)
    }
}
