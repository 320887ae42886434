//! A tree drawn once, as tall as it is.

use owo_colors::{OwoColorize, Style};
use termtree::Tree;

use super::forest::Forest;
use super::progress::{self, Progress};
use crate::cli::shard::{self, short_id};
use crate::cli::text::{Line, columns};
use crate::cli::{event, palette};
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
    /// Whether ids and numbers are shown whole, to be copied, in lines as long as it takes.
    pub full: bool,
    /// Columns of a line, if there is a limit.
    pub width: Option<usize>,
    /// Whether all shards are there, so that a missing parent is gone.
    pub all: bool,
}

/// How a shard is named.
type NameFn = fn(&str) -> String;

impl Drawing<'_> {
    /// The tree below the stream's name, which must be safe.
    pub fn draw(&self, stream: &str) -> Tree<String> {
        let all = self.forest.walk();
        let open = all.iter().filter(|(shard, _)| shard.state() == ShardState::Open).count();
        let count = format!("  {}, {open} open", event::count(all.len() as u64, "shard"));
        let root = format!("{}{}", stream.bold(), count.dimmed());
        let naming = self.naming(&all);
        Tree::new(root)
            .with_leaves(self.forest.roots.iter().map(|shard| self.node(shard, 1, naming)))
    }

    /// The longest names with which what is said of each shard fits.
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
        // A part of a number says nothing.
        if room.is_none_or(|room| line.columns() + columns(&place) <= room) {
            line.push(Style::new().dimmed(), place);
        }
        let below =
            self.forest.below(shard).iter().map(|child| self.node(child, depth + 1, naming));
        Tree::new(line.render(room)).with_leaves(below)
    }

    /// Everything but numbers.
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

    /// Where it is read is of more use than where it begins and ends, and there is no room for
    /// both.
    fn place(&self, shard: &Shard) -> String {
        let told =
            self.progress.get(&shard.shard_id).filter(|told| !told.sequence_number.is_empty());
        match told {
            Some(told) if !self.full => format!("  at {}", progress::position(told)),
            Some(_) | None => format!("  {}", shard::range(shard, self.full)),
        }
    }
}
