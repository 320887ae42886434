//! The shards of one stream with their parents and children.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::model::{Shard, ShardId};

/// A forest of shards, built from rows of listings in any order and of any part: the same rows give
/// the same graph.
///
/// A shard may name a parent that is missing (an orphan, or the parent's row comes later), or
/// itself, or a descendant. Such a cycle is cut above its smallest id, so that every shard has a
/// root and every walk ends.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    shards: BTreeMap<ShardId, Shard>,
    /// Children by the parent they name, which may be missing. Cut links are not included.
    children: HashMap<ShardId, BTreeSet<ShardId>>,
    /// Shards by the value of `mark` when they were added.
    added: BTreeMap<u64, ShardId>,
    /// Shards whose link to their parent was cut because it closed a cycle.
    cut: BTreeSet<ShardId>,
    mark: u64,
}

impl Graph {
    /// Adds rows: each shard once; where another row knows more of it (its end, its parent), that
    /// is kept. Returns how many shards are new or better known than before.
    pub fn merge(&mut self, rows: impl IntoIterator<Item = impl Borrow<Shard>>) -> usize {
        rows.into_iter().filter(|row| self.take(row.borrow())).count()
    }

    /// The shard with this id.
    pub fn get(&self, id: &ShardId) -> Option<&Shard> {
        self.shards.get(id)
    }

    /// The parent of a shard, which may be missing from the graph. Unlike the row's own `parent`,
    /// this one never closes a cycle.
    pub fn parent(&self, id: &ShardId) -> Option<&ShardId> {
        self.get(id)?.parent.as_ref().filter(|_| !self.cut.contains(id))
    }

    /// The shards that name this parent, ordered by id. The parent may be missing from the graph.
    pub fn children(&self, id: &ShardId) -> impl Iterator<Item = &Shard> {
        self.children.get(id).into_iter().flatten().filter_map(|child| self.get(child))
    }

    /// Shards whose parent is missing or cut, ordered by id.
    pub fn roots(&self) -> impl Iterator<Item = &Shard> {
        self.shards().filter(|shard| {
            self.parent(&shard.id).is_none_or(|parent| !self.shards.contains_key(parent))
        })
    }

    /// The parent, its parent and so on, nearest first; the last may be missing from the graph.
    pub fn ancestors<'a>(&'a self, id: &ShardId) -> impl Iterator<Item = &'a ShardId> {
        std::iter::successors(self.parent(id), |id| self.parent(id))
    }

    /// Whether `id` is a descendant of `ancestor`.
    pub fn descends(&self, id: &ShardId, ancestor: &ShardId) -> bool {
        self.ancestors(id).any(|found| found == ancestor)
    }

    /// All shards, by id.
    pub fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values()
    }

    /// All shards, parents before their children and each family together; siblings by id.
    pub fn tree(&self) -> impl Iterator<Item = &Shard> {
        let mut next: Vec<&Shard> = self.roots().collect();
        next.reverse();
        std::iter::from_fn(move || {
            let shard = next.pop()?;
            let first = next.len();
            next.extend(self.children(&shard.id));
            next[first..].reverse();
            Some(shard)
        })
    }

    /// All shards, ordered by id; the graph is dropped.
    pub fn into_shards(self) -> Vec<Shard> {
        self.shards.into_values().collect()
    }

    /// The number of shards.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there are no shards.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// The number of shards ever added. Keep it to get later the shards [added
    /// since](Self::added_since).
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// The shards added since `mark` was taken, in the order in which they were added.
    pub fn added_since(&self, mark: u64) -> impl Iterator<Item = &Shard> {
        self.added.range(mark + 1..).filter_map(|(_, id)| self.get(id))
    }

    /// Removes all shards but those that `keep` selects. Their children stay, with the parent they
    /// name.
    pub fn retain(&mut self, mut keep: impl FnMut(&Shard) -> bool) {
        let before = self.shards.len();
        self.shards.retain(|_, shard| keep(shard));
        if self.shards.len() < before {
            self.added.retain(|_, id| self.shards.contains_key(id));
            self.relink();
        }
    }

    fn take(&mut self, row: &Shard) -> bool {
        let Some(known) = self.shards.get_mut(&row.id) else {
            self.add(row.clone());
            return true;
        };
        // AWS never changes these. Where rows contradict each other, the result must not depend on
        // their order.
        let starting = known.starting.into_iter().chain(row.starting).min();
        let ending = known.ending.max(row.ending);
        let moved = known.parent < row.parent;
        let better = moved || starting != known.starting || ending != known.ending;
        (known.starting, known.ending) = (starting, ending);
        if moved {
            known.parent = row.parent.clone();
            self.relink();
        }
        better
    }

    fn add(&mut self, shard: Shard) {
        let id = shard.id.clone();
        self.mark += 1;
        self.added.insert(self.mark, id.clone());
        if let Some(parent) = &shard.parent {
            self.children.entry(parent.clone()).or_default().insert(id.clone());
        }
        self.shards.insert(id.clone(), shard);
        // Only a shard that others name as parent can close a cycle.
        if self.children.contains_key(&id) {
            self.cut_circle(&id);
        }
    }

    /// Rebuilds the links from the rows.
    fn relink(&mut self) {
        self.children.clear();
        self.cut.clear();
        for shard in self.shards.values() {
            if let Some(parent) = &shard.parent {
                self.children.entry(parent.clone()).or_default().insert(shard.id.clone());
            }
        }
        let mut clear: BTreeSet<ShardId> = BTreeSet::new();
        let ids: Vec<ShardId> = self.shards.keys().cloned().collect();
        for id in ids {
            // A path that reaches a shard of an earlier path cannot contain a new cycle.
            let mut way = Vec::new();
            let mut at = Some(id);
            while let Some(id) = at.take_if(|id| clear.insert(id.clone())) {
                at = self.parent(&id).filter(|parent| self.shards.contains_key(*parent)).cloned();
                way.push(id);
            }
            if let Some(met) = at.filter(|met| way.contains(met)) {
                self.cut_circle(&met);
            }
        }
    }

    /// If `id` is on a cycle, cuts the cycle above its smallest id.
    fn cut_circle(&mut self, id: &ShardId) {
        let mut circle: Vec<&ShardId> = Vec::new();
        let mut seen = HashSet::new();
        let mut at = Some(id);
        while let Some(found) = at {
            if !seen.insert(found) {
                break;
            }
            circle.push(found);
            at = self.parent(found);
            if at == Some(id) {
                let smallest =
                    circle.iter().copied().min().expect("it holds at least `id`").clone();
                let parent = self.parent(&smallest).expect("it lies on a circle").clone();
                if let Some(children) = self.children.get_mut(&parent) {
                    children.remove(&smallest);
                }
                self.cut.insert(smallest);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SequenceNumber;
    use proptest::prelude::*;

    fn id(text: impl std::fmt::Display) -> ShardId {
        ShardId::parse(&text.to_string()).expect("an id")
    }

    fn shard(name: &str, parent: Option<&str>) -> Shard {
        Shard { id: id(name), parent: parent.map(id), starting: None, ending: None }
    }

    fn names<'a>(shards: impl Iterator<Item = &'a Shard>) -> Vec<&'a str> {
        shards.map(|shard| shard.id.as_str()).collect()
    }

    fn graph(rows: &[(&str, Option<&str>)]) -> Graph {
        let mut graph = Graph::default();
        graph.merge(rows.iter().map(|(name, parent)| shard(name, *parent)));
        graph
    }

    /// The results of all queries that do not depend on the order of arrival.
    fn answers(graph: &Graph) -> impl PartialEq + std::fmt::Debug + use<> {
        let of = |shard: &Shard| {
            let ancestors: Vec<_> = graph.ancestors(&shard.id).cloned().collect();
            let children: Vec<_> = graph.children(&shard.id).cloned().collect();
            (shard.clone(), ancestors, children)
        };
        let shards: Vec<_> = graph.shards().map(of).collect();
        let roots: Vec<_> = graph.roots().cloned().collect();
        let tree: Vec<_> = graph.tree().cloned().collect();
        let orphaned: Vec<Vec<_>> =
            (0..24).map(|name| graph.children(&id(name)).cloned().collect()).collect();
        (shards, roots, tree, orphaned)
    }

    /// Rows that may contradict each other, name themselves, or form cycles.
    fn rows() -> impl Strategy<Value = Vec<Shard>> {
        let number = || {
            proptest::option::of(
                (1u32..9).prop_map(|n| SequenceNumber::parse(&n.to_string()).expect("n")),
            )
        };
        let row = (0u8..20, proptest::option::of(0u8..24), number(), number());
        let row = row.prop_map(|(name, parent, starting, ending)| Shard {
            id: id(name),
            parent: parent.map(id),
            starting,
            ending,
        });
        proptest::collection::vec(row, 0..60)
    }

    proptest! {
        #[test]
        fn the_same_rows_give_the_same_graph(
            rows in rows(),
            order in any::<u64>(),
            cuts in proptest::collection::vec(0usize..60, 0..6),
        ) {
            let mut whole = Graph::default();
            whole.merge(&rows);
            let mut mixed = rows.clone();
            fastrand::Rng::with_seed(order).shuffle(&mut mixed);
            let mut parts = Graph::default();
            let mut from = 0;
            let mut cuts = cuts;
            cuts.sort_unstable();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let to = cut.min(mixed.len());
                parts.merge(&mixed[from..to.max(from)]);
                from = to.max(from);
            }
            prop_assert_eq!(answers(&whole), answers(&parts));
            prop_assert_eq!(parts.merge(&rows), 0, "nothing new the second time");
        }

        #[test]
        fn every_shard_is_in_the_tree_once_and_behind_its_parent(rows in rows()) {
            let mut graph = Graph::default();
            graph.merge(&rows);
            let tree: Vec<_> = graph.tree().map(|shard| shard.id.clone()).collect();
            prop_assert_eq!(tree.iter().collect::<BTreeSet<_>>().len(), graph.len());
            prop_assert_eq!(tree.len(), graph.len());
            let at = |id: &ShardId| tree.iter().position(|found| found == id);
            for shard in graph.shards() {
                let parent = graph.parent(&shard.id).and_then(at);
                prop_assert!(parent.is_none_or(|parent| Some(parent) < at(&shard.id)));
                prop_assert!(graph.ancestors(&shard.id).count() <= graph.len());
                prop_assert!(graph.ancestors(&shard.id).all(|ancestor| *ancestor != shard.id));
                for child in graph.children(&shard.id) {
                    prop_assert_eq!(graph.parent(&child.id), Some(&shard.id));
                }
            }
        }

        #[test]
        fn forgetting_is_as_if_it_had_never_been_here(rows in rows(), forget in 0u8..20) {
            let mut graph = Graph::default();
            graph.merge(&rows);
            let keep = |shard: &Shard| shard.id != id(forget);
            graph.retain(keep);
            let mut never = Graph::default();
            never.merge(rows.iter().filter(|row| keep(row)));
            prop_assert_eq!(answers(&graph), answers(&never));
            prop_assert_eq!(graph.added_since(0).count(), graph.len());
        }

        #[test]
        fn each_shard_is_new_once(rows in rows(), at in 0usize..60) {
            let (early, late) = rows.split_at(at.min(rows.len()));
            let mut graph = Graph::default();
            graph.merge(early);
            let (mark, known) = (graph.mark(), graph.clone());
            graph.merge(late);
            let new: Vec<_> = graph.added_since(mark).map(|shard| shard.id.clone()).collect();
            prop_assert!(new.iter().all(|id| known.get(id).is_none()));
            prop_assert_eq!(known.len() + new.len(), graph.len());
        }
    }

    #[test]
    fn orphans_are_roots_until_their_parent_comes() {
        let mut graph = graph(&[("b", Some("a")), ("c", Some("b")), ("z", None)]);
        assert_eq!(names(graph.roots()), ["b", "z"]);
        assert_eq!(names(graph.children(&id("a"))), ["b"], "known though the parent is not");
        assert_eq!(graph.ancestors(&id("c")).map(ShardId::as_str).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(graph.merge([shard("a", None)]), 1);
        assert_eq!(
            (names(graph.roots()), names(graph.tree())),
            (vec!["a", "z"], vec!["a", "b", "c", "z"])
        );
        assert!(graph.descends(&id("c"), &id("a")) && !graph.descends(&id("a"), &id("c")));
    }

    #[test]
    fn a_circle_is_cut_above_its_smallest_shard() {
        let graph =
            graph(&[("b", Some("c")), ("c", Some("a")), ("a", Some("b")), ("self", Some("self"))]);
        assert_eq!(names(graph.tree()), ["a", "c", "b", "self"]);
        assert_eq!((graph.parent(&id("a")), graph.ancestors(&id("b")).count()), (None, 2));
    }

    #[test]
    fn a_parent_learned_late_moves_the_family() {
        let mut graph = graph(&[("a", None), ("b", None), ("c", Some("b"))]);
        assert_eq!(
            graph.merge([shard("b", Some("a")), shard("b", Some("a")), shard("b", None)]),
            1
        );
        assert_eq!((names(graph.roots()), names(graph.tree())), (vec!["a"], vec!["a", "b", "c"]));
    }

    #[test]
    fn ten_thousand_shards_in_one_line_are_no_work() {
        let mut rows: Vec<_> = (0..10_000)
            .map(|n| shard(&format!("{n:05}"), (n > 0).then(|| format!("{:05}", n - 1)).as_deref()))
            .collect();
        for order in 0..3 {
            match order {
                0 => {}
                1 => rows.reverse(),
                _ => fastrand::Rng::with_seed(1).shuffle(&mut rows),
            }
            let mut graph = Graph::default();
            assert_eq!(graph.merge(&rows), 10_000);
            assert_eq!(graph.ancestors(&id("09999")).count(), 9_999);
            assert_eq!(graph.tree().count(), 10_000);
            graph.retain(|shard| shard.id != id("05000"));
            assert_eq!(names(graph.roots()), ["00000", "05001"]);
        }
    }
}
