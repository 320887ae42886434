//! Arranges shards below their parents.

use std::collections::{BTreeMap, BTreeSet};

use crate::pb::Shard;

/// Shards below their parents. Tolerates any listing of an upstream: each listed shard is drawn
/// once.
#[derive(Debug)]
pub(super) struct Forest<'a> {
    /// The shards whose parent is not listed, by id.
    pub roots: Vec<&'a Shard>,
    children: BTreeMap<&'a str, Vec<&'a Shard>>,
}

impl<'a> Forest<'a> {
    /// The forest of these shards.
    pub(super) fn of(shards: impl IntoIterator<Item = &'a Shard>) -> Self {
        let mut by_id: BTreeMap<&str, &Shard> = BTreeMap::new();
        for shard in shards {
            by_id.entry(&shard.shard_id).or_insert(shard);
        }
        let mut forest = Self { roots: Vec::new(), children: BTreeMap::new() };
        for shard in by_id.values() {
            match by_id.get(shard.parent_shard_id.as_str()) {
                Some(parent) => forest.children.entry(&parent.shard_id).or_default().push(shard),
                None => forest.roots.push(shard),
            }
        }
        // A circle of parents has no root: its first shard becomes one.
        let mut reached: BTreeSet<&str> =
            forest.walk().iter().map(|(shard, _)| shard.shard_id.as_str()).collect();
        for shard in by_id.values() {
            if !reached.contains(shard.shard_id.as_str()) {
                if let Some(siblings) = forest.children.get_mut(shard.parent_shard_id.as_str()) {
                    siblings.retain(|sibling| sibling.shard_id != shard.shard_id);
                }
                forest.roots.push(shard);
                reached = forest.walk().iter().map(|(shard, _)| shard.shard_id.as_str()).collect();
            }
        }
        forest
    }

    /// The shard's children, by id.
    pub(super) fn below(&self, shard: &Shard) -> &[&'a Shard] {
        self.children.get(shard.shard_id.as_str()).map_or(&[], Vec::as_slice)
    }

    /// Every shard after its parent, with its depth.
    pub(super) fn walk(&self) -> Vec<(&'a Shard, usize)> {
        let mut walked = Vec::new();
        let mut waiting: Vec<(&Shard, usize)> =
            self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((shard, depth)) = waiting.pop() {
            walked.push((shard, depth));
            waiting.extend(self.below(shard).iter().rev().map(|child| (*child, depth + 1)));
        }
        walked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: &str) -> Shard {
        Shard { shard_id: id.into(), parent_shard_id: parent.into(), ..Default::default() }
    }

    fn walked(shards: &[Shard]) -> Vec<(String, usize)> {
        Forest::of(shards)
            .walk()
            .into_iter()
            .map(|(shard, depth)| (shard.shard_id.clone(), depth))
            .collect()
    }

    fn expected(rows: &[(&str, usize)]) -> Vec<(String, usize)> {
        rows.iter().map(|(id, depth)| ((*id).to_owned(), *depth)).collect()
    }

    #[test]
    fn children_lie_below_parents_and_orphans_are_roots() {
        let shards =
            [shard("b", "a"), shard("a", ""), shard("d", "b"), shard("c", "a"), shard("o", "gone")];
        assert_eq!(walked(&shards), expected(&[("a", 0), ("b", 1), ("d", 2), ("c", 1), ("o", 0)]));
    }

    #[test]
    fn circles_are_cut_and_nothing_is_drawn_twice() {
        let shards =
            [shard("a", "b"), shard("b", "a"), shard("x", "x"), shard("a", ""), shard("c", "b")];
        assert_eq!(walked(&shards), expected(&[("a", 0), ("b", 1), ("c", 2), ("x", 0)]));
    }
}
