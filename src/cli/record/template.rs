//! Fills the user's template with the fields of a record.

use owo_colors::Style;

use super::kind;
use crate::cli::text::{Line, safe};
use crate::cli::value::{self, Attributes};
use crate::cli::{palette, time};
use crate::config::{Field, Piece, Template};
use crate::pb::ChangeRecord;

/// The template with its placeholders replaced by the record's fields. Absent fields become empty.
pub(crate) fn fill(template: &Template, shard_id: &str, record: &ChangeRecord) -> Line {
    let mut line = Line::default();
    for piece in &template.pieces {
        match piece {
            // Text from the user's own command line needs no escaping.
            Piece::Text(text) => line.push(Style::new(), text),
            Piece::Field(field) => {
                let (style, text) = said(*field, shard_id, record);
                line.push(style, text)
            }
        };
    }
    line
}

fn said(field: Field, shard_id: &str, record: &ChangeRecord) -> (Style, String) {
    let plain = |text: String| (Style::new(), text);
    let meta = record.meta.clone().unwrap_or_default();
    match field {
        Field::Time => plain(meta.created_at.as_ref().map(time::rfc3339).unwrap_or_default()),
        Field::Type => {
            let (kind, style) = kind(&meta);
            (style, kind)
        }
        Field::Shard => (palette::style(shard_id), safe(shard_id)),
        Field::Sequence => plain(safe(&meta.sequence_number)),
        Field::Key => plain(attributes(&record.key)),
        Field::New => plain(attributes(&record.new_image)),
        Field::Old => plain(attributes(&record.old_image)),
        Field::Id => plain(safe(&meta.change.unwrap_or_default().id)),
    }
}

/// All attributes by name, with whole values.
fn attributes(attributes: &Attributes) -> String {
    let said = attributes
        .iter()
        .map(|(name, value)| format!("{}={}", safe(name), value::short(value, None)));
    said.collect::<Vec<_>>().join(", ")
}
