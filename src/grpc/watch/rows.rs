//! The shards of a stream as they are now.

use std::collections::HashSet;
use std::time::Duration;

use crate::hub::progress::{Reading, ShardProgress};
use crate::hub::survey::Survey;
use crate::hub::{Hub, ShardKey};
use crate::model::{Now, SequenceNumber, Shard, ShardId, StreamArn, Timestamp};
use crate::pb;

use crate::grpc::wire;

/// How long AWS keeps a record.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// A shift in time that is no more than this is no news.
const SHIFT: Duration = Duration::from_secs(1);

/// One shard and what is being done with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The shard.
    pub shard: Shard,
    reading: Reading,
    newest: Option<SequenceNumber>,
    lag: Option<Duration>,
    oldest_unread: Option<Timestamp>,
    lanes: usize,
    subscribers: usize,
    at: Timestamp,
}

/// All shards that are listed, parents before their children, siblings by id.
pub fn rows(hub: &Hub, survey: &Survey, now: Now) -> Vec<Row> {
    let listed: Vec<(Shard, Option<ShardId>, bool, ShardProgress)> = survey.look(|chart| {
        let graph = chart.graph();
        let listed = graph.tree().filter(|shard| !chart.is_missing(&shard.id));
        let of = |shard: &Shard| {
            let (ended, left) = (chart.is_ended(&shard.id), chart.left_behind(&shard.id));
            (shard.clone(), graph.parent(&shard.id).cloned(), ended, left)
        };
        listed.map(of).collect()
    });
    // Shards whose children are awaited.
    let mut under_way: HashSet<ShardId> = HashSet::new();
    let mut rows = Vec::with_capacity(listed.len());
    for (shard, parent, ended, left) in listed {
        let key = ShardKey { stream: survey.stream().clone(), shard: shard.id.clone() };
        let read = hub.progress(&key).unwrap_or_default();
        let progress = ShardProgress {
            newest: read.newest.max(left.newest),
            drained: read.drained || left.drained,
            lost: read.lost || left.lost,
            ..read
        };
        let awaited = parent.is_some_and(|parent| under_way.contains(&parent));
        let reading = progress.reading(ended, awaited);
        let is_read = progress.followers > 0 && !progress.drained && !ended;
        if is_read || reading == Reading::Waiting {
            under_way.insert(shard.id.clone());
        }
        rows.push(Row::new(shard, reading, progress, now));
    }
    rows
}

impl Row {
    fn new(shard: Shard, reading: Reading, progress: ShardProgress, now: Now) -> Self {
        let ShardProgress { newest, lag, lanes, followers, oldest_unread, .. } = progress;
        let lag = lag.filter(|_| followers > 0);
        Self { shard, reading, newest, lag, oldest_unread, lanes, subscribers: followers, at: now.wall }
    }

    /// Whether the difference to what was told is worth telling. A lag that grows with time alone is not.
    pub fn is_news_after(&self, told: &Self) -> bool {
        let plain = |row: &Self| (row.reading, row.newest, row.lanes, row.subscribers);
        plain(self) != plain(told)
            || self.shard != told.shard
            || has_shifted(self.newest_created(), told.newest_created())
            || has_shifted(self.oldest_unread, told.oldest_unread)
    }

    fn newest_created(&self) -> Option<Timestamp> {
        self.lag.filter(|lag| !lag.is_zero()).map(|lag| self.at.minus(lag))
    }

    /// As a message.
    pub fn wire(&self, stream: &StreamArn) -> pb::ShardProgress {
        let state = match self.reading {
            Reading::Unread => pb::ReadingState::Unread,
            Reading::Waiting => pb::ReadingState::Waiting,
            Reading::Behind => pb::ReadingState::Reading,
            Reading::AtTip => pb::ReadingState::AtTip,
            Reading::Drained => pb::ReadingState::Drained,
            Reading::Trimmed => pb::ReadingState::Trimmed,
        };
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        pb::ShardProgress {
            shard: Some(wire::shard(stream, &self.shard)),
            state: state.into(),
            sequence_number: self.newest.map(|number| number.to_string()).unwrap_or_default(),
            lag: self.lag.map(wire::duration),
            time_to_trim: self.oldest_unread.map(|made| wire::duration(made.plus(KEPT).since(self.at))),
            lanes: count(self.lanes),
            subscribers: count(self.subscribers),
        }
    }
}

fn has_shifted(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.since(other).max(other.since(one)) > SHIFT,
        (one, other) => one.is_some() != other.is_some(),
    }
}
