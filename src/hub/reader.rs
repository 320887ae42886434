//! Reading of shards: each followed shard has one task that reads it for all its cursors.

mod eviction;
mod reader_task;
mod readers;
mod shard_reader;
mod stream_shapes;

#[cfg(test)]
mod tests;

pub(super) use reader_task::follow;
pub(super) use readers::Readers;
pub use readers::TooManyShards;
pub(super) use shard_reader::{ReaderHandle, ShardReader};
