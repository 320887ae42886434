//! What the door makes of names: a stream as it is named, as it is found, and one of its shards.
//! Only the hub makes the latter two.

use std::fmt;

use crate::model::{IdError, ShardId, StreamArn, StreamRef};

/// A stream as a caller names it: a valid name, not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedStream(StreamRef);

/// A stream that passed the door: its ARN is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedStream(StreamArn);

/// A shard's full name, with its stream, which passed the door: shard ids repeat across streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardKey {
    pub(in crate::hub) stream: StreamArn,
    pub(in crate::hub) shard: ShardId,
}

impl NamedStream {
    /// The stream that a field of a request names: by its ARN, or by its table.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        StreamRef::parse(text).map(Self)
    }

    /// The stream that a token names. Anybody can write a token, so its stream passes the door like
    /// any other.
    pub fn in_token(stream: StreamArn) -> Self {
        Self(StreamRef::Arn(stream))
    }

    /// The name.
    pub(super) fn name(&self) -> &StreamRef {
        &self.0
    }

    /// The table, if the stream is named by it: then later streams of the table may follow.
    pub fn is_table(&self) -> bool {
        matches!(self.0, StreamRef::Table(_))
    }

    /// Whether this may be a name of `stream`.
    pub fn names(&self, stream: &StreamArn) -> bool {
        match &self.0 {
            StreamRef::Arn(arn) => arn == stream,
            StreamRef::Table(table) => stream.is_of(table),
        }
    }
}

impl ResolvedStream {
    /// The stream with this ARN, for the door.
    pub(super) fn let_in(arn: StreamArn) -> Self {
        Self(arn)
    }

    /// Its ARN.
    pub fn arn(&self) -> &StreamArn {
        &self.0
    }

    /// One of its shards.
    pub fn shard(&self, shard: ShardId) -> ShardKey {
        ShardKey { stream: self.0.clone(), shard }
    }
}

impl fmt::Display for ResolvedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ShardKey {
    /// The stream's ARN.
    pub fn stream(&self) -> &StreamArn {
        &self.stream
    }

    /// The shard's id.
    pub fn shard(&self) -> &ShardId {
        &self.shard
    }

    /// The stream, which passed the door already.
    pub fn resolved(&self) -> ResolvedStream {
        ResolvedStream(self.stream.clone())
    }

    /// A key that passed no door, for tests of what only keeps keys.
    #[cfg(test)]
    pub(crate) fn of(stream: StreamArn, shard: ShardId) -> Self {
        Self { stream, shard }
    }
}
