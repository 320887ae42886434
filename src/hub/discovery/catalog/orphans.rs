//! Orphans: listed shards whose parent the listing lacks although it cannot be gone. They wait for
//! one more listing. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::hub::shard::position::SAFE_AGE;
use crate::model::{Shard, ShardId};

use super::{Catalog, ListedStream};

/// The pause between a listing that lacked a parent and the next one: a response that follows at
/// once may lack the same rows.
pub(super) const RECHECK_PAUSE: Duration = Duration::from_secs(2);

impl Catalog {
    /// The rows not to take in yet: those whose parent this is the first listing to lack, and their
    /// descendants. Read now, their records would come before their parent's.
    pub(super) fn held_back(&mut self, told: &ListedStream<'_>) -> HashSet<ShardId> {
        let rows: HashSet<&ShardId> = told.shards.iter().map(|row| &row.id).collect();
        let lacks = |row: &Shard| {
            let parent = row.parent.as_ref()?;
            let known =
                rows.contains(parent) || self.graph.get(parent).is_some() || self.is_ended(parent);
            // A shard this young is always listed, open or closed.
            let young = parent.created().is_some_and(|made| told.wall.since(made) < SAFE_AGE);
            (!known && young && self.graph.get(&row.id).is_none()).then(|| parent.clone())
        };
        let lacking: Vec<(&Shard, ShardId)> =
            told.shards.iter().filter_map(|row| Some((row, lacks(row)?))).collect();
        let mut held: Vec<&Shard> = vec![];
        for (row, parent) in &lacking {
            if !self.lacked.contains(parent) {
                held.push(row);
            }
        }
        self.lacked = lacking.iter().map(|(_, parent)| parent.clone()).collect();
        if held.is_empty() {
            return HashSet::new();
        }
        let mut children: HashMap<&ShardId, Vec<&Shard>> = HashMap::new();
        for row in told.shards {
            if let Some(parent) = &row.parent {
                children.entry(parent).or_default().push(row);
            }
        }
        let mut all = HashSet::new();
        while let Some(row) = held.pop() {
            if all.insert(row.id.clone()) {
                held.extend(children.get(&row.id).into_iter().flatten());
            }
        }
        all
    }
}
