//! Where records come from: the four calls of DynamoDB Streams behind one trait.
//!
//! Only [`aws`] and what it owns know the AWS SDK; everything else sees [`Upstream`] and model
//! types. Implementations answer one call with one request, and never try again by themselves:
//! budgets, pacing, healing and paging are the callers'.

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
    /// What this upstream is and knows.
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
    /// With `children_of` only the children of that shard are asked for (`CHILD_SHARDS`); upstreams
    /// that do not know the filter may answer anything, so callers keep only shards that name that
    /// parent.
    async fn describe_stream(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError>;

    /// GetShardIterator. `IteratorStart::Position(Position::AtTimestamp)` is asked as AT_TIMESTAMP
    /// and only of upstreams that [know it](UpstreamTraits::at_timestamp).
    async fn shard_iterator(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        start: IteratorStart,
    ) -> Result<IssuedIterator, UpstreamError>;

    /// GetRecords: at most `limit` (1 to 1,000) records from `iterator`, as a page or as the body
    /// that the upstream sent. That a body is no page shows only when it is
    /// [encoded](crate::encode::encode).
    async fn records(&self, iterator: &str, limit: u32) -> Result<Fetched, UpstreamError>;
}

/// What an upstream is and knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTraits {
    /// The region it is asked in.
    pub region: String,
    /// AWS itself, or an endpoint that stands in for it.
    pub endpoint: Endpoint,
    /// It knows the iterator type AT_TIMESTAMP.
    pub at_timestamp: bool,
    /// It knows the shard filter CHILD_SHARDS.
    pub child_shards: bool,
    /// Several records of a shard may bear one number, as what a batch wrote to one partition does
    /// elsewhere than on AWS.
    pub shared_numbers: bool,
    /// Records are stamped with their time rounded down to this.
    pub grain: Duration,
    /// How often a call is made, the first time included, before a failure that may pass is told to
    /// whoever waits for it. Every time is a call that callers pay for from their budgets.
    pub attempts: u32,
}

/// Which endpoint the upstream's calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// AWS's own, of the region.
    Aws,
    /// The URL of something that stands in for it.
    Custom(String),
}

/// What a shard iterator is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IteratorStart {
    /// A place.
    Position(Position),
    /// Just after the newest record, as of AWS's answer.
    Latest,
}

/// An iterator and when it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedIterator {
    /// AWS's opaque string; valid for [`ITERATOR_LIFE`].
    pub iterator: String,
    /// The `Date` of the answer: AWS's own clock, in whole seconds. `None` when the answer had
    /// none.
    pub date: Option<Timestamp>,
}

/// One page of ListStreams.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StreamsPage {
    /// The streams, but for rows that cannot be understood.
    pub streams: Vec<StreamSummary>,
    /// How many rows of this page cannot be understood.
    pub unreadable: usize,
    /// Ask again after this; `None` on the last page. Only the upstream knows what it means: it
    /// need be no stream's name.
    pub last_evaluated: Option<String>,
}

/// One page of DescribeStream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribePage {
    /// The stream itself.
    pub description: StreamDescription,
    /// Its shards on this page, but for rows that cannot be understood.
    pub shards: Vec<Shard>,
    /// How many rows of this page cannot be understood.
    pub unreadable: usize,
    /// Ask again after this one; `None` on the last page.
    pub last_evaluated: Option<ShardId>,
    /// The `Date` of the answer: AWS's own clock, in whole seconds. `None` when the answer had
    /// none.
    pub date: Option<Timestamp>,
}

/// How long AWS keeps an iterator.
pub const ITERATOR_LIFE: Duration = Duration::from_secs(15 * 60);
