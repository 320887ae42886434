//! Random schedules of whole streams, as plain data. The same seed is the same plan.

use std::fmt;
use std::time::Duration;

use super::super::fake::{ChildShards, Ids, ListingOrder, Rates};
use super::super::seeds::Pages;
use super::history::Wish;

mod draw;

/// One schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// What ids of shards look like.
    pub ids: Ids,
    /// How every shard answers.
    pub pages: Pages,
    /// How listings answer.
    pub listing: (usize, ListingOrder, ChildShards),
    /// CHILD_SHARDS is known.
    pub child_shards: bool,
    /// Between two looks at a shard that has nothing new.
    pub idle: Duration,
    /// Shards of the first stream at its beginning.
    pub roots: Vec<Root>,
    pub servers: usize,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// When nothing happens any more and the faults end; what was written before must arrive after it.
    pub until: Duration,
}

/// A shard that is there at the beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// How old it is.
    pub age: Duration,
    /// Its log by then: how many records, how long ago.
    pub past: Vec<(usize, Duration)>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Duration,
    pub what: Do,
}

/// What can happen. Shards are counted among those that can be meant; a number past the last means one of those there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// Records are written to an open shard.
    Write { shard: usize, count: usize, padding: usize },
    /// An unreadable entry is written to an open shard.
    Spoil { shard: usize },
    /// An open shard gets children, and closes or not.
    Split { shard: usize, children: usize, close: bool, listed_after: Duration },
    /// An open shard closes.
    Close { shard: usize },
    /// Shards that are open though they have children close: AWS lists them so for a short time only.
    CloseParents,
    /// A closed shard leaves the listing, so that its children have no parent there.
    Orphan { shard: usize },
    /// All iterators of a shard expire.
    Expire { shard: usize },
    /// Calls on all shards begin to fail by chance, or listings.
    Fail { listings: bool, rates: Rates },
    /// The next GetRecords of a shard does not answer for long.
    Hang { shard: usize },
    /// The newest stream is DISABLING, its shards close.
    Disable,
    /// It is DISABLED.
    Disabled,
    /// It is gone at once, with its shards.
    Delete,
    /// The table has a new stream: ENABLING.
    Enable,
    /// It is ENABLED, with so many shards.
    Enabled { roots: usize },
    /// A client comes.
    Come { client: usize, begin: Begin, habits: Habits },
    /// A client does nothing for a while.
    Stall { client: usize, lasts: Duration },
    /// A client goes without a word.
    Vanish { client: usize },
    /// A client breaks off, and goes on from a token of its past, with or without newer shard tokens.
    Restart { client: usize, back: usize, newer: bool },
    /// A server is killed, and another takes its place.
    Kill { server: usize },
    /// A client breaks off and comes back later with its newest token.
    Sleep { client: usize, lasts: Duration },
}

/// Where a client begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begin {
    Horizon,
    Latest,
    Ago(Duration),
}

/// What a client is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Habits {
    /// Between two messages.
    pub pause: Duration,
    /// It follows the table, not one stream.
    pub by_name: bool,
    /// It leaves the stream's name out when it has a token.
    pub nameless: bool,
    /// It ends when this much of the plan is over.
    pub until_time: Option<Duration>,
    pub wish: Wish,
}

impl Plan {
    /// Nothing fails upstream.
    pub fn is_calm(&self) -> bool {
        let fails =
            |step: &Step| matches!(step.what, Do::Fail { .. } | Do::Hang { .. } | Do::Expire { .. } | Do::Delete);
        !self.steps.iter().any(fails)
    }
}

impl Plan {
    /// How many servers there are in all, one after the other.
    pub fn lives(&self) -> usize {
        self.servers + self.steps.iter().filter(|step| matches!(step.what, Do::Kill { .. })).count()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, ids, pages, listing, child_shards, idle, roots, servers, steps, until } = self;
        writeln!(
            f,
            "plan of seed {seed} until {until:?}: {} roots, {servers} servers, idle {idle:?}, {ids:?}",
            roots.len()
        )?;
        for root in roots.iter().filter(|root| !root.age.is_zero()) {
            writeln!(f, "  {root:?}")?;
        }
        writeln!(f, "  {pages:?} {listing:?} child_shards {child_shards}")?;
        for step in steps {
            writeln!(f, "  {:>12.3?} {:?}", step.at, step.what)?;
        }
        Ok(())
    }
}
