//! What is told beside records: in words to the person, as objects to programs.
//!
//! Programs get gaps and unreadable records among the data, because whoever counts records has to know of those that are
//! missing. Such an object has the event's name in the place of `meta`.

use std::io;

use serde_json::{Map, Value as Json, json};

use super::output::Output;
use super::record::{self, put};
use super::shard::{self, short_id};
use super::text::safe;
use super::time;
use crate::pb::{ChangeRecord, Gap, GapCause, ShardEnd, Unreadable};

/// Prints records; the last bears the token that covers them all.
pub fn records(out: &mut Output, shard_id: &str, records: &[ChangeRecord], token: &str) -> io::Result<()> {
    for (index, change) in records.iter().enumerate() {
        if out.is_json() {
            let mut object = record::json(shard_id, change);
            if index + 1 == records.len() {
                put(&mut object, "token", token);
            }
            out.json(&Json::Object(object))?;
        } else {
            out.line(&record::line(change, out.width().is_some()))?;
        }
    }
    out.flush()
}

/// Tells of lost records.
pub fn gap(out: &mut Output, gap: &Gap, token: &str) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        put(&mut object, "after_sequence_number", &gap.after_sequence_number);
        if let Some(time) = &gap.after_time {
            put(&mut object, "after_time", &time::rfc3339(time));
        }
        put(&mut object, "before_sequence_number", &gap.before_sequence_number);
        put(&mut object, "cause", gap.cause().as_str_name().trim_start_matches("GAP_CAUSE_"));
        object.insert("certain".into(), gap.certain.into());
        if let Some(time) = &gap.detected_time {
            put(&mut object, "detected_time", &time::rfc3339(time));
        }
        event(out, &gap.shard_id, "gap", object, token)?;
    }
    out.warn(gap_words(gap));
    Ok(())
}

/// Tells of a record that cannot be read.
pub fn unreadable(out: &mut Output, unreadable: &Unreadable, token: &str) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        put(&mut object, "sequence_number", &unreadable.sequence_number);
        put(&mut object, "after_sequence_number", &unreadable.after_sequence_number);
        put(&mut object, "cause", &unreadable.cause);
        event(out, &unreadable.shard_id, "unreadable", object, token)?;
    }
    let number = match unreadable.sequence_number.as_str() {
        "" => format!("after {}", or_start(&unreadable.after_sequence_number)),
        number => safe(number),
    };
    out.warn(format_args!("unreadable: the record {number} cannot be read: {}", safe(&unreadable.cause)));
    Ok(())
}

/// Tells of a shard's end and its children.
pub fn shard_end(out: &mut Output, end: &ShardEnd, token: &str) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        let children = end.children.iter().map(|child| Json::Object(shard::json(child))).collect();
        object.insert("children".into(), Json::Array(children));
        object.insert("complete".into(), json!(end.complete));
        event(out, &end.shard_id, "shard_end", object, token)?;
    }
    let children = match end.children.len() {
        1 => "1 child".to_owned(),
        count => format!("{count} children"),
    };
    let later = if end.complete { "" } else { "; more may appear, `children` asks again" };
    out.say(format_args!("shard {} has ended, with {children}{later}", safe(short_id(&end.shard_id))));
    Ok(())
}

/// So many of something, in words.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn event(out: &mut Output, shard_id: &str, name: &str, event: Map<String, Json>, token: &str) -> io::Result<()> {
    let mut object = Map::new();
    put(&mut object, "shard_id", shard_id);
    object.insert(name.into(), Json::Object(event));
    put(&mut object, "token", token);
    out.json(&Json::Object(object))?;
    out.flush()
}

fn gap_words(gap: &Gap) -> String {
    let lost = if gap.certain { "records are gone" } else { "records may be gone" };
    let after = gap.after_time.as_ref().map(|time| format!(" ({})", time::rfc3339(time))).unwrap_or_default();
    let before = match gap.before_sequence_number.as_str() {
        "" => "what comes next",
        number => number,
    };
    let why = match gap.cause() {
        GapCause::ShardExpired => "AWS no longer has the shard",
        GapCause::Trimmed => "AWS trimmed them after 24 hours",
        GapCause::StreamReplaced => "AWS no longer has the stream",
        GapCause::Unspecified => "the cause is not known",
    };
    let from = or_start(&gap.after_sequence_number);
    format!("GAP in shard {}: {lost} between {from}{after} and {}: {why}", safe(short_id(&gap.shard_id)), safe(before))
}

fn or_start(number: &str) -> String {
    if number.is_empty() { "the beginning".into() } else { safe(number) }
}
