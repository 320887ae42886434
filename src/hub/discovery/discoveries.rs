//! All streams under discovery, and the listings that they ask for.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::time::Instant;

use crate::model::StreamArn;

use super::super::dependencies::Dependencies;
use super::super::registry::Registry;
use super::super::shard::progress::ShardProgress;
use super::super::stream_names::{ResolvedStream, ShardKey};
use super::listings::Listings;
use super::stream_discovery::{Discovery, StreamDiscovery};

/// The streams under discovery, by ARN.
pub(in crate::hub) struct Discoveries {
    pub(in crate::hub) dependencies: Arc<Dependencies>,
    pub(in crate::hub) listings: Listings,
    by_stream: Registry<StreamDiscovery>,
}

impl Discoveries {
    /// No stream yet.
    pub(in crate::hub) fn new(dependencies: Arc<Dependencies>) -> Self {
        let shared = &dependencies;
        let times = (shared.clock.clone(), shared.clocks.clone());
        let metrics = shared.metrics.clone();
        let listings = Listings::new(shared.upstream.clone(), &shared.limits, times, metrics);
        Self { dependencies, listings, by_stream: Registry::default() }
    }

    /// Another follower of the stream, and the discovery itself if it is new.
    pub(super) fn follow(
        &self,
        stream: &ResolvedStream,
    ) -> (Discovery, Option<Arc<StreamDiscovery>>) {
        let make = |_| Ok::<_, Infallible>(StreamDiscovery::new(stream, &self.dependencies));
        let Ok(followed) = self.by_stream.follow(stream.arn(), make);
        followed
    }

    /// Another follower of the stream; `None` if the stream is not under discovery.
    pub(in crate::hub) fn followed(&self, stream: &StreamArn) -> Option<Discovery> {
        self.by_stream.handle(stream)
    }

    /// Forgets a discovery without followers; `false` if a new follower came in the meantime.
    pub(super) fn retire(&self, discovery: &StreamDiscovery) -> bool {
        self.by_stream.retire(discovery, || {})
    }

    /// Reports that a reader's own listing, begun at `begun`, showed whether the stream exists
    /// (`there`).
    pub(in crate::hub) fn hear(&self, stream: &StreamArn, there: bool, begun: Instant) {
        if let Some(discovery) = self.by_stream.get(stream) {
            discovery.hear(there, begun);
        }
    }

    /// The shard's last reader leaves: keeps how far it was read.
    pub(in crate::hub) fn leave_behind(&self, key: &ShardKey, progress: ShardProgress) {
        if let Some(discovery) = self.by_stream.get(&key.stream) {
            discovery.leave_behind(&key.shard, progress);
        }
    }

    /// How many streams are under discovery.
    pub(in crate::hub) fn count(&self) -> usize {
        self.by_stream.count()
    }
}
