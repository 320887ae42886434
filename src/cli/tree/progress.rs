//! The reading progress of a shard: in words for people, as JSON for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use owo_colors::Style;
use serde_json::{Map, Value as Json};

use crate::cli::record::put;
use crate::cli::text::safe;
use crate::cli::time;
use crate::pb::{ReadingState, Shard, ShardProgress};

/// The reading progress of shards, by shard id.
pub(super) type Progress = BTreeMap<String, ShardProgress>;

/// How many last digits of a position are shown: enough to tell those of one shard apart.
const DIGITS: usize = 8;

/// The shard's id.
pub(super) fn id(progress: &ShardProgress) -> &str {
    progress.shard.as_ref().map_or("", |shard| &shard.shard_id)
}

/// The shard itself.
pub(super) fn shard(progress: &ShardProgress) -> Shard {
    progress.shard.clone().unwrap_or_default()
}

/// The reading state in one word and its colour. Empty: the shard is not read.
pub(super) fn word(progress: &ShardProgress) -> (Style, &'static str) {
    let style = Style::new();
    match progress.state() {
        ReadingState::Unspecified | ReadingState::Unread => (style.dimmed(), ""),
        ReadingState::Waiting => (style.dimmed(), "waiting"),
        ReadingState::Reading => (style.yellow(), "reading"),
        ReadingState::AtTip => (style.green(), "at tip"),
        ReadingState::Drained => (style.dimmed(), "drained"),
        ReadingState::Trimmed => (style.red().bold(), "trimmed"),
    }
}

/// The reading state in a few words, with its lag; `None`: the shard is not read.
pub(super) fn words(progress: &ShardProgress) -> Option<(Style, String)> {
    let (style, word) = word(progress);
    let behind =
        lag(progress).filter(|lag| progress.state() == ReadingState::Reading && lag.as_secs() > 0);
    match (word, behind) {
        ("", _) => None,
        (_, Some(lag)) => Some((style, format!("{} behind", time::short(lag)))),
        (word, None) => Some((style, word.to_owned())),
    }
}

/// How far reading is behind; `None` when unknown.
pub(super) fn lag(progress: &ShardProgress) -> Option<Duration> {
    duration(progress.lag.as_ref())
}

/// How long until AWS trims records that are still to be read; `None` when unknown.
pub(super) fn time_to_trim(progress: &ShardProgress) -> Option<Duration> {
    duration(progress.time_to_trim.as_ref())
}

/// The last digits of the newest sequence number read. Empty: none was.
pub(super) fn position(progress: &ShardProgress) -> String {
    let digits = &progress.sequence_number;
    if digits.is_ascii() && digits.len() > DIGITS + 1 {
        safe(&format!("…{}", &digits[digits.len() - DIGITS..]))
    } else {
        safe(digits)
    }
}

/// The progress as JSON, with the names of the proto. Absent fields are left out.
pub(super) fn json(progress: &ShardProgress) -> Map<String, Json> {
    let mut object = Map::new();
    if progress.state() != ReadingState::Unspecified {
        put(
            &mut object,
            "state",
            progress.state().as_str_name().trim_start_matches("READING_STATE_"),
        );
    }
    put(&mut object, "sequence_number", &progress.sequence_number);
    for (name, told) in [("lag", lag(progress)), ("time_to_trim", time_to_trim(progress))] {
        if let Some(duration) = told {
            put(&mut object, name, &time::seconds(duration));
        }
    }
    object.insert("lanes".into(), progress.lanes.into());
    object.insert("subscribers".into(), progress.subscribers.into());
    object
}

/// Negative durations count as unset.
fn duration(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| Duration::try_from(*duration).ok())
}
