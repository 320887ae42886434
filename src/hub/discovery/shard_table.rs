//! What all watchers of one stream share: its shards, how far each is read, and in which version
//! each of that last changed. Pure.
//!
//! A watcher keeps only the version it was last sent, and no rows: rows that changed since then are
//! sent, computed once for all watchers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Now, SequenceNumber, Shard, ShardId, StreamStatus, Timestamp};

use super::super::shard::progress::{ReadingState, ShardProgress};

/// A time that shifted by no more than this does not count as a change.
const SHIFT: Duration = Duration::from_secs(1);

/// One shard and what is being done with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShardRow {
    /// The shard.
    pub shard: Shard,
    /// How it is being read.
    pub reading: ReadingState,
    /// Sequence number of the newest record read; `None` if none was.
    pub newest: Option<SequenceNumber>,
    /// Whether the lag is known, which needs a cursor on the shard; and, if reading is behind, the
    /// creation time of the newest record read.
    pub behind: (bool, Option<Timestamp>),
    /// Creation time of the oldest record that a cursor has yet to get.
    pub oldest_unread: Option<Timestamp>,
    /// Lanes that read it.
    pub lanes: usize,
    /// Cursors on it.
    pub subscribers: usize,
}

/// A row, and the version in which it last changed.
#[derive(Debug)]
pub(super) struct VersionedRow {
    /// The row.
    pub row: ShardRow,
    version: u64,
}

/// All rows of a stream at one moment.
#[derive(Debug, Default)]
pub(crate) struct ShardTable {
    /// Goes up by one with every change.
    pub version: u64,
    /// The stream's status; `None` if not known.
    pub status: Option<StreamStatus>,
    rows: Vec<Arc<VersionedRow>>,
    /// Shards that are no longer listed, and the version that removed them.
    removed: Vec<(ShardId, u64)>,
}

/// A watcher's progress through one table.
#[derive(Debug)]
pub(crate) struct TableUpdate {
    table: Arc<ShardTable>,
    /// The version the watcher was sent before; `None` if none.
    seen: Option<u64>,
    row: usize,
    removed: usize,
}

impl ShardRow {
    /// A row for the shard, from how it is read and how far.
    pub(crate) fn new(
        shard: Shard,
        reading: ReadingState,
        progress: ShardProgress,
        now: Now,
    ) -> Self {
        let ShardProgress { newest, lag, lanes, followers, oldest_unread, .. } = progress;
        let lag = lag.filter(|_| followers > 0);
        let behind = lag.filter(|lag| !lag.is_zero()).map(|lag| now.wall.minus(lag));
        Self {
            shard,
            reading,
            newest,
            behind: (lag.is_some(), behind),
            oldest_unread,
            lanes,
            subscribers: followers,
        }
    }

    /// How far reading is behind: zero at the tip, `None` if not known.
    pub(crate) fn lag(&self, now: Timestamp) -> Option<Duration> {
        self.behind.0.then(|| self.behind.1.map_or(Duration::ZERO, |created| now.since(created)))
    }

    /// Whether the row differs enough from the one that was sent to be sent again. A lag that grows
    /// only because time passes does not.
    fn is_news_after(&self, told: &Self) -> bool {
        let plain = |row: &Self| (row.reading, row.newest, row.lanes, row.subscribers);
        plain(self) != plain(told)
            || self.shard != told.shard
            || has_shifted(self.behind.1, told.behind.1)
            || has_shifted(self.oldest_unread, told.oldest_unread)
    }
}

impl ShardTable {
    /// The next table with these rows; `None` if nothing changed.
    pub(crate) fn next(&self, rows: Vec<ShardRow>, status: Option<StreamStatus>) -> Option<Self> {
        let version = self.version + 1;
        let mut gone: HashMap<&ShardId, &Arc<VersionedRow>> =
            self.rows.iter().map(|versioned| (&versioned.row.shard.id, versioned)).collect();
        let mut news = self.version == 0 || status != self.status;
        let mut post = |row: ShardRow| match gone.remove(&row.shard.id) {
            // Later rows are compared with the row that was sent, so that small shifts add up.
            Some(told) if !row.is_news_after(&told.row) => told.clone(),
            Some(_) | None => {
                news = true;
                Arc::new(VersionedRow { row, version })
            }
        };
        let rows: Vec<Arc<VersionedRow>> = rows.into_iter().map(&mut post).collect();
        news |= !gone.is_empty();
        if !news {
            return None;
        }
        let mut newly: Vec<(ShardId, u64)> =
            gone.into_keys().map(|id| (id.clone(), version)).collect();
        newly.sort();
        let mut removed: Vec<(ShardId, u64)> = self.removed.iter().cloned().chain(newly).collect();
        let back: HashSet<&ShardId> =
            rows.iter().map(|versioned| &versioned.row.shard.id).collect();
        removed.retain(|(id, _)| !back.contains(id));
        Some(Self { version, status, rows, removed })
    }

    /// Forgets the removals up to version `told`, which every watcher was sent.
    pub(crate) fn forget(&mut self, told: u64) {
        self.removed.retain(|(_, version)| *version > told);
    }
}

impl TableUpdate {
    /// The changes in a table for a watcher that was sent version `seen`; `None` if there are none.
    /// The first round is the whole table, even an empty one.
    pub(crate) fn of(table: Arc<ShardTable>, seen: Option<u64>) -> Option<Self> {
        let removed = if seen.is_none() { table.removed.len() } else { 0 };
        (seen < Some(table.version)).then_some(Self { table, seen, row: 0, removed })
    }

    /// The stream's status; `None` if not known.
    pub(crate) fn status(&self) -> Option<StreamStatus> {
        self.table.status
    }

    /// The version a watcher has once the whole round was sent.
    pub(crate) fn version(&self) -> u64 {
        self.table.version
    }

    /// The next shards, at most `most`, changed or removed, and whether these were the last.
    pub(crate) fn part<T>(
        &mut self,
        most: usize,
        mut write: impl FnMut(&ShardRow) -> T,
    ) -> (Vec<T>, Vec<ShardId>, bool) {
        let Self { table, seen, row, removed } = self;
        let is_news = |version: u64| Some(version) > *seen;
        let (mut told, mut gone) = (Vec::new(), Vec::new());
        while let Some(versioned) = table.rows.get(*row) {
            if is_news(versioned.version) {
                if told.len() == most {
                    return (told, gone, false);
                }
                told.push(write(&versioned.row));
            }
            *row += 1;
        }
        while let Some((id, version)) = table.removed.get(*removed) {
            if is_news(*version) {
                if told.len() + gone.len() == most {
                    return (told, gone, false);
                }
                gone.push(id.clone());
            }
            *removed += 1;
        }
        (told, gone, true)
    }
}

fn has_shifted(one: Option<Timestamp>, other: Option<Timestamp>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.since(other).max(other.since(one)) > SHIFT,
        (one, other) => one.is_some() != other.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_717_243_200_000 + millis as i64).expect("a time")
    }

    /// A shard without a reader.
    fn row(name: u8) -> ShardRow {
        let id = ShardId::parse(&format!("s{name:02}")).expect("an id");
        let shard = Shard { id, parent: None, starting: None, ending: None };
        let (newest, oldest_unread) = (None, None);
        ShardRow {
            shard,
            reading: ReadingState::Unread,
            newest,
            behind: (false, None),
            oldest_unread,
            lanes: 0,
            subscribers: 0,
        }
    }

    /// The rows round by round, and which of the watchers poll.
    fn changes() -> impl Strategy<Value = Vec<(Vec<ShardRow>, [bool; 3])>> {
        let time = || proptest::option::of(0u64..4_000);
        let one = (0u8..12, time(), time(), 0usize..3, any::<bool>());
        let one = one.prop_map(|(name, behind, oldest, subscribers, tip)| {
            let reading = if tip { ReadingState::AtTip } else { ReadingState::Behind };
            let behind = (true, behind.map(at));
            ShardRow { reading, behind, oldest_unread: oldest.map(at), subscribers, ..row(name) }
        });
        let update = proptest::collection::vec(one, 0..12).prop_map(|mut rows| {
            rows.sort_by(|a, b| a.shard.id.cmp(&b.shard.id));
            rows.dedup_by(|a, b| a.shard.id == b.shard.id);
            rows
        });
        proptest::collection::vec((update, any::<[bool; 3]>()), 0..12)
    }

    /// Takes a whole round, in parts of three.
    fn told(mut update: TableUpdate, known: &mut HashMap<ShardId, ShardRow>) -> u64 {
        loop {
            let (changed, removed, last) = update.part(3, ShardRow::clone);
            assert!(changed.len() + removed.len() <= 3);
            for id in &removed {
                known.remove(id);
            }
            known.extend(changed.into_iter().map(|row| (row.shard.id.clone(), row)));
            if last {
                return update.version();
            }
        }
    }

    proptest! {
        /// A watcher that applies every round knows all rows, up to shifts of a second, however
        /// seldom it polls.
        #[test]
        fn the_rounds_add_up(steps in changes()) {
            let mut table = Arc::new(ShardTable::default());
            let mut watchers: [(Option<u64>, HashMap<ShardId, ShardRow>); 3] = Default::default();
            for (rows, poll) in steps {
                if let Some(next) = table.next(rows.clone(), Some(StreamStatus::Enabled)) {
                    table = Arc::new(next);
                }
                for ((seen, known), _) in watchers.iter_mut().zip(poll).filter(|(_, poll)| *poll) {
                    if let Some(update) = TableUpdate::of(table.clone(), *seen) {
                        *seen = Some(told(update, known));
                    }
                    prop_assert_eq!(known.len(), rows.len());
                    for row in &rows {
                        prop_assert!(!row.is_news_after(&known[&row.shard.id]), "{:?} after {:?}", row, known[&row.shard.id]);
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_round_is_told_though_there_is_nothing() {
        let table = Arc::new(ShardTable::default().next(vec![], None).expect("the first"));
        let mut update = TableUpdate::of(table.clone(), None).expect("told");
        assert!(update.part(10, ShardRow::clone).2);
        assert!(TableUpdate::of(table.clone(), Some(update.version())).is_none());
        assert!(table.next(vec![], None).is_none(), "nothing new");
        assert!(table.next(vec![], Some(StreamStatus::Disabled)).is_some(), "a new state is news");
        assert!(table.next(vec![row(1)], None).is_some());
    }

    #[test]
    fn a_lag_that_grows_with_time_is_no_news_and_one_that_jumps_is() {
        let behind = |lag: u64, now: u64| ShardRow {
            reading: ReadingState::Behind,
            behind: (true, Some(at(now).minus(Duration::from_millis(lag)))),
            ..row(1)
        };
        let told = behind(1_000, 0);
        assert!(!behind(61_000, 60_000).is_news_after(&told));
        assert!(!behind(60_500, 60_000).is_news_after(&told));
        assert!(behind(2_000, 60_000).is_news_after(&told));
        assert!(ShardRow { subscribers: 1, ..told.clone() }.is_news_after(&told));
        assert_eq!(told.lag(at(5_000)), Some(Duration::from_secs(6)));
    }
}
