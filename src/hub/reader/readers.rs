//! All shards that are being read.

use std::sync::Arc;

use super::super::dependencies::Dependencies;
use super::super::discovery::discoveries::Discoveries;
use super::super::registry::{Followed as _, Registry};
use super::super::shard::progress::ShardProgress;
use super::super::stream_names::ShardKey;
use super::shard_reader::{ReaderHandle, ShardReader};
use super::stream_shapes::AllShapes;

/// The shards with a reader, by key.
pub(in crate::hub) struct Readers {
    pub(in crate::hub) dependencies: Arc<Dependencies>,
    pub(in crate::hub) discoveries: Arc<Discoveries>,
    by_shard: Registry<ShardReader>,
    shapes: AllShapes,
}

/// No more shards are read, or not for this caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyShards {
    /// The limit of shards with a reader is reached.
    #[error("{0} shards are being read, which is the limit")]
    OfServer(usize),
    /// The caller has as many as it may.
    #[error("{0} shards are being read for you, which is your quota")]
    OfCaller(usize),
}

impl Readers {
    /// No shard yet.
    pub(in crate::hub) fn new(
        dependencies: Arc<Dependencies>,
        discoveries: Arc<Discoveries>,
    ) -> Self {
        Self {
            dependencies,
            discoveries,
            by_shard: Registry::default(),
            shapes: AllShapes::default(),
        }
    }

    /// Another follower of the shard, and its reader if that is new.
    pub(super) fn follow(
        &self,
        key: &ShardKey,
    ) -> Result<(ReaderHandle, Option<Arc<ShardReader>>), TooManyShards> {
        let shared = &self.dependencies;
        self.by_shard.follow(key, |readers| {
            if readers >= shared.limits.shards {
                shared.metrics.limit_rejection("shards");
                return Err(TooManyShards::OfServer(readers));
            }
            let shapes = self.shapes.of(&key.stream);
            Ok(ShardReader::new(key.clone(), shared, shapes, shared.seed))
        })
    }

    /// Forgets a reader without followers; `false` if a new follower came in the meantime.
    pub(super) fn retire(&self, reader: &ShardReader) -> bool {
        self.by_shard.retire(reader, || {
            let progress = reader.progress(self.dependencies.clock.now());
            self.discoveries.leave_behind(reader.key(), progress);
        })
    }

    /// How far a shard is read; `None` if it has no reader.
    pub(in crate::hub) fn progress(&self, key: &ShardKey) -> Option<ShardProgress> {
        let reader = self.by_shard.get(key)?;
        Some(reader.progress(self.dependencies.clock.now()))
    }

    /// All readers.
    pub(in crate::hub) fn all(&self) -> Vec<Arc<ShardReader>> {
        self.by_shard.all()
    }

    /// How many shards have a reader.
    pub(in crate::hub) fn count(&self) -> usize {
        self.by_shard.count()
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("count", &self.count()).finish_non_exhaustive()
    }
}
