//! Shard discovery: which streams and shards exist, requested once for all clients.

pub mod board;
pub mod catalog;
pub mod listings;
pub mod paging;
pub mod task;
pub mod watching;
