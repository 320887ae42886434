//! `tree`: the shards of a stream, drawn below their parents.

use std::collections::{BTreeMap, BTreeSet};

use owo_colors::OwoColorize;
use serde_json::Value as Json;
use termtree::Tree;

use super::client::Client;
use super::failure::Result;
use super::output::Output;
use super::shard::Whole;
use super::text::safe;
use super::{choose, event, shard};
use crate::config::TreeArgs;
use crate::exit::Exit;
use crate::model::Timestamp;
use crate::pb::{Shard, ShardState};

/// Columns that one level is drawn in.
const INDENT: usize = 4;

/// Runs it.
pub async fn run(client: &mut Client, args: &TreeArgs, now: Timestamp, out: &mut Output) -> Result<Exit> {
    let stream = choose::stream_name(&args.stream);
    let shards = match &args.shard {
        None => client.list_shards(stream).await?,
        Some(id) => {
            let name = choose::named(client, &args.stream, id).await?;
            client.walk_tree(name).await?
        }
    };
    let forest = Forest::of(&shards);
    if out.is_json() {
        for (shard, depth) in forest.walk() {
            let mut object = shard::json(shard);
            object.insert("depth".into(), depth.into());
            out.json(&Json::Object(object))?;
        }
    } else {
        // What is to be copied is not cut.
        let width = out.width().filter(|_| !args.full);
        let whole = Whole { ids: args.full, numbers: args.full };
        let drawing = Drawing { forest: &forest, now, whole, width, all: args.shard.is_none() };
        out.text(drawing.draw(&safe(stream)).to_string().trim_end())?;
    }
    out.flush()?;
    if shards.is_empty() {
        out.say("the stream has no shards yet".dimmed());
    }
    Ok(Exit::Ok)
}

/// Shards below their parents. Nothing that an upstream says is believed: whatever is listed is drawn once.
struct Forest<'a> {
    roots: Vec<&'a Shard>,
    children: BTreeMap<&'a str, Vec<&'a Shard>>,
}

struct Drawing<'a> {
    forest: &'a Forest<'a>,
    now: Timestamp,
    whole: Whole,
    width: Option<usize>,
    /// Whether all shards are there, so that a missing parent is gone.
    all: bool,
}

impl<'a> Forest<'a> {
    fn of(shards: &'a [Shard]) -> Self {
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
        // A circle of parents has no root: it is cut open at its first shard.
        let mut reached: BTreeSet<&str> = forest.walk().iter().map(|(shard, _)| shard.shard_id.as_str()).collect();
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

    fn below(&self, shard: &Shard) -> &[&'a Shard] {
        self.children.get(shard.shard_id.as_str()).map_or(&[], Vec::as_slice)
    }

    /// Every shard after its parent, with how deep it lies.
    fn walk(&self) -> Vec<(&'a Shard, usize)> {
        let mut walked = Vec::new();
        let mut waiting: Vec<(&Shard, usize)> = self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((shard, depth)) = waiting.pop() {
            walked.push((shard, depth));
            waiting.extend(self.below(shard).iter().rev().map(|child| (*child, depth + 1)));
        }
        walked
    }
}

impl Drawing<'_> {
    fn draw(&self, stream: &str) -> Tree<String> {
        let all = self.forest.walk();
        let open = all.iter().filter(|(shard, _)| shard.state() == ShardState::Open).count();
        let count = format!("  {}, {open} open", event::count(all.len() as u64, "shard"));
        let root = format!("{}{}", stream.bold(), count.dimmed());
        Tree::new(root).with_leaves(self.forest.roots.iter().map(|shard| self.node(shard, 1)))
    }

    fn node(&self, shard: &Shard, depth: usize) -> Tree<String> {
        let orphan = self.all && depth == 1 && !shard.parent_shard_id.is_empty();
        let line = shard::line(shard, self.now, self.whole, if orphan { "parent is gone" } else { "" });
        let label = line.render(self.width.map(|width| width.saturating_sub(depth * INDENT)));
        Tree::new(label).with_leaves(self.forest.below(shard).iter().map(|child| self.node(child, depth + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: &str) -> Shard {
        Shard { shard_id: id.into(), parent_shard_id: parent.into(), ..Default::default() }
    }

    fn walked(shards: &[Shard]) -> Vec<(String, usize)> {
        Forest::of(shards).walk().into_iter().map(|(shard, depth)| (shard.shard_id.clone(), depth)).collect()
    }

    fn expected(rows: &[(&str, usize)]) -> Vec<(String, usize)> {
        rows.iter().map(|(id, depth)| ((*id).to_owned(), *depth)).collect()
    }

    #[test]
    fn children_lie_below_parents_and_orphans_are_roots() {
        let shards = [shard("b", "a"), shard("a", ""), shard("d", "b"), shard("c", "a"), shard("o", "gone")];
        assert_eq!(walked(&shards), expected(&[("a", 0), ("b", 1), ("d", 2), ("c", 1), ("o", 0)]));
    }

    #[test]
    fn circles_are_cut_and_nothing_is_drawn_twice() {
        let shards = [shard("a", "b"), shard("b", "a"), shard("x", "x"), shard("a", ""), shard("c", "b")];
        assert_eq!(walked(&shards), expected(&[("a", 0), ("b", 1), ("c", 2), ("x", 0)]));
    }
}
