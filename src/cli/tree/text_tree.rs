//! Draws a whole tree once, without a limit on its height.

use owo_colors::{OwoColorize, Style};
use termtree::Tree;

use super::forest::Forest;
use super::progress;
use super::progress::Progress;
use crate::cli::shard::{self, short_id};
use crate::cli::text::{Line, columns};
use crate::cli::{event, palette};
use crate::model::Timestamp;
use crate::pb::{Shard, ShardState};

/// Columns that each level is indented by.
const INDENT: usize = 4;

/// What is drawn, and how.
pub(super) struct TextTree<'a> {
    /// The shards.
    pub forest: &'a Forest<'a>,
    /// The reading progress of the shards, where known.
    pub progress: &'a Progress,
    /// The current time, for the age of shards.
    pub now: Timestamp,
    /// Whether ids and sequence numbers are shown whole, to be copied, in lines of any length.
    pub full: bool,
    /// The most columns of a line; `None`: no limit.
    pub width: Option<usize>,
    /// Whether the forest has all shards of the stream, so that a missing parent no longer exists.
    pub all: bool,
}

/// Shortens a shard's id to its name in the tree.
type NameFn = fn(&str) -> String;

impl TextTree<'_> {
    /// The tree below the stream's name; the name must already be safe.
    pub(super) fn draw(&self, stream: &str) -> Tree<String> {
        let all = self.forest.walk();
        let open = all.iter().filter(|(shard, _)| shard.state() == ShardState::Open).count();
        let count = format!("  {}, {open} open", event::count(all.len() as u64, "shard"));
        let root = format!("{}{}", stream.bold(), count.dimmed());
        let naming = self.naming(&all);
        Tree::new(root)
            .with_leaves(self.forest.roots.iter().map(|shard| self.node(shard, 1, naming)))
    }

    /// The longest names with which the description of every shard fits its line.
    fn naming(&self, all: &[(&Shard, usize)]) -> NameFn {
        let whole: NameFn = |id| id.to_owned();
        let short: NameFn = |id| short_id(id).to_owned();
        let fits = |(shard, depth): &(&Shard, usize)| {
            self.room(depth + 1)
                .is_none_or(|room| self.told(shard, depth + 1, short).columns() <= room)
        };
        match self.full {
            true => whole,
            false if all.iter().all(fits) => short,
            false => palette::tag,
        }
    }

    fn room(&self, depth: usize) -> Option<usize> {
        self.width.map(|width| width.saturating_sub(depth * INDENT))
    }

    fn node(&self, shard: &Shard, depth: usize, naming: NameFn) -> Tree<String> {
        let room = self.room(depth);
        let mut line = self.told(shard, depth, naming);
        let place = self.place(shard);
        // Left out when it does not fit: a cut number says nothing.
        if room.is_none_or(|room| line.columns() + columns(&place) <= room) {
            line.push(Style::new().dimmed(), place);
        }
        let below =
            self.forest.below(shard).iter().map(|child| self.node(child, depth + 1, naming));
        Tree::new(line.render(room)).with_leaves(below)
    }

    /// The description of a shard without sequence numbers.
    fn told(&self, shard: &Shard, depth: usize, naming: NameFn) -> Line {
        let mut line = shard::head(shard, &naming(&shard.shard_id), self.now);
        if self.all && depth == 1 && !shard.parent_shard_id.is_empty() {
            line.push(Style::new().yellow(), "  parent is gone");
        }
        if let Some((style, words)) = self.progress.get(&shard.shard_id).and_then(progress::words) {
            line.push(style, format!("  {words}"));
        }
        line
    }

    /// The position read, else the range of sequence numbers. The position is of more use, and
    /// there is no room for both.
    fn place(&self, shard: &Shard) -> String {
        let told =
            self.progress.get(&shard.shard_id).filter(|told| !told.sequence_number.is_empty());
        match told {
            Some(told) if !self.full => format!("  at {}", progress::position(told)),
            Some(_) | None => format!("  {}", shard::range(shard, self.full)),
        }
    }
}
