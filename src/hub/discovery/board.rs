//! What all who watch one stream share: its shards and how far each is read, and which of that is
//! news since when. Pure.
//!
//! Whoever watches keeps the version that was told last, and no rows: rows that changed since are
//! told, once and for all alike.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Now, SequenceNumber, Shard, ShardId, StreamStatus, Timestamp};

use super::super::shard::progress::{ReadingState, ShardProgress};

/// A shift in time that is no more than this is no news.
const SHIFT: Duration = Duration::from_secs(1);

/// One shard and what is being done with it.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardRow {
    /// The shard.
    pub shard: Shard,
    /// What is being done with it.
    pub reading: ReadingState,
    /// The newest record read.
    pub newest: Option<SequenceNumber>,
    /// Creation of the newest record read, while somebody follows the shard and is behind; the
    /// first: whether that is so.
    pub behind: (bool, Option<Timestamp>),
    /// Creation of the oldest record that a cursor has yet to get.
    pub oldest_unread: Option<Timestamp>,
    /// Places in it that are being read.
    pub lanes: usize,
    /// Cursors on it.
    pub subscribers: usize,
}

/// A row, and since which version it is so.
#[derive(Debug)]
pub struct Posted {
    /// The row.
    pub row: ShardRow,
    version: u64,
}

/// All rows at one time.
#[derive(Debug, Default)]
pub struct Sheet {
    /// Counts the times at which something was news.
    pub version: u64,
    /// The stream's state.
    pub status: Option<StreamStatus>,
    rows: Vec<Arc<Posted>>,
    /// Shards that are listed no more, and since which version.
    removed: Vec<(ShardId, u64)>,
}

/// How far a watcher has come in one sheet.
#[derive(Debug)]
pub struct Round {
    sheet: Arc<Sheet>,
    /// What it was told before; `None`: nothing.
    seen: Option<u64>,
    row: usize,
    removed: usize,
}

impl ShardRow {
    /// The shard, with what is being done with it.
    pub fn new(shard: Shard, reading: ReadingState, progress: ShardProgress, now: Now) -> Self {
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

    /// How far reading is behind: zero at the tip.
    pub fn lag(&self, now: Timestamp) -> Option<Duration> {
        self.behind.0.then(|| self.behind.1.map_or(Duration::ZERO, |created| now.since(created)))
    }

    /// Whether the difference to what was told is worth telling. A lag that grows with time alone
    /// is not.
    fn is_news_after(&self, told: &Self) -> bool {
        let plain = |row: &Self| (row.reading, row.newest, row.lanes, row.subscribers);
        plain(self) != plain(told)
            || self.shard != told.shard
            || has_shifted(self.behind.1, told.behind.1)
            || has_shifted(self.oldest_unread, told.oldest_unread)
    }
}

impl Sheet {
    /// The rows as they are now, after this sheet; `None`: nothing is news.
    pub fn next(&self, rows: Vec<ShardRow>, status: Option<StreamStatus>) -> Option<Self> {
        let version = self.version + 1;
        let mut gone: HashMap<&ShardId, &Arc<Posted>> =
            self.rows.iter().map(|posted| (&posted.row.shard.id, posted)).collect();
        let mut news = self.version == 0 || status != self.status;
        let mut post = |row: ShardRow| match gone.remove(&row.shard.id) {
            // What was told stays what later rows are measured by: small shifts add up.
            Some(told) if !row.is_news_after(&told.row) => told.clone(),
            Some(_) | None => {
                news = true;
                Arc::new(Posted { row, version })
            }
        };
        let rows: Vec<Arc<Posted>> = rows.into_iter().map(&mut post).collect();
        news |= !gone.is_empty();
        if !news {
            return None;
        }
        let mut newly: Vec<(ShardId, u64)> =
            gone.into_keys().map(|id| (id.clone(), version)).collect();
        newly.sort();
        let mut removed: Vec<(ShardId, u64)> = self.removed.iter().cloned().chain(newly).collect();
        let back: HashSet<&ShardId> = rows.iter().map(|posted| &posted.row.shard.id).collect();
        removed.retain(|(id, _)| !back.contains(id));
        Some(Self { version, status, rows, removed })
    }

    /// Forgets the removals that everybody who watches was told.
    pub fn forget(&mut self, told: u64) {
        self.removed.retain(|(_, version)| *version > told);
    }
}

impl Round {
    /// What is news in a sheet for somebody who was told `seen`; `None`: nothing. At first that is
    /// all of it, if there is nothing, too.
    pub fn of(sheet: Arc<Sheet>, seen: Option<u64>) -> Option<Self> {
        let removed = if seen.is_none() { sheet.removed.len() } else { 0 };
        (seen < Some(sheet.version)).then_some(Self { sheet, seen, row: 0, removed })
    }

    /// The stream's state.
    pub fn status(&self) -> Option<StreamStatus> {
        self.sheet.status
    }

    /// What was told when all of it is.
    pub fn version(&self) -> u64 {
        self.sheet.version
    }

    /// The next so many shards, changed or removed, and whether these were the last.
    pub fn part<T>(
        &mut self,
        most: usize,
        mut write: impl FnMut(&ShardRow) -> T,
    ) -> (Vec<T>, Vec<ShardId>, bool) {
        let Self { sheet, seen, row, removed } = self;
        let is_news = |version: u64| Some(version) > *seen;
        let (mut told, mut gone) = (Vec::new(), Vec::new());
        while let Some(posted) = sheet.rows.get(*row) {
            if is_news(posted.version) {
                if told.len() == most {
                    return (told, gone, false);
                }
                told.push(write(&posted.row));
            }
            *row += 1;
        }
        while let Some((id, version)) = sheet.removed.get(*removed) {
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

    /// A shard that nobody reads.
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

    /// What there is, round after round, and which of the watchers look.
    fn changes() -> impl Strategy<Value = Vec<(Vec<ShardRow>, [bool; 3])>> {
        let time = || proptest::option::of(0u64..4_000);
        let one = (0u8..12, time(), time(), 0usize..3, any::<bool>());
        let one = one.prop_map(|(name, behind, oldest, subscribers, tip)| {
            let reading = if tip { ReadingState::AtTip } else { ReadingState::Behind };
            let behind = (true, behind.map(at));
            ShardRow { reading, behind, oldest_unread: oldest.map(at), subscribers, ..row(name) }
        });
        let round = proptest::collection::vec(one, 0..12).prop_map(|mut rows| {
            rows.sort_by(|a, b| a.shard.id.cmp(&b.shard.id));
            rows.dedup_by(|a, b| a.shard.id == b.shard.id);
            rows
        });
        proptest::collection::vec((round, any::<[bool; 3]>()), 0..12)
    }

    /// All of a round, in parts of three.
    fn told(mut round: Round, known: &mut HashMap<ShardId, ShardRow>) -> u64 {
        loop {
            let (changed, removed, last) = round.part(3, ShardRow::clone);
            assert!(changed.len() + removed.len() <= 3);
            for id in &removed {
                known.remove(id);
            }
            known.extend(changed.into_iter().map(|row| (row.shard.id.clone(), row)));
            if last {
                return round.version();
            }
        }
    }

    proptest! {
        /// Whoever applies every round knows what there is, but for shifts of a second, however
        /// seldom it looks.
        #[test]
        fn the_rounds_add_up(steps in changes()) {
            let mut sheet = Arc::new(Sheet::default());
            let mut watchers: [(Option<u64>, HashMap<ShardId, ShardRow>); 3] = Default::default();
            for (rows, poll) in steps {
                if let Some(next) = sheet.next(rows.clone(), Some(StreamStatus::Enabled)) {
                    sheet = Arc::new(next);
                }
                for ((seen, known), _) in watchers.iter_mut().zip(poll).filter(|(_, poll)| *poll) {
                    if let Some(round) = Round::of(sheet.clone(), *seen) {
                        *seen = Some(told(round, known));
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
        let sheet = Arc::new(Sheet::default().next(vec![], None).expect("the first"));
        let mut round = Round::of(sheet.clone(), None).expect("told");
        assert!(round.part(10, ShardRow::clone).2);
        assert!(Round::of(sheet.clone(), Some(round.version())).is_none());
        assert!(sheet.next(vec![], None).is_none(), "nothing new");
        assert!(sheet.next(vec![], Some(StreamStatus::Disabled)).is_some(), "a new state is news");
        assert!(sheet.next(vec![row(1)], None).is_some());
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
