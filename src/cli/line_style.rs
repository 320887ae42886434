//! The layout of a record's line.

use owo_colors::Style;

use super::palette;
use super::record;
use super::record::template;
use super::text::{Line, safe};
use crate::config::Template;
use crate::pb::ChangeRecord;

/// How the line of a record is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineStyle<'a> {
    /// Time, kind, key and what changed.
    Plain,
    /// As `Plain`, after the shard's tag, in the shard's colour.
    Tagged,
    /// The user's own template, never cut: the line may be for another program.
    Template(&'a Template),
}

impl LineStyle<'_> {
    /// The record's line, to be cut to `width` columns; `None`: not cut.
    pub(super) fn line(
        self,
        shard_id: &str,
        record: &ChangeRecord,
        width: Option<usize>,
    ) -> String {
        let mut line = Line::default();
        match self {
            Self::Plain => record::describe(&mut line, record, width.is_some()),
            Self::Tagged => {
                line.push(palette::style(shard_id), safe(&palette::tag(shard_id)));
                line.push(Style::new(), " ");
                record::describe(&mut line, record, width.is_some());
            }
            Self::Template(wished) => return template::fill(wished, shard_id, record).render(None),
        }
        line.render(width)
    }
}
