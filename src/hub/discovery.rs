//! Shard discovery: which streams and shards exist, requested once for all clients.

pub(in crate::hub) mod catalog;
pub(in crate::hub) mod discoveries;
pub(in crate::hub) mod discovery_task;
pub(in crate::hub) mod listings;
pub(in crate::hub) mod paging;
pub(in crate::hub) mod shard_table;
pub(in crate::hub) mod shared_table;
mod stream_discovery;

pub(crate) use catalog::{CHILDREN_SETTLE, ListingFailure};
pub use catalog::{Catalog, ChildrenKnown};
pub(crate) use listings::LISTING_AGE;
pub use listings::ListingError;
pub(crate) use paging::Paging;
pub(crate) use shard_table::{ShardRow, TableUpdate};
pub use stream_discovery::Discovery;
