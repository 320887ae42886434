//! A look at what there is that costs little.

use std::time::Duration;

use shardstream::model::{ShardId, StreamArn, StreamStatus, Timestamp};
use shardstream::upstream::DescribePage;

use super::truth::EntryTruth;
use super::{FakeUpstream, ShardRef};

/// One shard, its entries aside.
#[derive(Clone, Debug)]
pub struct ShardGlance {
    /// Its place among all shards of the fake.
    pub ordinal: usize,
    /// Its name.
    pub name: ShardRef,
    /// Its parent.
    pub parent: Option<ShardId>,
    /// When it was made, as its id says.
    pub created: Timestamp,
    /// A listing shows it.
    pub listed: bool,
    /// From when on listings show it.
    pub listed_from: Duration,
    /// How many entries are trimmed.
    pub trimmed: usize,
    /// How many entries were ever written.
    pub written: usize,
    /// It is closed.
    pub closed: bool,
}

impl FakeUpstream {
    /// The shards of a stream.
    pub fn glance(&self, stream: &StreamArn) -> Vec<ShardGlance> {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.age(self.inner.base, now);
        let shards = state.shards.iter().filter(|shard| shard.name.stream == *stream);
        let look = |shard: &super::state::ShardState| ShardGlance {
            ordinal: shard.ordinal as usize,
            name: shard.name.clone(),
            parent: shard.parent.clone(),
            created: shard.created,
            listed: shard.is_listed(now),
            listed_from: shard.listed_from,
            trimmed: shard.trimmed,
            written: shard.log.len(),
            closed: shard.closed.is_some(),
        };
        shards.map(look).collect()
    }

    /// Nothing tells where a time is in a shard: its records bear none, and AT_TIMESTAMP is not
    /// known.
    #[track_caller]
    pub fn is_timeless(&self, shard: &ShardRef) -> bool {
        let state = self.inner.state.lock();
        !state.traits.at_timestamp && state.shard(shard).behaviour.grain == 0
    }

    /// Entries of a shard's full log.
    #[track_caller]
    pub fn entries(&self, shard: &ShardRef, range: std::ops::Range<usize>) -> Vec<EntryTruth> {
        self.inner.state.lock().shard(shard).entries(range)
    }

    /// A whole listing of a stream on one page, made beside all calls.
    #[track_caller]
    pub fn listed(&self, stream: &StreamArn) -> DescribePage {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.age(self.inner.base, now);
        let size = std::mem::replace(&mut state.listing.page_shards, usize::MAX);
        let page =
            state.describe(stream, None, None, (now, self.wall())).expect("a stream of the fake");
        state.listing.page_shards = size;
        page
    }

    /// What DescribeStream says of a stream; `None` when there is none.
    pub fn status(&self, stream: &StreamArn) -> Option<StreamStatus> {
        let state = self.inner.state.lock();
        state.streams.iter().find(|known| known.arn == *stream).map(|known| known.status)
    }

    /// The streams of a table that are there, oldest first.
    pub fn streams_of(&self, table: &str) -> Vec<StreamArn> {
        let state = self.inner.state.lock();
        let known = state.streams.iter().map(|stream| &stream.arn);
        known.filter(|arn| arn.table().is_some_and(|own| own.as_str() == table)).cloned().collect()
    }

    /// The stream that was made last, whether or not it is still there.
    #[track_caller]
    pub fn newest_stream(&self) -> StreamArn {
        self.inner.state.lock().fates.last().expect("a stream").arn.clone()
    }
}
