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
        pb::ShardProgress {
            shard: Some(wire::shard(stream, &self.shard)),
            state: state.into(),
            sequence_number: self.newest.map(|number| number.to_string()).unwrap_or_default(),
            lag: self.lag.map(wire::duration),
            time_to_trim: self.oldest_unread.map(|made| wire::duration(made.plus(KEPT).since(self.at))),
            lanes: wire::count(self.lanes),
            subscribers: wire::count(self.subscribers),
        }
    }
}

fn has_shifted(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.since(other).max(other.since(one)) > SHIFT,
        (one, other) => one.is_some() != other.is_some(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    const WALL: i64 = 1_717_243_200_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(WALL + millis as i64).expect("a time")
    }

    /// A shard that nobody reads.
    pub fn row(name: u8) -> Row {
        let id = ShardId::parse(&format!("s{name:02}")).expect("an id");
        let shard = Shard { id, parent: None, starting: None, ending: None };
        Row {
            shard,
            reading: Reading::Unread,
            newest: None,
            lag: None,
            oldest_unread: None,
            lanes: 0,
            subscribers: 0,
            at: at(0),
        }
    }

    /// What there is, round after round.
    pub fn changes() -> impl Strategy<Value = Vec<Vec<Row>>> {
        let time = || proptest::option::of(0u64..4_000);
        let one = (0u8..12, time(), time(), 0usize..3, any::<bool>());
        let one = one.prop_map(|(name, lag, oldest, subscribers, tip)| {
            let reading = if tip { Reading::AtTip } else { Reading::Behind };
            Row {
                reading,
                lag: lag.map(Duration::from_millis),
                oldest_unread: oldest.map(at),
                subscribers,
                ..row(name)
            }
        });
        let round = proptest::collection::vec(one, 0..12).prop_map(|mut rows| {
            rows.sort_by(|a, b| a.shard.id.cmp(&b.shard.id));
            rows.dedup_by(|a, b| a.shard.id == b.shard.id);
            rows
        });
        proptest::collection::vec(round, 0..12)
    }

    #[test]
    fn a_lag_that_grows_with_time_is_no_news_and_one_that_jumps_is() {
        let behind = |lag: u64, now: u64| Row {
            reading: Reading::Behind,
            lag: Some(Duration::from_millis(lag)),
            at: at(now),
            ..row(1)
        };
        let told = behind(1_000, 0);
        assert!(!behind(61_000, 60_000).is_news_after(&told));
        assert!(!behind(60_500, 60_000).is_news_after(&told));
        assert!(behind(2_000, 60_000).is_news_after(&told));
        assert!(Row { subscribers: 1, ..told.clone() }.is_news_after(&told));
    }
}
