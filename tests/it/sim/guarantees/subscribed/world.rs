//! The fake's truth, with the relations between shards looked up once.

use std::collections::HashMap;
use std::time::Duration;

use shardstream::model::StreamArn;
use shardstream::upstream::{ErrorClass, Operation};

use crate::sim::fake::{Call, EntryTruth, Outcome, ShardTruth, Truth};
use crate::sim::guarantees::Reading;

/// Shards go by their ordinal, streams by their place in the order of birth.
pub struct World<'a> {
    pub truth: &'a Truth,
    pub reading: Reading,
    /// Of each shard.
    pub stream: Vec<usize>,
    pub parent: Vec<Option<usize>>,
    pub children: Vec<Vec<usize>>,
    named: HashMap<(usize, &'a str), usize>,
    /// When AWS first said that there is no such shard.
    refused: HashMap<usize, Duration>,
}

impl<'a> World<'a> {
    pub fn new(truth: &'a Truth, reading: Reading) -> Self {
        let stream_of = |shard: &ShardTruth| {
            truth
                .streams
                .iter()
                .position(|stream| stream.arn == shard.name.stream)
                .expect("a stream of the fake")
        };
        let stream: Vec<_> = truth.shards.iter().map(stream_of).collect();
        let names = truth.shards.iter().enumerate();
        let named: HashMap<_, _> = names
            .map(|(ordinal, shard)| ((stream[ordinal], shard.name.shard.as_str()), ordinal))
            .collect();
        let parents = truth.shards.iter().enumerate().map(|(ordinal, shard)| {
            let parent = shard.parent.as_ref()?;
            named.get(&(stream[ordinal], parent.as_str())).copied()
        });
        let parent: Vec<Option<usize>> = parents.collect();
        let mut children = vec![Vec::new(); truth.shards.len()];
        for (child, parent) in parent.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(child);
            }
        }
        let refused = HashMap::new();
        let mut world = Self { truth, reading, stream, parent, children, named, refused };
        world.refused = world.refusals();
        world
    }

    fn refusals(&self) -> HashMap<usize, Duration> {
        let mut refused = HashMap::new();
        let not_found = |call: &&Call| {
            call.operation != Operation::ListStreams
                && call.outcome == Outcome::Failed(ErrorClass::NotFound)
        };
        for call in self.truth.calls.iter().filter(not_found) {
            let Some(name) = &call.shard else { continue };
            let shard = self.truth.shards.iter().position(|shard| shard.name == *name);
            // What is said in passing of a shard that is there means nothing.
            let shard = shard
                .filter(|shard| self.shard(*shard).gone || self.shard(*shard).unlisted.is_some());
            if let (Some(shard), Some(ended)) = (shard, call.ended) {
                refused.entry(shard).or_insert(ended);
            }
        }
        refused
    }

    pub fn shard(&self, ordinal: usize) -> &'a ShardTruth {
        &self.truth.shards[ordinal]
    }

    /// The shard of that name in a stream.
    pub fn named(&self, stream: usize, name: &str) -> Option<usize> {
        self.named.get(&(stream, name)).copied()
    }

    pub fn stream_named(&self, arn: &StreamArn) -> Option<usize> {
        self.truth.streams.iter().position(|stream| stream.arn == *arn)
    }

    /// The shards of a stream.
    pub fn shards_of(&self, stream: usize) -> impl Iterator<Item = usize> {
        (0..self.truth.shards.len()).filter(move |ordinal| self.stream[*ordinal] == stream)
    }

    /// The newest stream of a table that there is at a time.
    pub fn newest_of(&self, table: &str, at: Duration) -> Option<usize> {
        (0..self.truth.streams.len())
            .rfind(|number| self.is_of(*number, table) && self.is_there(*number, at))
    }

    fn is_of(&self, stream: usize, table: &str) -> bool {
        self.truth.streams[stream].arn.table().is_some_and(|own| own.as_str() == table)
    }

    pub fn is_there(&self, stream: usize, at: Duration) -> bool {
        let stream = &self.truth.streams[stream];
        stream.made <= at && stream.deleted.is_none_or(|deleted| deleted > at)
    }

    /// The oldest stream of the same table that is newer and there.
    pub fn next_after(&self, stream: usize, at: Duration) -> Option<usize> {
        let table = self.truth.streams[stream].arn.table()?;
        (stream + 1..self.truth.streams.len())
            .find(|number| self.is_of(*number, table.as_str()) && self.is_there(*number, at))
    }

    /// Listings do not show it any more.
    pub fn is_hidden(&self, shard: usize, at: Duration) -> bool {
        self.shard(shard).unlisted.is_some_and(|since| since <= at)
    }

    /// An entry went with its shard, by age or with its stream: it was listed as long as the entry
    /// was there.
    pub fn expired_with(&self, shard: usize, entry: &EntryTruth) -> bool {
        let unlisted = self.shard(shard).unlisted;
        let by_age =
            unlisted.zip(entry.trimmed).is_some_and(|(unlisted, trimmed)| trimmed <= unlisted);
        by_age || (unlisted.is_some() && unlisted == self.truth.streams[self.stream[shard]].deleted)
    }

    /// It is not listed any more, or AWS said that there is no such shard.
    pub fn has_vanished(&self, shard: usize, at: Duration) -> bool {
        self.is_hidden(shard, at) || self.refused.get(&shard).is_some_and(|refused| *refused <= at)
    }

    pub fn is_closed(&self, shard: usize, at: Duration) -> bool {
        self.shard(shard).closed.is_some_and(|closed| closed <= at)
    }

    /// All shards above a shard, parents first.
    pub fn ancestors(&self, shard: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parent[shard], |above| self.parent[*above])
    }

    /// One descends from the other, or they are the same.
    pub fn are_related(&self, one: usize, other: usize) -> bool {
        one == other
            || self.ancestors(one).any(|above| above == other)
            || self.ancestors(other).any(|above| above == one)
    }
}
