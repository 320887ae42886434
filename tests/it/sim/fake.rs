//! DynamoDB Streams in memory, on tokio's clock: the same seed and the same calls give the same
//! answers.
//!
//! It splits shards, lists late, trims, expires iterators, pauses between records, throttles, fails
//! and hangs, as told or by seeded chance; and it notes down every call. What it holds is the truth
//! the guarantees are checked against ([`FakeUpstream::truth`]).

mod behaviour;
mod body;
mod calls;
mod entry;
mod glance;
mod hiding;
mod iterator;
mod listing;
mod losing;
mod script;
mod serving;
mod state;
#[cfg(test)]
mod tests;
mod truth;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shardstream::model::{ShardId, StreamArn, Timestamp};
use shardstream::upstream::{Endpoint, UpstreamTraits};
use tokio::time::Instant;

pub use behaviour::{
    Behaviour, ChildShards, Empties, Fault, HIDDEN, Ids, Listing, ListingOrder, Numbers, Rates,
    Shared,
};
pub use calls::{Asked, Call, Outcome};
pub use entry::{EntryId, EntryKind};
pub use glance::ShardGlance;
pub use script::{Answer, Gate};
pub use truth::{EntryTruth, OLD, ShardTruth, Truth, is_of};
pub use writing::{Split, Writing};

use state::State;

/// The upstream; clones are the same one.
#[derive(Clone)]
pub struct FakeUpstream {
    inner: Arc<Inner>,
}

struct Inner {
    started: Instant,
    base: Timestamp,
    /// Never held across an await.
    state: Mutex<State>,
}

/// A shard of a stream of the fake: shard ids are unique within their stream only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardRef {
    /// Its stream.
    pub stream: StreamArn,
    /// Its id.
    pub shard: ShardId,
}

impl FakeUpstream {
    /// An upstream without streams, whose chance comes from `seed`. Must be made inside the
    /// runtime, after its clock was paused.
    pub fn new(seed: u64) -> Self {
        // Not a whole second, so that rounding shows.
        let base = Timestamp::from_millis(1_717_243_200_250).expect("a time in June 2024");
        let traits = UpstreamTraits {
            region: "us-east-1".into(),
            endpoint: Endpoint::Custom("http://fake.invalid".into()),
            at_timestamp: true,
            child_shards: true,
            shared_numbers: false,
            grain: Duration::from_secs(1),
            attempts: 1,
        };
        let inner =
            Inner { started: Instant::now(), base, state: Mutex::new(State::new(seed, traits)) };
        Self { inner: Arc::new(inner) }
    }

    /// One stream, one open shard: what most scenarios need.
    pub fn with_shard(seed: u64) -> (Self, ShardRef) {
        let fake = Self::new(seed);
        let stream = fake.add_stream("Orders");
        let shard = fake.add_shard(&stream, None);
        (fake, shard)
    }

    /// What the wall clock showed when the fake was made: the server's clock begins there too.
    pub fn base(&self) -> Timestamp {
        self.inner.base
    }

    /// When the fake was made, on tokio's clock.
    pub fn started(&self) -> Instant {
        self.inner.started
    }

    /// How long the fake exists: the times in histories and calls.
    pub fn now(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// What the wall clock shows.
    pub fn wall(&self) -> Timestamp {
        self.inner.base.plus(self.now())
    }

    /// In which steps records are stamped, as the upstream says.
    pub fn grain(&self) -> Duration {
        self.inner.state.lock().traits.grain
    }

    /// Where a time begins among what is stamped as the upstream does.
    pub fn floor(&self, time: Timestamp) -> Timestamp {
        time.floor_to(self.inner.state.lock().traits.grain)
    }

    /// What the clock of a server shows that begins to read.
    pub fn ours(&self) -> Timestamp {
        self.wall().plus(self.inner.state.lock().ours_ahead)
    }

    /// The clocks of servers made from now on are so far ahead of the upstream's.
    pub fn set_ours_ahead(&self, by: Duration) {
        self.inner.state.lock().ours_ahead = by;
    }

    /// What the upstream says of itself, from now on.
    pub fn set_traits(&self, change: impl FnOnce(&mut UpstreamTraits)) {
        change(&mut self.inner.state.lock().traits);
    }

    /// Changes how one shard answers.
    #[track_caller]
    pub fn behave(&self, shard: &ShardRef, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.inner.state.lock().shard_mut(shard).behaviour);
    }

    /// Changes how every shard answers, those to come included.
    pub fn behave_all(&self, change: impl Fn(&mut Behaviour)) {
        let mut state = self.inner.state.lock();
        change(&mut state.behaviour);
        for shard in state.shards.iter_mut() {
            change(&mut shard.behaviour);
        }
    }

    /// Changes how ListStreams and DescribeStream answer.
    pub fn listing(&self, change: impl FnOnce(&mut Listing)) {
        change(&mut self.inner.state.lock().listing);
    }

    /// What ids of shards added from now on look like.
    pub fn name(&self, ids: Ids) {
        self.inner.state.lock().ids = ids;
    }

    /// From now on a few records that are written at one time bear one number.
    pub fn share_numbers(&self, shared: Shared) {
        self.set_traits(|traits| traits.shared_numbers = true);
        self.inner.state.lock().shares = true;
        self.behave_all(|behaviour| behaviour.shared = shared);
    }

    /// Sequence numbers of shards added from now on, children of other shards aside.
    pub fn number(&self, numbers: Numbers) {
        self.inner.state.lock().numbers = numbers;
    }
}
