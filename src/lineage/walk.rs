//! Parent and child links among the shards of one listing, and walks along them that store only
//! indexes. No I/O.

use std::collections::VecDeque;

use crate::model::{Shard, ShardId};

/// Which shards of a slice, by their index in it, are children of which.
#[derive(Debug, Default)]
pub struct Kin {
    /// (parent, child), sorted.
    links: Vec<(u32, u32)>,
}

/// A walk from one shard through all its descendants: breadth first, siblings in order, each once.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The shards still to visit, with their depths.
    queue: VecDeque<(u32, u32)>,
    seen: Vec<bool>,
}

impl Kin {
    /// The links among these shards, which must be sorted by id, without duplicates.
    pub fn of(shards: &[Shard]) -> Self {
        let at = |id: &ShardId| place(shards, id);
        let children = (0u32..).zip(shards);
        let mut links: Vec<(u32, u32)> =
            children.filter_map(|(child, row)| Some((at(row.parent.as_ref()?)?, child))).collect();
        links.sort_unstable();
        Self { links }
    }

    fn children(&self, parent: u32) -> impl Iterator<Item = u32> {
        let first = self.links.partition_point(|(of, _)| *of < parent);
        self.links[first..].iter().take_while(move |(of, _)| *of == parent).map(|(_, child)| *child)
    }
}

impl Walk {
    /// A walk that starts at `from`; empty if `from` is not among the shards.
    pub(crate) fn from(shards: &[Shard], from: &ShardId) -> Self {
        let mut seen = vec![false; shards.len()];
        let queue: VecDeque<_> = place(shards, from).map(|at| (at, 0)).into_iter().collect();
        for (at, _) in &queue {
            seen[*at as usize] = true;
        }
        Self { queue, seen }
    }

    /// The index of the next shard, and its depth.
    pub(crate) fn next(&mut self, kin: &Kin) -> Option<(usize, u32)> {
        let (at, depth) = self.queue.pop_front()?;
        for child in kin.children(at) {
            if !std::mem::replace(&mut self.seen[child as usize], true) {
                self.queue.push_back((child, depth + 1));
            }
        }
        Some((at as usize, depth))
    }
}

fn place(shards: &[Shard], id: &ShardId) -> Option<u32> {
    u32::try_from(shards.binary_search_by(|shard| shard.id.cmp(id)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: Option<&str>) -> Shard {
        let parse = |text: &str| ShardId::parse(text).expect("an id");
        Shard { id: parse(id), parent: parent.map(parse), starting: None, ending: None }
    }

    fn walk(shards: &[Shard], from: &str) -> Vec<String> {
        let (kin, mut walk) =
            (Kin::of(shards), Walk::from(shards, &ShardId::parse(from).expect("an id")));
        let steps = std::iter::from_fn(|| walk.next(&kin));
        steps.map(|(at, depth)| format!("{}@{depth}", shards[at].id)).collect()
    }

    #[test]
    fn walks_breadth_first_with_siblings_by_id() {
        let shards = [
            shard("other", None),
            shard("s0", None),
            shard("s1", Some("s0")),
            shard("s2", Some("s0")),
            shard("s3", Some("s2")),
            shard("s4", Some("s1")),
        ];
        assert_eq!(walk(&shards, "s0"), ["s0@0", "s1@1", "s2@1", "s4@2", "s3@2"]);
    }

    #[test]
    fn cuts_circles() {
        let shards = [shard("a", Some("b")), shard("b", Some("a")), shard("c", Some("c"))];
        assert_eq!(walk(&shards, "a"), ["a@0", "b@1"]);
        assert_eq!(walk(&shards, "c"), ["c@0"]);
        assert!(walk(&shards, "gone").is_empty());
    }
}
