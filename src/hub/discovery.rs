//! Shard discovery: which streams and shards exist, requested once for all clients.

pub mod catalog;
pub mod listings;
pub mod paging;
pub mod shard_table;
pub mod task;
pub mod watching;
