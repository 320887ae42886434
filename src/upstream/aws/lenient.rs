//! Parses a page that the SDK refuses, record by record: one bad record costs only itself and not
//! the page, and an odd field costs only itself and not the record.
//!
//! Safe against hostile bodies: `RawValue` is found by bracket counting without recursion, and
//! serde_json's own limit of 128 levels holds inside a record.

use std::borrow::Cow;

use aws_sdk_dynamodbstreams::primitives::{DateTime, DateTimeFormat};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::convert;
use super::record_error::Flaw;
use crate::model::{Page, PageEntry, SequenceNumber, Timestamp};

mod number_literals;
mod record;

/// The nesting depth at which serde_json refuses.
const JSON_LEVELS: usize = 128;

/// Parses the body of a GetRecords response. `Err` when the body as a whole is not a page.
pub(super) fn page(body: &[u8]) -> Result<Page, &'static str> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(rename = "Records", borrow, default)]
        records: Option<Vec<&'a RawValue>>,
        #[serde(rename = "NextShardIterator", default)]
        next: Option<String>,
    }
    let text = mark_bad_utf8(body);
    let body: Body<'_> = object(&text).ok_or("the answer is not a page of records")?;
    let entries: Option<Vec<PageEntry>> =
        body.records.map(|rows| rows.iter().map(|row| entry(row.get())).collect());
    let unreadable =
        entries.iter().flatten().filter(|entry| matches!(entry, PageEntry::Unreadable(_))).count();
    tracing::debug!(unreadable, "a page was refused by the SDK and read record by record");
    convert::assemble(entries, body.next)
}

fn entry(text: &str) -> PageEntry {
    match read(text) {
        Ok(record) => PageEntry::Record(Box::new(record)),
        Err(flaw) => {
            let (number, time) = outline(text);
            flaw.entry(number, time)
        }
    }
}

fn read(text: &str) -> Result<crate::model::Record, Flaw> {
    match serde_json::from_str(&number_literals::marked(text)) {
        Ok(value) if number_literals::digits(&value).is_some() => Err(Flaw::NotARecord),
        Ok(Value::Object(fields)) => record::record(fields),
        Ok(_) => Err(Flaw::NotARecord),
        Err(_) if nesting(text) >= JSON_LEVELS => Err(Flaw::TooDeep),
        Err(_) => Err(Flaw::Text),
    }
}

/// What can be read of an otherwise unreadable record: its sequence number and its creation time.
fn outline(text: &str) -> (Option<SequenceNumber>, Option<Timestamp>) {
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        dynamodb: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(rename = "SequenceNumber", borrow)]
        number: Option<&'a RawValue>,
        #[serde(rename = "ApproximateCreationDateTime", borrow)]
        time: Option<&'a RawValue>,
    }
    let Some(inner) =
        object(text).and_then(|outer: Outer<'_>| object::<Inner<'_>>(outer.dynamodb.get()))
    else {
        return (None, None);
    };
    let text = |raw: &RawValue| match serde_json::from_str(raw.get()) {
        Ok(text) => text,
        Err(_) => raw.get().to_owned(),
    };
    let number = inner.number.and_then(|raw| SequenceNumber::parse(&text(raw)).ok());
    (number, inner.time.and_then(|raw| time(&text(raw))))
}

/// Parses a time. DynamoDB sends seconds since 1970, as any kind of JSON number. Others send the
/// number as a string, or a date.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let time = match text.parse() {
        Ok(seconds) if f64::is_finite(seconds) => DateTime::from_secs_f64(seconds),
        Ok(_) => return None,
        Err(_) => DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok()?,
    };
    convert::timestamp(&time)
}

/// Reads a struct from a JSON object only; serde would also accept an array.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let is_object = text.trim_start().starts_with('{');
    is_object.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Replaces bytes that are not UTF-8 by an escape that is invalid in JSON strings: only the record
/// that contains them becomes unreadable. Twice, so that a backslash before cannot disarm it.
fn mark_bad_utf8(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(body.len() + 64);
            for chunk in body.utf8_chunks() {
                text.push_str(chunk.valid());
                if !chunk.invalid().is_empty() {
                    text.push_str(r"\ud800\ud800");
                }
            }
            Cow::Owned(text)
        }
    }
}

/// The nesting depth of valid JSON.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
