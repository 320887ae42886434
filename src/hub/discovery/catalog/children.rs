//! The search for the children of ended shards: who is looked for, and when next. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::model::ShardId;

/// Pauses between two looks for the children of one shard. AWS lists them within seconds of the
/// close, most times at once; after the last look a whole listing will show them.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// Shards that have looks before them.
#[derive(Debug, Default)]
pub(super) struct Search {
    looks: HashMap<ShardId, ChildSearch>,
    /// Those that wait for their time, by it.
    due: BTreeSet<(Instant, ShardId)>,
    running: usize,
}

#[derive(Debug)]
struct ChildSearch {
    /// When the shard's end was reported: only answers asked for since then count.
    since: Instant,
    /// Answers so far.
    answers: usize,
    /// One child was found, and one more look is to tell whether it is the only one.
    last: bool,
    next: Next,
}

#[derive(Debug)]
enum Next {
    At(Instant),
    Running,
}

impl Search {
    /// The children of a shard are wanted from now on.
    pub fn begin(&mut self, shard: &ShardId, now: Instant) {
        self.end(shard);
        self.looks.insert(
            shard.clone(),
            ChildSearch { since: now, answers: 0, last: false, next: Next::At(now) },
        );
        self.due.insert((now, shard.clone()));
    }

    /// The shard of the earliest look that no answer under way will serve, and its time.
    pub fn first(&self, asked: Option<Instant>) -> Option<(Instant, &ShardId)> {
        self.unserved(asked).next()
    }

    /// Whether more looks than `many` are due that no answer under way will serve.
    pub fn is_crowded(&self, asked: Option<Instant>, many: usize, now: Instant) -> bool {
        self.unserved(asked).take_while(|(at, _)| *at <= now).nth(many).is_some()
    }

    /// How many calls are under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// A call for this shard alone begins.
    pub fn run(&mut self, shard: &ShardId) {
        if let Some(look) = self.looks.get_mut(shard)
            && let Next::At(at) = std::mem::replace(&mut look.next, Next::Running)
        {
            self.due.remove(&(at, shard.clone()));
            self.running += 1;
        }
    }

    /// The call for this shard alone is over; without a word on its children unless
    /// [`Self::answered`] follows.
    pub fn ran(&mut self, shard: &ShardId, now: Instant) {
        if let Some(look) = self.looks.get_mut(shard)
            && matches!(look.next, Next::Running)
        {
            look.next = Next::At(now);
            self.due.insert((now, shard.clone()));
            self.running -= 1;
        }
    }

    /// The shards whose look is served by an answer asked for at `asked`.
    pub fn served(&self, asked: Instant) -> Vec<ShardId> {
        let served = self.looks.iter().filter(|(_, look)| look.since <= asked);
        served.map(|(shard, _)| shard.clone()).collect()
    }

    /// An answer asked for at `asked` shows so many children of the shard.
    pub fn answered(&mut self, shard: &ShardId, asked: Instant, children: usize, now: Instant) {
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
        // A call that is under way says when it is over.
        if let Next::At(at) = look.next {
            look.next = Next::At(now + *pause);
            self.due.remove(&(at, shard.clone()));
            self.due.insert((now + *pause, shard.clone()));
        }
    }

    /// No more looks for this shard.
    pub fn end(&mut self, shard: &ShardId) {
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
