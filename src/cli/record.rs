//! Formats one record: a line for people, an object for programs.

use owo_colors::Style;
use serde_json::{Map, Value as Json, json};

use super::text::{Line, safe};
use super::time;
use super::value::{self, Attributes};
use crate::pb::{AttributeValue, ChangeRecord, ChangeType, Meta, StreamViewType};

pub(super) mod template;

/// The most columns of one value in a line of limited width, so that a long value does not hide all
/// others.
const VALUE_COLUMNS: usize = 28;

/// The record as `{shard_id, key, new_image, old_image, meta}`, with the names of the proto and
/// values in DynamoDB's own JSON. Absent fields are left out.
pub(super) fn json(shard_id: &str, record: &ChangeRecord) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("shard_id".into(), shard_id.into());
    for (name, image) in
        [("key", &record.key), ("new_image", &record.new_image), ("old_image", &record.old_image)]
    {
        if !image.is_empty() {
            object.insert(name.into(), value::json_map(image));
        }
    }
    // Always present: it marks an object as a record.
    object.insert("meta".into(), meta_json(&record.meta.clone().unwrap_or_default()));
    object
}

/// Adds the record to a line, as time, kind, key and what changed.
pub(super) fn describe(line: &mut Line, record: &ChangeRecord, fitted: bool) {
    let meta = record.meta.clone().unwrap_or_default();
    let (kind, style) = kind(&meta);
    let width = fitted.then_some(VALUE_COLUMNS);
    line.push(Style::new().dimmed(), time::of_day(meta.created_at.as_ref()));
    line.push(style, format!(" {kind:<6}"));
    for (name, value) in &record.key {
        line.push(Style::new(), " ");
        line.push(Style::new().bold(), format!("{}={}", safe(name), value::short(value, width)));
    }
    if meta.user_identity.as_ref().is_some_and(|by| by.principal_id == "dynamodb.amazonaws.com") {
        line.push(Style::new().dimmed(), " (time to live)");
    }
    changes(line, record, width);
}

fn changes(line: &mut Line, record: &ChangeRecord, width: Option<usize>) {
    let (old, new) = (&record.old_image, &record.new_image);
    let plain = Style::new();
    let mut gap = "  ";
    let mut start = |line: &mut Line| {
        line.push(plain, gap);
        gap = ", ";
    };
    // With only one image there is nothing to compare.
    if old.is_empty() || new.is_empty() {
        let style = if new.is_empty() { plain.dimmed() } else { plain };
        for (name, value) in beside_key(if new.is_empty() { old } else { new }, &record.key) {
            start(line);
            line.push(style, format!("{}={}", safe(name), value::short(value, width)));
        }
        return;
    }
    for (name, is) in beside_key(new, &record.key) {
        if let Some(was) = old.get(name).filter(|was| *was != is) {
            start(line);
            line.push(plain, format!("{}: ", safe(name)));
            line.push(plain.dimmed(), value::short(was, width));
            line.push(plain, format!(" → {}", value::short(is, width)));
        }
    }
    for (name, is) in
        beside_key(new, &record.key).into_iter().filter(|(name, _)| !old.contains_key(*name))
    {
        start(line);
        line.push(plain.green(), format!("+{}", safe(name)));
        line.push(plain, format!("={}", value::short(is, width)));
    }
    for (name, _) in
        beside_key(old, &record.key).into_iter().filter(|(name, _)| !new.contains_key(*name))
    {
        start(line);
        line.push(plain.red(), format!("-{}", safe(name)));
    }
}

/// The attributes that are not part of the key, the most readable first.
fn beside_key<'a>(
    image: &'a Attributes,
    key: &Attributes,
) -> Vec<(&'a String, &'a AttributeValue)> {
    let mut attributes: Vec<_> =
        image.iter().filter(|(name, _)| !key.contains_key(*name)).collect();
    // A stable sort: equal ones stay in the order of their names.
    attributes.sort_by_key(|(_, value)| value::obscurity(value));
    attributes
}

fn kind(meta: &Meta) -> (String, Style) {
    let change = meta.change.clone().unwrap_or_default();
    match change.r#type() {
        ChangeType::Insert => ("INSERT".into(), Style::new().green()),
        ChangeType::Modify => ("MODIFY".into(), Style::new().yellow()),
        ChangeType::Remove => ("REMOVE".into(), Style::new().red()),
        ChangeType::Unspecified if change.name.is_empty() => ("?".into(), Style::new()),
        ChangeType::Unspecified => (safe(&change.name), Style::new()),
    }
}

fn meta_json(meta: &Meta) -> Json {
    let change = meta.change.clone().unwrap_or_default();
    let mut object = Map::new();
    if let Some(time) = &meta.created_at {
        object.insert("created_at".into(), time::rfc3339(time).into());
    }
    let mut what = Map::new();
    put(&mut what, "id", &change.id);
    if change.r#type() != ChangeType::Unspecified {
        put(&mut what, "type", change.r#type().as_str_name().trim_start_matches("CHANGE_TYPE_"));
    }
    put(&mut what, "version", &change.version);
    put(&mut what, "name", &change.name);
    if !what.is_empty() {
        object.insert("change".into(), Json::Object(what));
    }
    put(&mut object, "sequence_number", &meta.sequence_number);
    if let Some(bytes) = meta.size_bytes {
        object.insert("size_bytes".into(), json!(bytes));
    }
    if meta.stream_view_type() != StreamViewType::Unspecified {
        put(&mut object, "stream_view_type", view_type(meta.stream_view_type()));
    }
    if let Some(by) = &meta.user_identity {
        let mut identity = Map::new();
        put(&mut identity, "type", &by.r#type);
        put(&mut identity, "principal_id", &by.principal_id);
        object.insert("user_identity".into(), Json::Object(identity));
    }
    put(&mut object, "aws_region", &meta.aws_region);
    put(&mut object, "event_source", &meta.event_source);
    Json::Object(object)
}

/// AWS's name of a view type.
pub(super) fn view_type(view_type: StreamViewType) -> &'static str {
    view_type.as_str_name().trim_start_matches("STREAM_VIEW_TYPE_")
}

/// Inserts the text under a name, unless it is empty, which means absent.
pub(super) fn put(object: &mut Map<String, Json>, name: &str, text: &str) {
    if !text.is_empty() {
        object.insert(name.into(), text.into());
    }
}

#[cfg(test)]
mod tests;
