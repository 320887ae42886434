//! An upstream with a fault of the program in it: it panics before calls that are meant.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use shardstream::model::{Fetched, ShardId, StreamArn, TableName};
use shardstream::upstream::{
    DescribePage, IssuedIterator, IteratorStart, StreamsPage, Upstream, UpstreamError,
    UpstreamTraits,
};

use crate::sim::fake::FakeUpstream;

/// What is about to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Streams,
    Listing,
    Children,
    /// A call for an iterator is put together: nothing is awaited yet.
    IteratorMade,
    Iterator,
    Page,
}

/// The fake, with a fault before each call that `fails` chooses.
pub struct Faulty<F> {
    fake: FakeUpstream,
    fails: F,
}

impl<F: Fn(Before) -> bool + Send + Sync + 'static> Faulty<F> {
    pub fn over(fake: &FakeUpstream, fails: F) -> Arc<Self> {
        Arc::new(Self { fake: fake.clone(), fails })
    }

    fn meet(&self, call: Before) {
        if (self.fails)(call) {
            panic!("a fault, on purpose");
        }
    }
}

#[async_trait]
impl<F: Fn(Before) -> bool + Send + Sync + 'static> Upstream for Faulty<F> {
    fn traits(&self) -> UpstreamTraits {
        self.fake.traits()
    }

    async fn list_streams(
        &self,
        table: Option<&TableName>,
        start: Option<&str>,
        limit: u32,
    ) -> Result<StreamsPage, UpstreamError> {
        self.meet(Before::Streams);
        self.fake.list_streams(table, start, limit).await
    }

    async fn describe_stream(
        &self,
        stream: &StreamArn,
        children_of: Option<&ShardId>,
        start: Option<&ShardId>,
    ) -> Result<DescribePage, UpstreamError> {
        self.meet(if children_of.is_some() { Before::Children } else { Before::Listing });
        self.fake.describe_stream(stream, children_of, start).await
    }

    /// What an async function stands for, so that it can fail before it is awaited.
    fn shard_iterator<'s, 'n, 'h, 'c>(
        &'s self,
        stream: &'n StreamArn,
        shard: &'h ShardId,
        start: IteratorStart,
    ) -> Pin<Box<dyn Future<Output = Result<IssuedIterator, UpstreamError>> + Send + 'c>>
    where
        Self: 'c,
        's: 'c,
        'n: 'c,
        'h: 'c,
    {
        self.meet(Before::IteratorMade);
        Box::pin(async move {
            self.meet(Before::Iterator);
            self.fake.shard_iterator(stream, shard, start).await
        })
    }

    async fn records(&self, iterator: &str, limit: u32) -> Result<Fetched, UpstreamError> {
        self.meet(Before::Page);
        Upstream::records(&self.fake, iterator, limit).await
    }
}
