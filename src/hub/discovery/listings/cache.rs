//! The cache of streams, tables and shards: each entry has a lifetime, and each kind a limit. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{Shard, ShardId, StreamArn, StreamDescription, TableName};

use super::answers::Listing;
use super::expiring_map::ExpiringMap;

/// How long the newest stream of a table's name is remembered.
const NAME_LIFE: Duration = Duration::from_secs(10);

/// How long it is remembered that something does not exist.
const MISSING_LIFE: Duration = Duration::from_secs(10);

/// A listing younger than this is as good as a new one: newer shards are found as children of those
/// in it.
pub(crate) const LISTING_AGE: Duration = Duration::from_secs(5);

/// How long a listing, or a response about its children, may be used to look up a shard in it.
pub(super) const LISTING_LIFE: Duration = Duration::from_secs(60);

/// How long a table is known to exist.
const TABLE_LIFE: Duration = Duration::from_secs(3_600);

/// The limit of entries of each kind.
const MOST: usize = 1_024;

/// The limit of entries of each kind of what does not exist: anybody can make up names.
const MOST_MISSING: usize = 4_096;

/// The limit of shards over all cached listings.
const MOST_LISTED: usize = 200_000;

/// The limit of children that were reported and may not be in the newest listing yet.
const MOST_CHILDREN: usize = 10_000;

/// All cache entries.
#[derive(Debug)]
pub(super) struct ListingCache {
    /// The newest listing of each stream, and when each closed shard in it was first seen closed:
    /// the close itself was before.
    listings: HashMap<StreamArn, (Arc<Listing>, HashMap<ShardId, Instant>)>,
    /// The number of shards over all cached listings.
    listed: usize,
    children: ExpiringMap<(StreamArn, ShardId), Shard>,
    descriptions: ExpiringMap<StreamArn, StreamDescription>,
    names: ExpiringMap<TableName, Option<StreamArn>>,
    tables: ExpiringMap<TableName, ()>,
    missing_streams: ExpiringMap<StreamArn, ()>,
    missing_shards: ExpiringMap<(StreamArn, ShardId), ()>,
}

impl Default for ListingCache {
    fn default() -> Self {
        Self {
            listings: HashMap::new(),
            listed: 0,
            children: ExpiringMap::new(LISTING_LIFE, MOST_CHILDREN),
            descriptions: ExpiringMap::new(LISTING_AGE, MOST),
            names: ExpiringMap::new(NAME_LIFE, MOST),
            tables: ExpiringMap::new(TABLE_LIFE, MOST),
            missing_streams: ExpiringMap::new(MISSING_LIFE, MOST_MISSING),
            missing_shards: ExpiringMap::new(MISSING_LIFE, MOST_MISSING),
        }
    }
}

impl ListingCache {
    /// The number of cache entries.
    pub(super) fn len(&self) -> usize {
        let closes: usize = self.listings.values().map(|(_, closes)| closes.len()).sum();
        let found =
            self.children.len() + self.descriptions.len() + self.names.len() + self.tables.len();
        self.listings.len()
            + closes
            + found
            + self.missing_streams.len()
            + self.missing_shards.len()
    }

    /// Keeps a whole listing of a stream.
    pub(super) fn listed(&mut self, stream: &StreamArn, listing: &Arc<Listing>, now: Instant) {
        let mut closes = self.forget_listing(stream);
        let shards: HashSet<&ShardId> = listing.shards.iter().map(|shard| &shard.id).collect();
        closes.retain(|id, _| shards.contains(id));
        for shard in listing.shards.iter().filter(|shard| shard.is_closed()) {
            closes.entry(shard.id.clone()).or_insert(listing.begun.into_std());
        }
        self.listed += listing.shards.len();
        self.listings.insert(stream.clone(), (listing.clone(), closes));
        self.missing_streams.forget(stream);
        self.described(stream, listing.description.clone(), now);
        while self.listings.len() > MOST || (self.listed > MOST_LISTED && self.listings.len() > 1) {
            let others = self.listings.iter().filter(|(other, _)| *other != stream);
            let oldest = others
                .min_by_key(|(_, (listing, _))| listing.ended)
                .map(|(other, _)| other.clone());
            match oldest {
                Some(oldest) => _ = self.forget_listing(&oldest),
                None => return,
            }
        }
    }

    fn forget_listing(&mut self, stream: &StreamArn) -> HashMap<ShardId, Instant> {
        let Some((listing, closes)) = self.listings.remove(stream) else { return HashMap::new() };
        self.listed -= listing.shards.len();
        closes
    }

    /// The newest listing, if it was complete less than `age` ago.
    pub(super) fn listing_within(
        &self,
        stream: &StreamArn,
        age: Duration,
        now: Instant,
    ) -> Option<Arc<Listing>> {
        let (listing, _) = self.listings.get(stream)?;
        (now.saturating_duration_since(listing.ended.into_std()) < age).then(|| listing.clone())
    }

    /// Whether the stream was listed before.
    pub(super) fn is_known(&self, stream: &StreamArn) -> bool {
        self.listings.contains_key(stream)
    }

    /// When the shard was first seen closed.
    pub(super) fn closed(&self, stream: &StreamArn, shard: &ShardId) -> Option<Instant> {
        self.listings.get(stream)?.1.get(shard).copied()
    }

    /// The shard as it was listed, or reported as a child, a short time ago.
    pub(super) fn shard(&self, stream: &StreamArn, id: &ShardId, now: Instant) -> Option<Shard> {
        let listing = self.listing_within(stream, LISTING_LIFE, now);
        let listed = listing.and_then(|listing| listing.find(id).cloned());
        listed.or_else(|| self.children.get(&(stream.clone(), id.clone()), now).cloned())
    }

    /// Keeps shards that were reported as children of another.
    pub(super) fn told(&mut self, stream: &StreamArn, shards: &[Shard], now: Instant) {
        for shard in shards {
            self.children.put((stream.clone(), shard.id.clone()), shard.clone(), now);
        }
    }

    /// The stream's description, if it is recent.
    pub(super) fn description(
        &self,
        stream: &StreamArn,
        now: Instant,
    ) -> Option<StreamDescription> {
        self.descriptions.get(stream, now).cloned()
    }

    /// Keeps a stream's description.
    pub(super) fn described(
        &mut self,
        stream: &StreamArn,
        description: StreamDescription,
        now: Instant,
    ) {
        self.descriptions.put(stream.clone(), description, now);
    }

    /// The newest stream of a table. `Some(None)`: it has none; `None`: not in the cache.
    pub(super) fn name(&self, table: &TableName, now: Instant) -> Option<Option<StreamArn>> {
        self.names.get(table, now).cloned()
    }

    /// Keeps the newest stream of a table whose streams were listed.
    pub(super) fn named(&mut self, table: &TableName, newest: Option<StreamArn>, now: Instant) {
        if newest.is_some() {
            self.tables.put(table.clone(), (), now);
        }
        self.names.put(table.clone(), newest, now);
    }

    /// Whether the table recently had a stream.
    pub(super) fn has_stream(&self, table: &TableName, now: Instant) -> bool {
        self.tables.get(table, now).is_some()
    }

    /// Keeps that the stream does not exist.
    pub(super) fn lacks_stream(&mut self, stream: &StreamArn, now: Instant) {
        self.missing_streams.put(stream.clone(), (), now);
    }

    /// Whether the stream was recently found not to exist.
    pub(super) fn is_missing(&self, stream: &StreamArn, now: Instant) -> bool {
        self.missing_streams.get(stream, now).is_some()
    }

    /// Keeps that the shard does not exist.
    pub(super) fn lacks_shard(&mut self, stream: &StreamArn, shard: &ShardId, now: Instant) {
        self.missing_shards.put((stream.clone(), shard.clone()), (), now);
    }

    /// Whether the shard was recently found not to exist.
    pub(super) fn is_shard_missing(
        &self,
        stream: &StreamArn,
        shard: &ShardId,
        now: Instant,
    ) -> bool {
        self.missing_shards.get(&(stream.clone(), shard.clone()), now).is_some()
    }
}
