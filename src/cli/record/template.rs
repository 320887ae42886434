//! A record in the words of a template.

use owo_colors::Style;

use super::kind;
use crate::cli::text::{Line, safe};
use crate::cli::value::{self, Attributes};
use crate::cli::{palette, time};
use crate::config::{Field, Piece, Template};
use crate::pb::ChangeRecord;

/// The template with what the record says in its places. What the record lacks leaves its place
/// empty.
pub fn fill(template: &Template, shard_id: &str, record: &ChangeRecord) -> Line {
    let mut line = Line::default();
    for piece in &template.pieces {
        match piece {
            // The person's own words: they may well hold what moves the cursor.
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

/// Whole, by name.
fn attributes(attributes: &Attributes) -> String {
    let said = attributes
        .iter()
        .map(|(name, value)| format!("{}={}", safe(name), value::short(value, None)));
    said.collect::<Vec<_>>().join(", ")
}
