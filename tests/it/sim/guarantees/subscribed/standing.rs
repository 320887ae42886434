//! Where a subscriber stands in a whole stream: between which two entries of each shard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shardstream::model::Timestamp;

use super::world::World;
use crate::sim::fake::OLD;
use crate::sim::guarantees::place::{LATEST_SLACK, Place};

/// A time may show what was stamped this long before it.
const SINCE_SLACK: Duration = Duration::from_secs(2);

/// Where a subscriber stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// It goes on with the table's next stream.
    pub by_name: bool,
    /// The stream it began in: its shards begin by the rule, those of later streams at their
    /// beginning.
    pub first: usize,
    /// The stream it is in.
    pub stream: usize,
    pub rule: Rule,
    /// Shards that are begun.
    pub places: BTreeMap<usize, Place>,
    /// Shards of which a gap was told.
    pub lost: BTreeSet<usize>,
    /// Streams that AWS forgot, and it was told.
    pub replaced: BTreeSet<usize>,
    /// It comes from a token: when a place was asked for is not known any more.
    pub resumed: bool,
}

/// Where shards begin that are not begun yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    Horizon { asked: Duration },
    Latest { asked: Duration, opened: Duration },
    Since { time: Timestamp, asked: Duration },
}

impl Standing {
    /// Where a shard is to go on.
    pub fn place(&self, world: &World, ordinal: usize) -> Place {
        if let Some(place) = self.places.get(&ordinal) {
            return place.clone();
        }
        let shard = world.shard(ordinal);
        let stream = &world.truth.streams[world.stream[ordinal]];
        // Emulators' ids do not say when a shard was made: only the stream does.
        let of_stream = || stream.arn.created().unwrap_or(world.truth.base.plus(stream.made));
        let created =
            if shard.name.shard.created().is_some() { shard.created } else { of_stream() };
        let at = |low, high, floats, known| {
            let given = (!self.resumed).then(|| world.truth.ours(self.rule.asked()));
            Place {
                low,
                high,
                floats,
                known: Some(known),
                given,
                carried: self.resumed,
                ..Place::default()
            }
        };
        // What was there from the beginning was listed long before.
        let is_new = |since: Duration| !shard.listed_from.is_zero() && shard.listed_from >= since;
        if world.stream[ordinal] != self.first {
            return at(0, 0, None, created);
        }
        match self.rule {
            Rule::Horizon { asked } => at(0, 0, Some(asked), created),
            Rule::Latest { asked, opened } => {
                // An empty page may lie about the end to a server that was there.
                let hidden = world.reading.hidden_by(shard);
                let from = asked.saturating_sub(LATEST_SLACK + hidden);
                let high = shard.first_written_after(opened);
                // Children of an open shard begin at their beginning, and so do shards that were
                // listed later.
                let parent_open =
                    world.parent[ordinal].is_some_and(|parent| !world.is_closed(parent, from));
                let whole = is_new(from) || parent_open;
                // A resume by time allows for the grain of the stamps.
                let coarse = world.truth.grain > Duration::from_secs(1);
                let by_time = || shard.first_since(world.truth.floor(world.truth.base.plus(from)));
                let low = match shard.first_written_after(from) {
                    _ if whole => 0,
                    low if coarse => low.min(by_time()),
                    low => low,
                };
                at(low.min(high), high, None, created.max(world.truth.ours(asked)))
            }
            Rule::Since { time, asked } => {
                let from = world.truth.floor(time);
                let age = world.truth.ours(asked).since(from);
                let late = is_new(asked.saturating_sub(LATEST_SLACK));
                let low = if late { 0 } else { shard.first_since(from.minus(SINCE_SLACK)) };
                let high = shard.first_since(time.floor());
                at(low.min(high), high, (age >= OLD).then_some(asked), created.max(from))
            }
        }
    }

    /// Keeps where a shard is to go on.
    pub fn put(&mut self, ordinal: usize, place: Place) {
        self.places.insert(ordinal, place);
    }

    /// A token was taken here and resumed.
    pub fn resume(&mut self) {
        self.resumed = true;
        for place in self.places.values_mut() {
            (place.carried, place.given) = (true, None);
        }
    }

    /// A gap was told that stands for a shard that is gone: its own, or that of a shard it descends
    /// from or that descends from it, because nobody may know its name any more.
    pub fn is_covered(&self, world: &World, ordinal: usize, at: Duration) -> bool {
        self.replaced.contains(&world.stream[ordinal])
            || (world.has_vanished(ordinal, at)
                && self.lost.iter().any(|lost| world.are_related(*lost, ordinal)))
    }
}

impl Rule {
    /// When the start was asked for.
    pub fn asked(self) -> Duration {
        let (Self::Horizon { asked } | Self::Latest { asked, .. } | Self::Since { asked, .. }) =
            self;
        asked
    }
}
