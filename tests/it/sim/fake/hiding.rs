//! Listings that lack shards for a while, and what there is of a family whether listed or not.

use std::time::Duration;

use super::state::ShardState;
use super::{FakeUpstream, ShardRef};

impl FakeUpstream {
    /// Takes a shard out of the listing for so long; it can be read all the same.
    #[track_caller]
    pub fn hide(&self, shard: &ShardRef, lasts: Duration) {
        let now = self.now();
        self.inner.state.lock().shard_mut(shard).hidden.push((now, now + lasts));
    }

    /// Listings show the shard now.
    #[track_caller]
    pub fn is_listed(&self, shard: &ShardRef) -> bool {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.age(self.inner.base, now);
        state.shard(shard).is_listed(now)
    }

    /// A shard's children, listed or not.
    pub fn children(&self, shard: &ShardRef) -> Vec<ShardRef> {
        let state = self.inner.state.lock();
        let child = |other: &&ShardState| {
            other.name.stream == shard.stream && other.parent.as_ref() == Some(&shard.shard)
        };
        state.shards.iter().filter(child).map(|child| child.name.clone()).collect()
    }
}

impl ShardState {
    /// When listings do not show it, its first appearance included.
    pub fn hidden_times(&self) -> Vec<(Duration, Duration)> {
        let mut times = vec![(Duration::ZERO, self.listed_from)];
        times.extend(&self.hidden);
        times
    }
}
