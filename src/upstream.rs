//! The upstream API: the four calls of DynamoDB Streams behind one trait.
//!
//! Only [`aws`] and its children know the AWS SDK; everything else sees [`Upstream`] and model
//! types. Implementations send one request per call and never retry: budgets, pacing, recovery and
//! paging belong to the callers.

pub mod aws;
mod error;

use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    Fetched, Position, Shard, ShardId, StreamArn, StreamDescription, StreamSummary, TableName,
    Timestamp,
};

pub use error::{ErrorClass, Operation, UpstreamError};

/// DynamoDB Streams, or something that behaves like it.
#[async_trait]
pub trait Upstream: Send + Sync + 'static {
    /// The properties of this upstream.
    fn traits(&self) -> UpstreamTraits;

    /// One page of ListStreams: at most `limit` (1 to 100) streams after `start`, of `table` or of
    /// all.
    async fn list_streams(
        &self,
        table: Option<&TableName>,
        start: Option<&str>,
        limit: u32,
    ) -> Result<StreamsPage, UpstreamError>;

    /// One page of DescribeStream: at most 100 shards, after `start`.
    ///
    /// With `children_of` only the children of that shard are requested (`CHILD_SHARDS`). Upstreams
    /// that do not support the filter may return any shards, so callers keep only those that name
    /// that parent.
    async fn describe_stream(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError>;

    /// GetShardIterator. `IteratorStart::Position(Position::AtTimestamp)` is sent as AT_TIMESTAMP,
    /// and only to upstreams that [support it](UpstreamTraits::at_timestamp).
    async fn shard_iterator(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        start: IteratorStart,
    ) -> Result<IssuedIterator, UpstreamError>;

    /// GetRecords: at most `limit` (1 to 1,000) records from `iterator`, as a parsed page or as the
    /// raw body. Whether a raw body is a valid page is known only when it is
    /// [encoded](crate::encode::encode).
    async fn records(&self, iterator: &str, limit: u32) -> Result<Fetched, UpstreamError>;
}

/// The properties of an upstream: where it is and what it supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTraits {
    /// The region that requests are signed for.
    pub region: String,
    /// AWS itself, or an endpoint that stands in for it.
    pub endpoint: Endpoint,
    /// Whether it supports the iterator type AT_TIMESTAMP.
    pub at_timestamp: bool,
    /// Whether it supports the shard filter CHILD_SHARDS.
    pub child_shards: bool,
    /// Whether several records of a shard may have the same sequence number. Not on AWS; elsewhere
    /// the records of one batch write to one partition do.
    pub shared_numbers: bool,
    /// Creation times of records are rounded down to a multiple of this.
    pub grain: Duration,
    /// Attempts of a call, the first included, before a failure that may pass is reported to the
    /// callers that wait for it. Callers pay for each attempt from their budgets.
    pub attempts: u32,
}

/// Which endpoint the upstream's calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// AWS's own, of the region.
    Aws,
    /// The URL of an endpoint that stands in for AWS.
    Custom(String),
}

/// Where a shard iterator starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IteratorStart {
    /// At a position.
    Position(Position),
    /// Just after the newest record, at the time of AWS's response.
    Latest,
}

/// An iterator and when it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedIterator {
    /// AWS's opaque string; valid for [`ITERATOR_LIFE`].
    pub iterator: String,
    /// The `Date` of the response: AWS's own clock, in whole seconds. `None` when the response had
    /// none.
    pub date: Option<Timestamp>,
}

/// One page of ListStreams.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StreamsPage {
    /// The streams, without rows that cannot be parsed.
    pub streams: Vec<StreamSummary>,
    /// How many rows of this page cannot be parsed.
    pub unreadable: usize,
    /// The start of the next page; `None` on the last page. Opaque: it need not be a stream's name.
    pub last_evaluated: Option<String>,
}

/// One page of DescribeStream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribePage {
    /// The stream itself.
    pub description: StreamDescription,
    /// The shards on this page, without rows that cannot be parsed.
    pub shards: Vec<Shard>,
    /// How many rows of this page cannot be parsed.
    pub unreadable: usize,
    /// The start of the next page; `None` on the last page.
    pub last_evaluated: Option<ShardId>,
    /// The `Date` of the response: AWS's own clock, in whole seconds. `None` when the response had
    /// none.
    pub date: Option<Timestamp>,
}

/// How long an iterator is valid on AWS.
pub const ITERATOR_LIFE: Duration = Duration::from_secs(15 * 60);
