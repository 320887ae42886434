//! What of the rows is news. Pure but for its types: told once, a shard is told again when it changed.

use std::collections::{HashMap, VecDeque};

use crate::model::{ShardId, StreamStatus};

use super::rows::Row;

/// What was told so far.
#[derive(Debug, Default)]
pub struct Rounds {
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    rows: HashMap<ShardId, Row>,
    status: Option<StreamStatus>,
}

/// News to be told, in parts.
#[derive(Debug)]
pub struct Round {
    /// The stream's state.
    pub status: Option<StreamStatus>,
    changed: VecDeque<Row>,
    removed: VecDeque<ShardId>,
}

impl Rounds {
    /// What is news in these rows; `None`: nothing. The first round is all of them, if there are none, too.
    pub fn next(&mut self, rows: Vec<Row>, status: Option<StreamStatus>) -> Option<Round> {
        let first = self.told.is_none();
        let told = self.told.get_or_insert(Told { rows: HashMap::new(), status });
        let is_news = |row: &&Row| told.rows.get(&row.shard.id).is_none_or(|told| row.is_news_after(told));
        let changed: VecDeque<Row> = rows.iter().filter(is_news).cloned().collect();
        let mut gone = std::mem::take(&mut told.rows);
        for row in rows {
            // What was told stays what later rows are measured by: small shifts add up.
            let before = gone.remove(&row.shard.id).filter(|before| !row.is_news_after(before));
            told.rows.insert(row.shard.id.clone(), before.unwrap_or(row));
        }
        let mut removed: Vec<ShardId> = gone.into_keys().collect();
        removed.sort();
        let moved = std::mem::replace(&mut told.status, status) != status;
        let news = first || moved || !changed.is_empty() || !removed.is_empty();
        news.then(|| Round { status, changed, removed: removed.into() })
    }
}

impl Round {
    /// The next so many shards, changed or removed.
    pub fn part(&mut self, most: usize) -> (Vec<Row>, Vec<ShardId>) {
        let changed: Vec<Row> = self.changed.drain(..most.min(self.changed.len())).collect();
        let removed = self.removed.drain(..(most - changed.len()).min(self.removed.len())).collect();
        (changed, removed)
    }

    /// Nothing of it is left.
    pub fn is_told(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::watch::rows::tests::{changes, row};
    use proptest::prelude::*;

    proptest! {
        /// Whoever applies every round knows what there is, but for shifts of a second.
        #[test]
        fn the_rounds_add_up(steps in changes()) {
            let (mut rounds, mut known) = (Rounds::default(), HashMap::<ShardId, Row>::new());
            for rows in steps {
                let status = Some(StreamStatus::Enabled);
                if let Some(mut round) = rounds.next(rows.clone(), status) {
                    let mut parts = 0;
                    loop {
                        let (changed, removed) = round.part(3);
                        prop_assert!(changed.len() + removed.len() <= 3);
                        prop_assert!(parts == 0 || changed.len() + removed.len() > 0, "an empty part");
                        known.extend(changed.into_iter().map(|row| (row.shard.id.clone(), row)));
                        known.retain(|id, _| !removed.contains(id));
                        parts += 1;
                        if round.is_told() {
                            break;
                        }
                    }
                }
                prop_assert_eq!(known.len(), rows.len());
                for row in &rows {
                    prop_assert!(!row.is_news_after(&known[&row.shard.id]), "{:?} after {:?}", row, known[&row.shard.id]);
                }
            }
        }
    }

    #[test]
    fn the_first_round_is_told_though_there_is_nothing() {
        let mut rounds = Rounds::default();
        assert!(rounds.next(vec![], None).is_some_and(|round| round.is_told()));
        assert!(rounds.next(vec![], None).is_none());
        assert!(rounds.next(vec![], Some(StreamStatus::Disabled)).is_some(), "a new state is news");
        assert!(rounds.next(vec![row(1)], Some(StreamStatus::Disabled)).is_some());
    }
}
