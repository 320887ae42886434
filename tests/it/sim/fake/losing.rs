//! What happens on AWS's side: trims, expired iterators, shards that vanish.

use std::time::Duration;

use shardstream::model::StreamArn;

use super::{FakeUpstream, ShardRef};

impl FakeUpstream {
    /// Trims all but the newest `kept` entries, whatever their age.
    #[track_caller]
    pub fn trim_to_newest(&self, shard: &ShardRef, kept: usize) {
        let now = self.now();
        let mut state = self.inner.state.lock();
        let shard = state.shard_mut(shard);
        shard.trim_to(shard.log.len().saturating_sub(kept), now);
    }

    /// Makes every iterator given out so far an expired one.
    #[track_caller]
    pub fn expire_iterators(&self, shard: &ShardRef) {
        let now = self.now();
        self.inner.state.lock().shard_mut(shard).expired_before = now + Duration::from_nanos(1);
    }

    /// Takes a shard out of the listing, or puts it back; it can be read all the same.
    #[track_caller]
    pub fn set_unlisted(&self, shard: &ShardRef, unlisted: bool) {
        let now = self.now();
        self.inner.state.lock().shard_mut(shard).unlisted = unlisted.then_some(now);
    }

    /// Listings show every shard of a stream that was only late.
    pub fn list_all(&self, stream: &StreamArn) {
        let now = self.now();
        let mut state = self.inner.state.lock();
        for shard in state.shards.iter_mut().filter(|shard| shard.name.stream == *stream) {
            shard.listed_from = shard.listed_from.min(now);
        }
    }

    /// Answers NotFound for a shard, or no longer; it is listed all the same.
    #[track_caller]
    pub fn set_gone(&self, shard: &ShardRef, gone: bool) {
        self.inner.state.lock().shard_mut(shard).gone = gone;
    }
}
