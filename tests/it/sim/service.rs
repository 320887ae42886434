//! What a client can ask of a server, without a wire format: the seam between the driver and what
//! it drives.
//!
//! The real services are called in process, without a transport; [`crate::sim::model_server`] is a
//! model of what they should say, by which the driver and the guarantees are tried themselves.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::LocalBoxStream;
use shardstream::model::Timestamp;

use crate::sim::fake::ShardRef;
use crate::sim::guarantees::Gauge;
use crate::sim::history::subscribed::{Start as SubscribeStart, Told, Wish};
use crate::sim::history::{Position, Room, Token, What};

/// Where reading is to start.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    Position(Position),
    Token(String),
}

/// What is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Lease(String),
    Start(ShardRef, Start),
}

/// GetRecords.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub source: Source,
    pub room: Room,
    pub wait: Option<Duration>,
    pub request_id: Option<String>,
    pub skip_unreadable: bool,
}

/// StreamRecords.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    pub source: Source,
    pub room: Room,
    pub heartbeat: Duration,
    pub until_records: Option<usize>,
    pub pass_gaps: bool,
    pub skip_unreadable: bool,
}

/// A session, as OpenShard and JumpTo answer it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub lease: String,
}

/// An error of the server; also what ends a stream that has no `end`.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: String,
    pub reason: String,
    /// The token behind a loss, where the error bears one.
    pub token: Option<Box<Token>>,
}

/// A server. Answers come as what is seen of them: [`What::Records`] (or [`What::Heartbeat`] when
/// an answer has none, [`What::ShardEnd`] when it says `exhausted`), a stream's last message and
/// its status as one [`What::End`]. Whoever can read the server's tokens says what is in them.
#[async_trait(?Send)]
pub trait Service: Clone + 'static {
    /// OpenShard.
    async fn open(&self, shard: &ShardRef, start: Start) -> Result<Session, Refusal>;

    /// JumpTo.
    async fn jump(&self, lease: &str, start: Start) -> Result<Session, Refusal>;

    /// SeekTo on a lease.
    async fn seek(&self, lease: &str, time: Timestamp, room: Room) -> Result<What, Refusal>;

    /// GetRecords; the flag is the answer's `repeated`.
    async fn read(&self, read: Read) -> Result<(What, bool), Refusal>;

    /// StreamRecords.
    async fn stream(&self, stream: Stream) -> Result<LocalBoxStream<'static, What>, Refusal>;

    /// Subscribe; an error is the code and the reason.
    async fn subscribe(
        &self,
        wish: &Wish,
        start: SubscribeStart,
    ) -> Result<LocalBoxStream<'static, Told>, (String, String)>;

    /// CloseShard.
    async fn close(&self, lease: &str);

    /// ListChildren, and whether these are all; `by_table`: the stream is named by its table.
    async fn children(
        &self,
        shard: &ShardRef,
        by_table: bool,
    ) -> Result<(Vec<ShardRef>, bool), Refusal>;

    /// What the server keeps now.
    fn gauge(&self) -> Gauge;
}

impl From<Refusal> for What {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, reason, token } = refusal;
        Self::Failed { code, reason, token: token.map(|token| *token) }
    }
}

impl Refusal {
    /// An error without a token.
    pub fn new(code: &str, reason: &str) -> Self {
        Self { code: code.into(), reason: reason.into(), token: None }
    }
}
