//! A tree drawn once, as tall as it is.

use owo_colors::{OwoColorize, Style};
use termtree::Tree;

use super::forest::Forest;
use super::progress::{self, Progress};
use crate::cli::shard::{self, Whole};
use crate::cli::{event, text::Line};
use crate::model::Timestamp;
use crate::pb::{Shard, ShardState};

/// Columns that one level is drawn in.
const INDENT: usize = 4;

/// What is drawn, and how.
pub struct Drawing<'a> {
    /// The shards.
    pub forest: &'a Forest<'a>,
    /// How far they are read, where that is known.
    pub progress: &'a Progress,
    /// For their age.
    pub now: Timestamp,
    /// What is not shortened.
    pub whole: Whole,
    /// Columns of a line, if there is a limit.
    pub width: Option<usize>,
    /// Whether all shards are there, so that a missing parent is gone.
    pub all: bool,
}

impl Drawing<'_> {
    /// The tree below the stream's name, which must be safe.
    pub fn draw(&self, stream: &str) -> Tree<String> {
        let all = self.forest.walk();
        let open = all.iter().filter(|(shard, _)| shard.state() == ShardState::Open).count();
        let count = format!("  {}, {open} open", event::count(all.len() as u64, "shard"));
        let root = format!("{}{}", stream.bold(), count.dimmed());
        Tree::new(root).with_leaves(self.forest.roots.iter().map(|shard| self.node(shard, 1)))
    }

    fn node(&self, shard: &Shard, depth: usize) -> Tree<String> {
        let label = self.line(shard, depth).render(self.width.map(|width| width.saturating_sub(depth * INDENT)));
        Tree::new(label).with_leaves(self.forest.below(shard).iter().map(|child| self.node(child, depth + 1)))
    }

    fn line(&self, shard: &Shard, depth: usize) -> Line {
        let mut line = shard::head(shard, self.now, self.whole);
        if self.all && depth == 1 && !shard.parent_shard_id.is_empty() {
            line.push(Style::new().yellow(), "  parent is gone");
        }
        let told = self.progress.get(&shard.shard_id);
        if let Some((style, words)) = told.and_then(progress::words) {
            line.push(style, format!("  {words}"));
        }
        // Where it is read is of more use than where it begins, and there is no room for both.
        match told.filter(|told| !told.sequence_number.is_empty()) {
            Some(told) if !self.whole.numbers => {
                line.push(Style::new().dimmed(), format!("  at {}", progress::position(told)));
            }
            Some(_) | None => shard::push_range(&mut line, shard, self.whole),
        }
        line
    }
}
