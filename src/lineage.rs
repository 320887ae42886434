//! The shard graph, pure: listings merged, parents and children, in any order, partial, with orphans and cycles.

mod graph;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Shard, ShardId};

pub use graph::Graph;

/// Merges rows of another listing, or another page of one, by id: each shard once, and what a later row knows more of
/// (its end, its parent) is kept.
pub fn merge(known: &mut Vec<Shard>, rows: impl IntoIterator<Item = Shard>) {
    let mut index: BTreeMap<ShardId, usize> =
        known.iter().enumerate().map(|(at, shard)| (shard.id.clone(), at)).collect();
    for row in rows {
        match index.get(&row.id) {
            Some(&at) => {
                let shard = &mut known[at];
                shard.parent = row.parent.or(shard.parent.take());
                shard.starting = row.starting.or(shard.starting);
                shard.ending = row.ending.or(shard.ending);
            }
            None => {
                index.insert(row.id.clone(), known.len());
                known.push(row);
            }
        }
    }
}

/// The shard `from` and everything that descends from it: breadth first, siblings by id, each once, with its depth.
/// Cycles are cut. Empty if `from` is not among `shards`.
pub fn walk<'a>(shards: &'a [Shard], from: &ShardId) -> Vec<(&'a Shard, usize)> {
    let mut children: BTreeMap<&ShardId, BTreeMap<&ShardId, &Shard>> = BTreeMap::new();
    for shard in shards {
        if let Some(parent) = &shard.parent {
            children.entry(parent).or_default().insert(&shard.id, shard);
        }
    }
    let root = shards.iter().find(|shard| shard.id == *from);
    let mut seen: BTreeSet<&ShardId> = root.iter().map(|shard| &shard.id).collect();
    let mut queue: VecDeque<(&Shard, usize)> = root.into_iter().map(|shard| (shard, 0)).collect();
    let mut walked = Vec::new();
    while let Some((shard, depth)) = queue.pop_front() {
        walked.push((shard, depth));
        for child in children.get(&shard.id).into_iter().flat_map(|children| children.values()) {
            if seen.insert(&child.id) {
                queue.push_back((child, depth + 1));
            }
        }
    }
    walked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SequenceNumber;

    fn shard(id: &str, parent: Option<&str>) -> Shard {
        let parse = |text: &str| ShardId::parse(text).expect("an id");
        Shard { id: parse(id), parent: parent.map(parse), starting: None, ending: None }
    }

    fn ids(walked: &[(&Shard, usize)]) -> Vec<String> {
        walked.iter().map(|(shard, depth)| format!("{}@{depth}", shard.id)).collect()
    }

    #[test]
    fn walks_breadth_first_with_siblings_by_id() {
        let shards = [
            shard("s0", None),
            shard("s2", Some("s0")),
            shard("s1", Some("s0")),
            shard("s4", Some("s1")),
            shard("s3", Some("s2")),
            shard("other", None),
        ];
        let walked = walk(&shards, &shards[0].id);
        assert_eq!(ids(&walked), ["s0@0", "s1@1", "s2@1", "s4@2", "s3@2"]);
    }

    #[test]
    fn cuts_cycles_and_duplicates() {
        let shards = [shard("a", Some("b")), shard("b", Some("a")), shard("b", Some("a")), shard("c", Some("c"))];
        assert_eq!(ids(&walk(&shards, &shards[0].id)), ["a@0", "b@1"]);
        assert_eq!(ids(&walk(&shards, &shards[3].id)), ["c@0"]);
        assert!(walk(&shards, &ShardId::parse("gone").expect("an id")).is_empty());
    }

    #[test]
    fn merging_keeps_each_shard_once_and_what_is_known_of_it() {
        let end = SequenceNumber::parse("9").ok();
        let mut known = vec![shard("a", Some("p"))];
        merge(&mut known, [Shard { ending: end, ..shard("a", None) }, shard("b", Some("a")), shard("b", Some("a"))]);
        assert_eq!(known.len(), 2);
        assert_eq!((known[0].ending, known[0].parent.as_ref().map(ShardId::as_str)), (end, Some("p")));
    }
}
