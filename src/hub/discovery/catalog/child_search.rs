//! The search for the children of ended shards: which shard to look up, and when. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::model::ShardId;

/// Pauses between lookups of one shard's children. AWS lists them within seconds of the close,
/// usually at once; after the last lookup a whole listing will show them.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// The shards whose children are still looked for.
#[derive(Debug, Default)]
pub(super) struct Search {
    looks: HashMap<ShardId, ChildSearch>,
    /// Shards that wait for their next lookup, by its time.
    due: BTreeSet<(Instant, ShardId)>,
    running: usize,
}

#[derive(Debug)]
struct ChildSearch {
    /// When the shard's end was reported: only responses requested since then count.
    since: Instant,
    /// Responses so far.
    answers: usize,
    /// One child was found; one more lookup is to show whether it is the only one.
    last: bool,
    next: Next,
}

#[derive(Debug)]
enum Next {
    At(Instant),
    Running,
}

impl Search {
    /// Starts the search for a shard's children.
    pub(super) fn begin(&mut self, shard: &ShardId, now: Instant) {
        self.end(shard);
        self.looks.insert(
            shard.clone(),
            ChildSearch { since: now, answers: 0, last: false, next: Next::At(now) },
        );
        self.due.insert((now, shard.clone()));
    }

    /// The shard of the earliest lookup, and its time. Lookups that a listing in flight, requested
    /// at `asked`, will answer are left out.
    pub(super) fn first(&self, asked: Option<Instant>) -> Option<(Instant, &ShardId)> {
        self.unserved(asked).next()
    }

    /// Whether more than `many` lookups are due that the listing in flight will not answer.
    pub(super) fn is_crowded(&self, asked: Option<Instant>, many: usize, now: Instant) -> bool {
        self.unserved(asked).take_while(|(at, _)| *at <= now).nth(many).is_some()
    }

    /// How many lookups are in flight.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// A lookup of this shard's children begins.
    pub(super) fn run(&mut self, shard: &ShardId) {
        if let Some(look) = self.looks.get_mut(shard)
            && let Next::At(at) = std::mem::replace(&mut look.next, Next::Running)
        {
            self.due.remove(&(at, shard.clone()));
            self.running += 1;
        }
    }

    /// The lookup of this shard's children is over; it counts as without a result unless
    /// [`Self::answered`] follows.
    pub(super) fn ran(&mut self, shard: &ShardId, now: Instant) {
        if let Some(look) = self.looks.get_mut(shard)
            && matches!(look.next, Next::Running)
        {
            look.next = Next::At(now);
            self.due.insert((now, shard.clone()));
            self.running -= 1;
        }
    }

    /// The shards whose search may use a response requested at `asked`.
    pub(super) fn served(&self, asked: Instant) -> Vec<ShardId> {
        let served = self.looks.iter().filter(|(_, look)| look.since <= asked);
        served.map(|(shard, _)| shard.clone()).collect()
    }

    /// A response requested at `asked` shows this many children of the shard.
    pub(super) fn answered(
        &mut self,
        shard: &ShardId,
        asked: Instant,
        children: usize,
        now: Instant,
    ) {
        let Some(look) = self.looks.get_mut(shard).filter(|look| look.since <= asked) else {
            return;
        };
        look.answers += 1;
        let enough = match children {
            0 => false,
            1 => std::mem::replace(&mut look.last, true),
            2.. => true,
        };
        let Some(pause) = PAUSES.get(look.answers - 1).filter(|_| !enough) else {
            return self.end(shard);
        };
        // A lookup in flight sets its own time when it is over.
        if let Next::At(at) = look.next {
            look.next = Next::At(now + *pause);
            self.due.remove(&(at, shard.clone()));
            self.due.insert((now + *pause, shard.clone()));
        }
    }

    /// Ends the search for this shard's children.
    pub(super) fn end(&mut self, shard: &ShardId) {
        match self.looks.remove(shard).map(|look| look.next) {
            Some(Next::At(at)) => _ = self.due.remove(&(at, shard.clone())),
            Some(Next::Running) => self.running -= 1,
            None => {}
        }
    }

    fn unserved(&self, asked: Option<Instant>) -> impl Iterator<Item = (Instant, &ShardId)> {
        let served =
            move |shard: &ShardId| asked.is_some_and(|asked| self.looks[shard].since <= asked);
        self.due.iter().filter(move |(_, shard)| !served(shard)).map(|(at, shard)| (*at, shard))
    }
}
