//! Everything the fake knows, at one moment: what the guarantees are checked against.

use std::time::Duration;

use shardstream::model::{SequenceNumber, ShardId, StreamArn, Timestamp};

use super::entry::{EntryId, EntryKind};
use super::state::ShardState;
use super::{Call, FakeUpstream, ShardRef};

/// Where AWS may begin to trim, less a minute for what the server knows and a test does not. It is
/// not asked for older times.
pub const OLD: Duration = Duration::from_secs(23 * 3_600 - 60);

/// The fake's own full log, and all calls.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The wall clock's time at zero.
    pub base: Timestamp,
    /// So far are servers' clocks ahead of it.
    pub ours_ahead: Duration,
    /// In which steps records are stamped, as the upstream says.
    pub grain: Duration,
    /// The upstream finds a time by itself.
    pub at_timestamp: bool,
    /// When this was taken.
    pub taken: Duration,
    /// Every stream ever made, in order.
    pub streams: Vec<StreamTruth>,
    /// Every shard ever made, by ordinal.
    pub shards: Vec<ShardTruth>,
    /// Every call, in the order in which they began.
    pub calls: Vec<Call>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTruth {
    /// Its name.
    pub arn: StreamArn,
    /// When it was made.
    pub made: Duration,
    /// When it was DISABLED.
    pub disabled: Option<Duration>,
    /// When AWS forgot it.
    pub deleted: Option<Duration>,
}

/// One shard.
#[derive(Clone, Debug)]
pub struct ShardTruth {
    /// Its name.
    pub name: ShardRef,
    /// Its parent.
    pub parent: Option<ShardId>,
    /// When it was made, as its id says.
    pub created: Timestamp,
    /// Every entry ever written, in order.
    pub entries: Vec<EntryTruth>,
    /// When it was closed.
    pub closed: Option<Duration>,
    /// From when on listings show it.
    pub listed_from: Duration,
    /// Since when they do not show it any more.
    pub unlisted: Option<Duration>,
    /// Listings do not show it between these times: at first, for a while, for good.
    pub hidden: Vec<(Duration, Duration)>,
    /// AWS does not have it any more.
    pub gone: bool,
    /// How old the youngest record was that an empty page hid from who had read up to it: one
    /// empty page does not show the end.
    pub false_tip: Option<Duration>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryTruth {
    /// Its name.
    pub id: EntryId,
    /// Its number, shown or not.
    pub number: SequenceNumber,
    /// What kind it is.
    pub kind: EntryKind,
    /// When it was created, to the second.
    pub created_at: Timestamp,
    /// AWS's stamp, which may be coarser, or missing.
    pub stamp: Option<Timestamp>,
    /// When it was written.
    pub written: Duration,
    /// When it was trimmed.
    pub trimmed: Option<Duration>,
}

impl FakeUpstream {
    /// What there is now.
    pub fn truth(&self) -> Truth {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.age(self.inner.base, now);
        let shards = state.shards.iter().map(ShardState::truth).collect();
        let (streams, calls) = (state.fates.clone(), state.calls.clone());
        Truth {
            base: self.inner.base,
            ours_ahead: state.ours_ahead,
            grain: state.traits.grain,
            at_timestamp: state.traits.at_timestamp,
            taken: now,
            streams,
            shards,
            calls,
        }
    }

    /// The horizon of a shard, its end, and whether it is closed: cheap.
    #[track_caller]
    pub fn extent(&self, shard: &ShardRef) -> (usize, usize, bool) {
        let now = self.now();
        let mut state = self.inner.state.lock();
        state.age(self.inner.base, now);
        let shard = state.shard(shard);
        (shard.trimmed, shard.log.len(), shard.closed.is_some())
    }

    /// One shard, as it is now.
    #[track_caller]
    pub fn shard_truth(&self, shard: &ShardRef) -> ShardTruth {
        self.inner.state.lock().shard(shard).truth()
    }
}

impl ShardState {
    /// Some of its entries.
    pub(super) fn entries(&self, range: std::ops::Range<usize>) -> Vec<EntryTruth> {
        let truth = |index: usize, entry: &super::entry::Entry| EntryTruth {
            id: self.id(index),
            number: entry.key,
            kind: entry.kind,
            created_at: entry.created_at,
            stamp: self.behaviour.stamp(entry.created_at),
            written: entry.written,
            trimmed: entry.trimmed,
        };
        range.clone().zip(&self.log[range]).map(|(index, entry)| truth(index, entry)).collect()
    }

    fn truth(&self) -> ShardTruth {
        ShardTruth {
            name: self.name.clone(),
            parent: self.parent.clone(),
            created: self.created,
            entries: self.entries(0..self.log.len()),
            closed: self.closed.map(|closed| closed.at),
            listed_from: self.listed_from,
            unlisted: self.unlisted,
            hidden: self.hidden_times(),
            gone: self.gone,
            false_tip: self.false_tip,
        }
    }
}

impl Truth {
    /// Where a time begins among what is stamped so.
    pub fn floor(&self, time: Timestamp) -> Timestamp {
        time.floor_to(self.grain)
    }

    /// A time may be looked for in vain in a shard: there are records by then, none of them says
    /// when it was created, and the upstream does not find that time by itself.
    pub fn is_lost(&self, time: Timestamp, shard: &ShardTruth, at: Duration) -> bool {
        let is_found = self.at_timestamp && self.ours(at).since(time) < OLD;
        let stampless = shard.entries.iter().all(|entry| entry.stamp.is_none());
        !is_found && stampless && shard.entries.first().is_some_and(|first| first.written <= at)
    }

    /// What servers' clocks show at a time: they tell ages by it.
    pub fn ours(&self, at: Duration) -> Timestamp {
        self.base.plus(at + self.ours_ahead)
    }

    /// One shard.
    pub fn shard(&self, name: &ShardRef) -> Option<&ShardTruth> {
        self.shards.iter().find(|shard| shard.name == *name)
    }
}

impl ShardTruth {
    /// The first entry that is still kept at `time`.
    pub fn horizon(&self, time: Duration) -> usize {
        self.entries.partition_point(|entry| entry.trimmed.is_some_and(|trimmed| trimmed <= time))
    }

    /// The first entry numbered `number` or more.
    pub fn first_at(&self, number: &SequenceNumber) -> usize {
        self.entries.partition_point(|entry| entry.number < *number)
    }

    /// The first entry numbered above `number`.
    pub fn first_after(&self, number: &SequenceNumber) -> usize {
        self.entries.partition_point(|entry| entry.number <= *number)
    }

    /// The entry behind the first one numbered so: where several bear one number, nobody knows
    /// which of them is meant.
    pub fn behind(&self, number: &SequenceNumber) -> usize {
        let first = self.first_at(number);
        first + usize::from(self.entries.get(first).is_some_and(|entry| is_of(entry, number)))
    }

    /// The first entry created at `time` or later.
    pub fn first_since(&self, time: Timestamp) -> usize {
        self.entries.iter().take_while(|entry| entry.created_at < time).count()
    }

    /// The first entry written after `time`.
    pub fn first_written_after(&self, time: Duration) -> usize {
        self.entries.partition_point(|entry| entry.written <= time)
    }
}

/// Whether an entry is told of under this number: its own, or on ScyllaDB the least of its moment.
pub fn is_of(entry: &EntryTruth, number: &SequenceNumber) -> bool {
    entry.number == *number || entry.number.moment() == *number
}
