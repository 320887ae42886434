//! One frame of `tree --watch`: a line per shard, with fixed columns, fitted to the screen's width
//! and height.

use std::collections::BTreeMap;
use std::time::Duration;

use owo_colors::Style;

use super::changes::Watched;
use super::forest::Forest;
use super::progress;
use crate::cli::shard::short_id;
use crate::cli::text::{Line, columns, safe};
use crate::cli::{event, palette, time};
use crate::model::Timestamp;
use crate::pb::{ReadingState, Shard, ShardProgress, ShardState, StreamStatus};

/// The columns after the shard's name: title, width, and whether the text is aligned right.
const COLUMNS: [(&str, usize, bool); 8] = [
    ("STATE", 6, false),
    ("AGE", 6, true),
    ("READING", 7, false),
    ("LAG", 6, true),
    ("TRIM IN", 7, true),
    ("POSITION", 9, true),
    ("LANES", 5, true),
    ("SUBS", 4, true),
];

/// Lines that show no shard: above and below the shards, and the cursor's.
const FURNITURE: usize = 4;

/// What one frame shows.
pub(super) struct LiveFrame<'a> {
    /// The stream as the user named it.
    pub stream: &'a str,
    /// What is known of the stream.
    pub watched: &'a Watched,
    /// The current time, for the age of shards.
    pub now: Timestamp,
    /// The current problem; empty when there is none.
    pub trouble: &'a str,
}

struct TreeRow<'a> {
    /// The branch lines from its ancestors to the shard.
    branch: String,
    progress: &'a ShardProgress,
    shard: &'a Shard,
}

impl LiveFrame<'_> {
    /// The frame's lines, with colours: fewer than `height`, each of at most `width` columns.
    pub(super) fn lines(&self, width: usize, height: usize) -> Vec<String> {
        let room = height.saturating_sub(FURNITURE).max(1);
        let all = self.watched.shards.values();
        let (resting, shown): (Vec<_>, Vec<_>) = all.clone().partition(|shard| is_resting(shard));
        let folded = self.watched.shards.len() > room && !resting.is_empty();
        let mut rows = rows(if folded { shown } else { all.collect() });
        let cut = rows.len().saturating_sub(room);
        rows.truncate(room);

        let name = naming(&rows, width);
        let mut lines = vec![self.title(), header(name.width)];
        lines.extend(rows.iter().map(|row| self.line(row, &name)));
        lines.extend(self.footer(if folded { resting.len() } else { 0 }, cut));
        lines.iter().map(|line| line.render(Some(width))).collect()
    }

    fn title(&self) -> Line {
        let shards = &self.watched.shards;
        let open = shards.values().filter(|progress| state(progress) == ShardState::Open).count();
        let mut line = Line::default();
        line.push(Style::new().bold(), safe(self.stream));
        line.push(
            Style::new().dimmed(),
            format!("  {}, {open} open", event::count(shards.len() as u64, "shard")),
        );
        if !matches!(self.watched.status, StreamStatus::Enabled | StreamStatus::Unspecified) {
            line.push(Style::new().yellow(), format!("  {}", status_word(self.watched.status)));
        }
        line.push(Style::new().dimmed(), "  Ctrl-C stops");
        line
    }

    /// The last line: the current problem, or how many shards there was no room for.
    fn footer(&self, resting: usize, cut: usize) -> Option<Line> {
        let mut line = Line::default();
        let (rest, more) =
            (event::count(resting as u64, "closed shard"), event::count(cut as u64, "more shard"));
        let hidden = match (resting, cut) {
            (0, 0) => String::new(),
            (_, 0) => format!("{rest} at rest not shown"),
            (0, _) => format!("{more} not shown: the window is too low"),
            (_, _) => format!("{rest} at rest and {more} not shown: the window is too low"),
        };
        match (self.trouble, hidden.as_str()) {
            ("", "") => return None,
            ("", hidden) => line.push(Style::new().dimmed(), hidden),
            (trouble, _) => line.push(Style::new().yellow(), trouble),
        };
        Some(line)
    }

    fn line(&self, row: &TreeRow<'_>, name: &ShardNaming) -> Line {
        let (shard, told) = (row.shard, row.progress);
        let (plain, dimmed) = (Style::new(), Style::new().dimmed());
        let mut line = Line::default();
        let id = (name.of)(&shard.shard_id);
        let branch = shortened(&row.branch, name.width.saturating_sub(columns(&id)));
        let pad = " ".repeat(name.width.saturating_sub(columns(&branch) + columns(&id)));
        line.push(dimmed, branch).push(palette::style(&shard.shard_id), id).push(plain, pad);
        let (state_style, state) = match shard.state() {
            ShardState::Open => (plain.green(), "open"),
            ShardState::Closed => (dimmed, "closed"),
            ShardState::Unspecified => (plain, "?"),
        };
        let (word_style, word) = progress::word(told);
        let created = shard.created_time.as_ref().and_then(time::of_message);
        let trim = progress::time_to_trim(told);
        let cells = [
            (state_style, state.to_owned()),
            (
                plain,
                created.map(|created| time::short(self.now.since(created))).unwrap_or_default(),
            ),
            (word_style, if word.is_empty() { "-".to_owned() } else { word.to_owned() }),
            (plain, progress::lag(told).map(time::short).unwrap_or_default()),
            (trim_style(trim), trim.map(time::short).unwrap_or_default()),
            (dimmed, progress::position(told)),
            (plain, told.lanes.to_string()),
            (plain, told.subscribers.to_string()),
        ];
        for ((_, width, right), (style, text)) in COLUMNS.into_iter().zip(cells) {
            push_cell(&mut line, style, &text, width, right);
        }
        line
    }
}

/// How ids become names, and the width of the column with branches and names.
struct ShardNaming {
    of: fn(&str) -> String,
    width: usize,
}

/// Names from ids where all fit, else short tags.
fn naming(rows: &[TreeRow<'_>], width: usize) -> ShardNaming {
    let others: usize = COLUMNS.iter().map(|(_, width, _)| width + 1).sum();
    let room = width.saturating_sub(others);
    let long: fn(&str) -> String = |id| safe(short_id(id));
    let short: fn(&str) -> String = |id| safe(&palette::tag(id));
    let widest = |of: fn(&str) -> String| {
        rows.iter()
            .map(|row| columns(&row.branch) + columns(&of(&row.shard.shard_id)))
            .max()
            .unwrap_or_default()
    };
    let of = if widest(long) <= room { long } else { short };
    ShardNaming { of, width: widest(of).min(room).max(columns("SHARD")) }
}

/// Cuts a branch that has no room at its front: the depth says less than the columns after it.
fn shortened(branch: &str, room: usize) -> String {
    match columns(branch).checked_sub(room) {
        None | Some(0) => branch.to_owned(),
        Some(over) => std::iter::once('…').chain(branch.chars().skip(over + 1)).collect(),
    }
}

fn header(name: usize) -> Line {
    let style = Style::new().dimmed();
    let mut line = Line::default();
    line.push(style, format!("{:name$}", "SHARD"));
    for (title, width, right) in COLUMNS {
        push_cell(&mut line, style, title, width, right);
    }
    line
}

fn push_cell(line: &mut Line, style: Style, text: &str, width: usize, right: bool) {
    let pad = " ".repeat(width.saturating_sub(columns(text)));
    line.push(Style::new(), " ");
    if right {
        line.push(Style::new(), pad).push(style, text);
    } else {
        line.push(style, text).push(Style::new(), pad);
    }
}

/// Rows in the order of the tree, each with its branch lines.
fn rows(shown: Vec<&ShardProgress>) -> Vec<TreeRow<'_>> {
    let by_id: BTreeMap<&str, &ShardProgress> =
        shown.iter().map(|told| (progress::id(told), *told)).collect();
    let forest = Forest::of(shown.iter().filter_map(|told| told.shard.as_ref()));
    let mut rows = Vec::new();
    let mut waiting = branches(&forest.roots, "");
    while let Some((shard, branch, indent)) = waiting.pop() {
        waiting.extend(branches(forest.below(shard), &indent));
        let told = by_id.get(shard.shard_id.as_str());
        rows.extend(told.map(|progress| TreeRow { branch, progress, shard }));
    }
    rows
}

/// Siblings in reverse order: each with its own branch lines, and those before its children's.
fn branches<'a>(siblings: &[&'a Shard], indent: &str) -> Vec<(&'a Shard, String, String)> {
    let last = siblings.len().saturating_sub(1);
    let branch = |(at, shard): (usize, &&'a Shard)| {
        let (to, past) = if at == last { ("└ ", "  ") } else { ("├ ", "│ ") };
        (*shard, format!("{indent}{to}"), format!("{indent}{past}"))
    };
    siblings.iter().enumerate().map(branch).rev().collect()
}

/// Whether the shard is closed, not trimmed before it was read, and nothing reads or follows it.
fn is_resting(progress: &ShardProgress) -> bool {
    let busy = matches!(
        progress.state(),
        ReadingState::Waiting | ReadingState::Reading | ReadingState::Trimmed
    );
    state(progress) == ShardState::Closed
        && !busy
        && progress.lanes == 0
        && progress.subscribers == 0
}

fn state(progress: &ShardProgress) -> ShardState {
    progress.shard.as_ref().map_or(ShardState::Unspecified, Shard::state)
}

fn trim_style(left: Option<Duration>) -> Style {
    match left.map(|left| left.as_secs() / 3_600) {
        Some(0) => Style::new().red().bold(),
        Some(1..4) => Style::new().yellow(),
        Some(_) | None => Style::new(),
    }
}

fn status_word(status: StreamStatus) -> &'static str {
    status.as_str_name().trim_start_matches("STREAM_STATUS_")
}

#[cfg(test)]
mod tests;
