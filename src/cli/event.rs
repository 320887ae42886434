//! Prints records and everything else in a response stream: as text for people, as JSON for
//! programs.
//!
//! Programs get gaps and unreadable records among the data, because a program that counts records
//! has to know about missing ones. Such an object has the event's name as key instead of `meta`.

use std::io;

use owo_colors::OwoColorize;
use serde_json::{Map, Value as Json, json};

use super::line_style::LineStyle;
use super::output::Output;
use super::record::{self, put};
use super::shard::{self, short_id};
use super::text::safe;
use super::time;
use crate::pb::{
    ChangeRecord, End, Gap, GapCause, Heartbeat, Shard, ShardEnd, StreamEnd, Unreadable,
};

/// The tokens that resume after a message. Either may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens<'a> {
    /// Resumes this shard alone.
    pub shard: &'a str,
    /// Resumes everything that is followed.
    pub all: &'a str,
}

impl Tokens<'_> {
    fn put(self, object: &mut Map<String, Json>) {
        put(object, "shard_token", self.shard);
        put(object, "token", self.all);
    }
}

/// Prints records; the last one gets the tokens, which cover them all.
pub(super) fn records(
    out: &mut Output,
    look: LineStyle<'_>,
    shard_id: &str,
    records: &[ChangeRecord],
    tokens: Tokens<'_>,
) -> io::Result<()> {
    for (index, change) in records.iter().enumerate() {
        if out.is_json() {
            let mut object = record::json(shard_id, change);
            if index + 1 == records.len() {
                tokens.put(&mut object);
            }
            out.json(&Json::Object(object))?;
        } else {
            let line = look.line(shard_id, change, out.width());
            out.text(&line)?;
        }
    }
    out.flush()
}

/// Prints a gap: records that were lost.
pub(super) fn gap(out: &mut Output, gap: &Gap, tokens: Tokens<'_>) -> io::Result<()> {
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
        event(out, &gap.shard_id, "gap", object, tokens)?;
    }
    out.warn(gap_words(gap));
    Ok(())
}

/// Prints a record that cannot be read.
pub(super) fn unreadable(
    out: &mut Output,
    unreadable: &Unreadable,
    tokens: Tokens<'_>,
) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        put(&mut object, "sequence_number", &unreadable.sequence_number);
        put(&mut object, "after_sequence_number", &unreadable.after_sequence_number);
        put(&mut object, "cause", &unreadable.cause);
        event(out, &unreadable.shard_id, "unreadable", object, tokens)?;
    }
    let number = match unreadable.sequence_number.as_str() {
        "" => format!("after {}", or_start(&unreadable.after_sequence_number)),
        number => safe(number),
    };
    out.warn(format_args!(
        "unreadable: the record {number} cannot be read: {}",
        safe(&unreadable.cause)
    ));
    Ok(())
}

/// Prints the beginning of a shard; to people only if `told`.
pub(super) fn shard_open(
    out: &mut Output,
    shard: &Shard,
    tokens: Tokens<'_>,
    told: bool,
) -> io::Result<()> {
    if out.is_json() {
        event(out, &shard.shard_id, "shard_open", shard::json(shard), tokens)?;
    }
    if told {
        let parent = match shard.parent_shard_id.as_str() {
            "" => String::new(),
            parent => format!(", a child of {}", safe(short_id(parent))),
        };
        out.say(format_args!("shard {} begins{parent}", safe(short_id(&shard.shard_id))).dimmed());
    }
    Ok(())
}

/// Prints the end of a shard and its children; to people only if `told`.
pub(super) fn shard_end(
    out: &mut Output,
    end: &ShardEnd,
    tokens: Tokens<'_>,
    told: bool,
) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        let children = end.children.iter().map(|child| Json::Object(shard::json(child))).collect();
        object.insert("children".into(), Json::Array(children));
        object.insert("complete".into(), json!(end.complete));
        event(out, &end.shard_id, "shard_end", object, tokens)?;
    }
    if told {
        let children = match end.children.len() {
            1 => "1 child".to_owned(),
            count => format!("{count} children"),
        };
        let later = if end.complete { "" } else { "; more may appear, `children` asks again" };
        out.say(format_args!(
            "shard {} has ended, with {children}{later}",
            safe(short_id(&end.shard_id))
        ));
    }
    Ok(())
}

/// Prints that a stream is disabled and read to its end, and which stream follows.
pub(super) fn stream_end(out: &mut Output, end: &StreamEnd, tokens: Tokens<'_>) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        put(&mut object, "stream_arn", &end.stream_arn);
        put(&mut object, "next_stream_arn", &end.next_stream_arn);
        event(out, "", "stream_end", object, tokens)?;
    }
    out.say(
        format_args!("the stream {} is closed and read to its end", safe(&end.stream_arn)).yellow(),
    );
    if !end.next_stream_arn.is_empty() {
        out.say(format_args!("going on with {}", safe(&end.next_stream_arn)).yellow());
    }
    Ok(())
}

/// Prints, for programs only, a token that covers everything printed before.
pub(super) fn checkpoint(
    out: &mut Output,
    heartbeat: &Heartbeat,
    tokens: Tokens<'_>,
) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        object.insert("at_tip".into(), heartbeat.at_tip.into());
        event(out, "", "heartbeat", object, tokens)?;
    }
    Ok(())
}

/// Prints, for programs only, why the server ends the stream, with a token that covers everything
/// printed.
pub(super) fn end(out: &mut Output, end: &End, tokens: Tokens<'_>) -> io::Result<()> {
    if out.is_json() {
        let mut object = Map::new();
        let reason = end.reason().as_str_name().trim_start_matches("END_REASON_");
        object.insert("reason".into(), reason.into());
        event(out, "", "end", object, tokens)?;
    }
    Ok(())
}

/// A number and its noun, in the plural where needed.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn event(
    out: &mut Output,
    shard_id: &str,
    name: &str,
    event: Map<String, Json>,
    tokens: Tokens<'_>,
) -> io::Result<()> {
    let mut object = Map::new();
    put(&mut object, "shard_id", shard_id);
    object.insert(name.into(), Json::Object(event));
    tokens.put(&mut object);
    out.json(&Json::Object(object))?;
    out.flush()
}

fn gap_words(gap: &Gap) -> String {
    let lost = if gap.certain { "records are gone" } else { "records may be gone" };
    let after = gap
        .after_time
        .as_ref()
        .map(|time| format!(" ({})", time::rfc3339(time)))
        .unwrap_or_default();
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
    format!(
        "GAP in shard {}: {lost} between {from}{after} and {}: {why}",
        safe(short_id(&gap.shard_id)),
        safe(before)
    )
}

fn or_start(number: &str) -> String {
    if number.is_empty() { "the beginning".into() } else { safe(number) }
}
