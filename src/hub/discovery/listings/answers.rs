//! What lookups find, and why they find nothing.

use std::sync::OnceLock;

use tokio::time::Instant;

use crate::lineage::Kin;
use crate::model::{Shard, ShardId, StreamArn, StreamDescription, TableName, Timestamp};
use crate::upstream::{ErrorClass, Operation, UpstreamError};

use super::super::super::permit::NotAllowed;
use super::queue::Busy;

/// Why a stream or a shard could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// The table has no stream, or no such stream exists.
    #[error("no stream {0}")]
    StreamNotFound(String),
    /// The stream exists, but the shard is not in its listing.
    #[error("no shard {1} in {0}")]
    ShardNotFound(StreamArn, ShardId),
    /// The stream is being enabled and has no shards yet.
    #[error("{0} is not ready yet")]
    NotReady(StreamArn),
    /// The caller may not reach the stream.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The limit of callers waiting for a call is reached.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The upstream failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// A whole listing of one stream.
#[derive(Debug)]
pub struct Listing {
    /// The stream.
    pub description: StreamDescription,
    /// All its shards, by id, without the rows that cannot be parsed.
    pub shards: Vec<Shard>,
    /// How many rows cannot be parsed.
    pub unreadable: usize,
    /// The number of pages.
    pub pages: usize,
    /// When the listing was begun.
    pub begun: Instant,
    /// When its last page came.
    pub ended: Instant,
    pub(super) kin: OnceLock<Kin>,
}

impl Listing {
    /// Parents and children in this listing, computed once for all callers.
    pub fn kin(&self) -> &Kin {
        self.kin.get_or_init(|| Kin::of(&self.shards))
    }

    /// The shard, if it is listed.
    pub fn find(&self, id: &ShardId) -> Option<&Shard> {
        let at = self.shards.binary_search_by(|shard| shard.id.cmp(id)).ok()?;
        self.shards.get(at)
    }
}

/// A shard's children, and whether there can be no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// The known children, by id.
    pub shards: Vec<Shard>,
    /// No more will appear.
    pub complete: bool,
}

impl Children {
    /// Sorts the shards: AWS promises no order of its listings.
    pub(super) fn new(mut shards: Vec<Shard>, complete: bool) -> Self {
        shards.sort_by(|a, b| a.id.cmp(&b.id));
        Self { shards, complete }
    }
}

/// A page of ListStreams: the table (all if `None`), the last key before it, and the page size.
pub(super) type PageKey = (Option<TableName>, Option<String>, u32);

/// Whether these are all children. AWS gives a shard at most two; on Alternator it may have
/// hundreds.
pub(super) fn are_all(stream: &StreamArn, children: &[Shard]) -> bool {
    children.len() >= 2 && !stream.is_alternators()
}

/// The newest of a table's streams.
pub(super) fn newest_of(streams: &[StreamArn]) -> Option<StreamArn> {
    streams.iter().max_by(|a, b| age(a).cmp(&age(b))).cloned()
}

/// The sort key of a table's streams: their order of creation.
pub(super) fn age(arn: &StreamArn) -> (Option<Timestamp>, &str) {
    (arn.created(), arn.label())
}

/// The error of a call for a running subscription, which is never refused as busy.
pub(super) fn of_running(error: AskError) -> UpstreamError {
    match error {
        AskError::Upstream(error) => error,
        AskError::Busy(busy) => {
            UpstreamError::nonsense(Operation::DescribeStream, &busy.to_string())
        }
    }
}

pub(super) fn told(error: AskError, name: &str) -> ListingError {
    match error {
        AskError::Busy(busy) => ListingError::Busy(busy),
        AskError::Upstream(error) => not_found(error, name),
    }
}

pub(in crate::hub) fn not_found(error: UpstreamError, name: &str) -> ListingError {
    match error.class {
        ErrorClass::NotFound => ListingError::StreamNotFound(name.to_owned()),
        ErrorClass::Throttled
        | ErrorClass::Unavailable
        | ErrorClass::ExpiredIterator
        | ErrorClass::Trimmed
        | ErrorClass::AccessDenied
        | ErrorClass::Invalid => ListingError::Upstream(error),
    }
}
