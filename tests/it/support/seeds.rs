//! Random schedules: what happens upstream and what clients do, as plain data. The same seed is the same plan.

use std::fmt;
use std::time::Duration;

use super::fake::{ChildShards, Empties, EntryKind, ListingOrder, Rates, Shared};

mod draw;
mod wider;

/// One schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// How old the first shard is at the beginning.
    pub age: Duration,
    /// The first shard's log before the beginning: how many records, how long ago.
    pub past: Vec<(usize, Duration)>,
    /// How every shard answers.
    pub pages: Pages,
    /// How streams are listed.
    pub listings: Listings,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// When nothing happens any more and the faults end; what was written before must arrive after it.
    pub until: Duration,
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

/// What can happen. Shards and clients are counted; a number past the last means one of those there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    /// Records are written.
    Write { shard: usize, count: usize, padding: usize },
    /// One bad entry is written.
    Spoil { shard: usize, kind: EntryKind },
    /// A shard splits; without children it only closes.
    Split { shard: usize, children: usize, close: bool, listed_after: Duration },
    /// All iterators of a shard expire.
    Expire { shard: usize },
    /// Calls on a shard begin to fail by chance.
    Fail { shard: usize, rates: Rates },
    /// The next GetRecords of a shard does not answer, ever.
    Hang { shard: usize },
    /// Listings do not show a shard for a while.
    Hide { shard: usize, lasts: Duration },
    /// The table is made anew: its stream is closed, another begins, perhaps with a shard of the first one's name.
    Recreate { same_id: bool },
    /// The stream that is being closed for longest is closed now.
    Disabled,
    /// Listings begin to fail by chance.
    FailListings { rates: Rates },
    /// Somebody asks for a shard's children; `by_table`: of the shard of that name in the table's newest stream.
    Ask { shard: usize, by_table: bool },
    /// A client comes.
    Come { client: usize, shard: usize, way: Way, place: Spot, habits: Habits },
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

impl Plan {
    /// The same plan without those clients.
    pub fn without(&self, clients: &[usize]) -> Self {
        let mut plan = self.clone();
        plan.steps.retain(|step| step.what.client().is_none_or(|client| !clients.contains(&client)));
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
            | Self::Stall { client, .. }
            | Self::Vanish { client }
            | Self::Jump { client, .. }
            | Self::Seek { client, .. }
            | Self::Lose { client, .. }
            | Self::Resume { client, .. } => Some(*client),
            _ => None,
        }
    }
}

impl Pages {
    /// How far clocks are apart in the plan of a seed. Drawn apart, so that what a seed draws beside it stays what it was.
    pub fn date_ahead(seed: u64) -> Duration {
        let mut chance = fastrand::Rng::with_seed(seed ^ 0x0063_6c6f_636b);
        if chance.u8(0..4) > 0 { Duration::ZERO } else { Duration::from_secs(chance.u64(1..600)) }
    }

    /// How far AWS's clock is behind in the plan of a seed, drawn apart. Not where its `Date` is ahead of its stamps: then nobody
    /// could know of it.
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
    pub const USUAL: Self = Self { shards: 100, order: ListingOrder::ById, children: Some(ChildShards::Known) };
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan of seed {} until {:?}: {:?}", self.seed, self.until, self.pages)?;
        writeln!(f, "  before, in {:?}: {:?}", self.age, self.past)?;
        writeln!(f, "  {:?}", self.listings)?;
        for step in &self.steps {
            writeln!(f, "  {:>12.3?} {:?}", step.at, step.what)?;
        }
        Ok(())
    }
}
