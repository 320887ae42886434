//! Shard discovery: what streams and shards there are, asked for once for everybody.

pub mod board;
pub mod catalog;
pub mod listings;
pub mod paging;
pub mod task;
pub mod watching;
