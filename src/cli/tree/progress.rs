//! How far a shard is read: in words, and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use owo_colors::Style;
use serde_json::{Map, Value as Json};

use crate::cli::record::put;
use crate::cli::text::safe;
use crate::cli::time;
use crate::pb::{ReadingState, Shard, ShardProgress};

/// How far shards are read, by id.
pub type Progress = BTreeMap<String, ShardProgress>;

/// Digits of a position: its end tells those of one shard apart.
const DIGITS: usize = 8;

/// The shard's id.
pub fn id(progress: &ShardProgress) -> &str {
    progress.shard.as_ref().map_or("", |shard| &shard.shard_id)
}

/// The shard itself.
pub fn shard(progress: &ShardProgress) -> Shard {
    progress.shard.clone().unwrap_or_default()
}

/// What is done with the shard, in one word and its colour. Empty: nothing is.
pub fn word(progress: &ShardProgress) -> (Style, &'static str) {
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

/// The same in a few words with how far it is behind; `None`: nobody reads it.
pub fn words(progress: &ShardProgress) -> Option<(Style, String)> {
    let (style, word) = word(progress);
    let behind =
        lag(progress).filter(|lag| progress.state() == ReadingState::Reading && lag.as_secs() > 0);
    match (word, behind) {
        ("", _) => None,
        (_, Some(lag)) => Some((style, format!("{} behind", time::short(lag)))),
        (word, None) => Some((style, word.to_owned())),
    }
}

/// How far it is behind, where that is known.
pub fn lag(progress: &ShardProgress) -> Option<Duration> {
    duration(progress.lag.as_ref())
}

/// How long until records are trimmed that somebody waits for.
pub fn time_to_trim(progress: &ShardProgress) -> Option<Duration> {
    duration(progress.time_to_trim.as_ref())
}

/// The end of the newest sequence number read. Empty: none was.
pub fn position(progress: &ShardProgress) -> String {
    let digits = &progress.sequence_number;
    if digits.is_ascii() && digits.len() > DIGITS + 1 {
        safe(&format!("…{}", &digits[digits.len() - DIGITS..]))
    } else {
        safe(digits)
    }
}

/// The progress with the names of the proto. What is absent is left out.
pub fn json(progress: &ShardProgress) -> Map<String, Json> {
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

/// A negative one is none.
fn duration(duration: Option<&prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| Duration::try_from(*duration).ok())
}
