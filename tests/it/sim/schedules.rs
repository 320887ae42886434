//! Random schedules: what happens upstream and what clients do, as plain data. The same seed is the
//! same plan.
//!
//! Two ways to draw one: for clients of single shards ([`Plan::of_shards`]), and for subscribers of
//! whole streams ([`Plan::of_streams`]). What they draw is one language, played by one driver.

use std::fmt;
use std::time::Duration;

use crate::sim::fake::{ChildShards, Empties, EntryKind, Ids, ListingOrder, Rates, Shared};
use crate::sim::history::subscribed::Wish;

mod draw;
mod shards;
mod streams;
mod wider;

/// One schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// What ids of shards look like.
    pub ids: Ids,
    /// How old the first stream is at the beginning.
    pub age: Duration,
    /// Its shards by then.
    pub roots: Vec<Root>,
    /// Between two looks at a shard that has nothing new.
    pub idle: Duration,
    /// How many servers there are at one time.
    pub servers: usize,
    /// How every shard answers.
    pub pages: Pages,
    /// How streams are listed.
    pub listings: Listings,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// When nothing happens any more and the faults end; what was written before must arrive after
    /// it.
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

/// How every shard answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pages {
    /// Records of one page.
    pub records: usize,
    /// Empty pages before data.
    pub empties: Empties,
    /// The longest a call takes.
    pub latency: Duration,
    /// The end of a closed shard comes by itself.
    pub end_alone: bool,
    /// AT_TIMESTAMP is known.
    pub at_timestamp: bool,
    /// A few records that are written at one time bear one number.
    pub shared: Option<Shared>,
    /// So far is the `Date` of AWS's answers ahead of its own stamps.
    pub date_ahead: Duration,
    /// So far is AWS's clock, with stamps and `Date` alike, behind the servers'.
    pub behind: Duration,
    /// Records are stamped with their time rounded down to so many seconds; 0: they bear no time.
    pub grain: u64,
}

/// How streams are listed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listings {
    /// Shards of one page.
    pub shards: usize,
    /// Their order.
    pub order: ListingOrder,
    /// What becomes of the filter CHILD_SHARDS; `None`: the upstream is known not to have it.
    pub children: Option<ChildShards>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Do,
}

/// What can happen. Shards and clients are counted among those that can be meant; a number past the
/// last means one of those there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// Records are written to an open shard.
    Write { shard: usize, count: usize, padding: usize },
    /// One bad entry is written to an open shard.
    Spoil { shard: usize, kind: EntryKind },
    /// An open shard gets children, and closes or not; without children it only closes. `loose`:
    /// even if it has a child already, and its children may be listed before itself.
    Split { shard: usize, children: usize, close: bool, listed_after: Duration, loose: bool },
    /// An open shard closes.
    Close { shard: usize },
    /// Shards that are open though they have children close: AWS lists them so for a short time
    /// only.
    CloseParents,
    /// A closed shard leaves the listing, so that its children have no parent there.
    Orphan { shard: usize },
    /// All iterators of a shard expire.
    Expire { shard: usize },
    /// Calls on a shard begin to fail by chance.
    Fail { shard: usize, rates: Rates },
    /// Calls on all shards begin to fail by chance.
    FailAll { rates: Rates },
    /// Listings begin to fail by chance.
    FailListings { rates: Rates },
    /// The next GetRecords of a shard does not answer for long.
    Hang { shard: usize },
    /// Listings do not show a shard for a while.
    Hide { shard: usize, lasts: Duration },
    /// The table is made anew: its stream begins to close, another begins, perhaps with a shard of
    /// the first one's name.
    Recreate { same_id: bool },
    /// The newest stream is DISABLING, its shards close.
    Disable,
    /// The stream that is DISABLING for longest is DISABLED.
    Disabled,
    /// The newest stream is gone at once, with its shards.
    Delete,
    /// The table has a new stream: ENABLING.
    Enable,
    /// It is ENABLED, with so many shards.
    Enabled { roots: usize },
    /// A server is killed, and another takes its place.
    Kill { server: usize },
    /// Somebody asks for a shard's children; `by_table`: of the shard of that name in the table's
    /// newest stream.
    Ask { shard: usize, by_table: bool },
    /// A client of one shard comes.
    Come { client: usize, shard: usize, way: Way, place: Spot, habits: Habits },
    /// A subscriber of a whole stream comes.
    Subscribe { client: usize, begin: Begin, habits: SubscriberHabits },
    /// A client does nothing for a while.
    Stall { client: usize, lasts: Duration },
    /// A client goes without a word.
    Vanish { client: usize },
    /// A client goes elsewhere in its shard, in mid-stream if it streams.
    Jump { client: usize, place: Spot },
    /// A client looks for a time in its shard.
    Seek { client: usize, ago: Duration },
    /// A client's next answer is lost; it asks for it again, or goes on.
    Lose { client: usize, repeat: bool },
    /// A client begins anew from a token of some client's past.
    Resume { client: usize, of: usize, back: usize },
    /// A subscriber breaks off, and goes on from a token of its past, with or without newer shard
    /// tokens.
    Restart { client: usize, back: usize, newer: bool },
    /// A subscriber breaks off and comes back later with its newest token.
    Sleep { client: usize, lasts: Duration },
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// StreamRecords from a start.
    Stream,
    /// GetRecords on a lease.
    Lease,
    /// StreamRecords on a lease, and GetRecords between two streams.
    LeaseStream,
    /// GetRecords without a lease.
    Unary,
}

/// A place in a shard, found when it is needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spot {
    Horizon,
    Latest,
    /// At or after one of the numbers there are, that far into the log.
    Number {
        into: f64,
        after: bool,
    },
    /// At a time.
    Ago(Duration),
}

/// What a client is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// Between two messages or answers.
    pub pause: Duration,
    /// Records it wants at one time.
    pub records: usize,
    /// Bytes it wants at one time.
    pub bytes: usize,
    /// Gaps do not end its streams.
    pub pass_gaps: bool,
    /// Unreadable records do not end its streams and answers.
    pub skip_unreadable: bool,
    /// How long its GetRecords waits.
    pub wait: Duration,
}

/// Where a subscriber begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begin {
    Horizon,
    Latest,
    Ago(Duration),
}

/// What a subscriber is like.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriberHabits {
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
        let fails = |step: &Step| {
            let failing =
                matches!(step.what, Do::Fail { .. } | Do::FailAll { .. } | Do::FailListings { .. });
            failing || matches!(step.what, Do::Hang { .. } | Do::Expire { .. } | Do::Delete)
        };
        !self.steps.iter().any(fails)
    }

    /// How many servers there are in all, one after the other.
    pub fn lives(&self) -> usize {
        self.servers + self.steps.iter().filter(|step| matches!(step.what, Do::Kill { .. })).count()
    }

    /// The same plan without those clients.
    pub fn without(&self, clients: &[usize]) -> Self {
        let mut plan = self.clone();
        plan.steps
            .retain(|step| step.what.client().is_none_or(|client| !clients.contains(&client)));
        plan
    }

    /// The clients that stall at some time.
    pub fn stalled(&self) -> Vec<usize> {
        let stall = |step: &Step| match step.what {
            Do::Stall { client, .. } => Some(client),
            _ => None,
        };
        let mut stalled: Vec<_> = self.steps.iter().filter_map(stall).collect();
        stalled.sort_unstable();
        stalled.dedup();
        stalled
    }
}

impl Do {
    /// Whom it is about, if about a client.
    pub fn client(&self) -> Option<usize> {
        match self {
            Self::Come { client, .. }
            | Self::Subscribe { client, .. }
            | Self::Stall { client, .. }
            | Self::Vanish { client }
            | Self::Jump { client, .. }
            | Self::Seek { client, .. }
            | Self::Lose { client, .. }
            | Self::Resume { client, .. }
            | Self::Restart { client, .. }
            | Self::Sleep { client, .. } => Some(*client),
            _ => None,
        }
    }
}

impl Pages {
    /// How far clocks are apart in the plan of a seed. Drawn apart, so that what a seed draws
    /// beside it stays what it was.
    pub fn date_ahead(seed: u64) -> Duration {
        let mut chance = fastrand::Rng::with_seed(seed ^ 0x0063_6c6f_636b);
        if chance.u8(0..4) > 0 { Duration::ZERO } else { Duration::from_secs(chance.u64(1..600)) }
    }

    /// How far AWS's clock is behind in the plan of a seed, drawn apart. Not where its `Date` is
    /// ahead of its stamps: then nobody could know of it.
    pub fn behind(seed: u64) -> Duration {
        let mut chance = fastrand::Rng::with_seed(seed ^ 0x6265_6869_6e64);
        let apart = chance.u8(0..3) == 0 && Self::date_ahead(seed).is_zero();
        if apart { Duration::from_secs(chance.u64(1..600)) } else { Duration::ZERO }
    }

    /// How coarse stamps are in the plan of a seed, or that there are none (0), drawn apart.
    pub fn grain(seed: u64) -> u64 {
        let mut chance = fastrand::Rng::with_seed(seed ^ 0x0067_7261_696e);
        let grain = [1, 1, 1, 1, 1, 10, 60, 600][chance.usize(0..8)];
        if chance.u8(0..8) == 0 { 0 } else { grain }
    }

    /// Whether what is written at one time bears one number, drawn apart: everything else of a seed
    /// stays what it was.
    pub fn shared_numbers(seed: u64) -> Option<Shared> {
        let mut chance = fastrand::Rng::with_seed(seed ^ 0x00a1_1ce5);
        [None, None, Some(Shared::Cut), Some(Shared::Whole)][chance.usize(0..4)]
    }
}

impl Listings {
    /// As AWS lists them.
    pub const USUAL: Self =
        Self { shards: 100, order: ListingOrder::ById, children: Some(ChildShards::Known) };
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, ids, age, roots, idle, servers, pages, listings, steps, until } = self;
        let (count, old) = (roots.len(), roots.iter().filter(|root| !root.age.is_zero()));
        writeln!(
            f,
            "plan of seed {seed} until {until:?}: {count} roots in {age:?}, {servers} servers, idle {idle:?}"
        )?;
        old.into_iter().try_for_each(|root| writeln!(f, "  {root:?}"))?;
        writeln!(f, "  {ids:?} {pages:?} {listings:?}")?;
        steps.iter().try_for_each(|step| writeln!(f, "  {:>12.3?} {:?}", step.at, step.what))
    }
}
