//! Formats one shard: pieces of a line for people, an object for programs, and its shortened id.

use owo_colors::Style;
use serde_json::{Map, Value as Json};

use super::record::put;
use super::text::{Line, safe};
use super::time;
use crate::model::Timestamp;
use crate::pb::{Shard, ShardState};

/// Digits shown at each end of a long sequence number.
const ENDS: (usize, usize) = (4, 8);

/// The id without the prefix that all ids share. The commands also accept this form.
pub(super) fn short_id(id: &str) -> &str {
    match id.strip_prefix("shardId-").map(|rest| rest.trim_start_matches('0')) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        Some(_) | None => id,
    }
}

/// A line with the shard's whole id, state, age and range of sequence numbers.
pub(super) fn line(shard: &Shard, now: Timestamp) -> Line {
    let mut line = head(shard, &shard.shard_id, now);
    line.push(Style::new().dimmed(), format!("  {}", range(shard, false)));
    line
}

/// A line with the shard's name, state and age.
pub(super) fn head(shard: &Shard, name: &str, now: Timestamp) -> Line {
    let mut line = Line::default();
    line.push(Style::new().bold(), safe(name));
    match shard.state() {
        ShardState::Open => line.push(Style::new().green(), "  OPEN"),
        ShardState::Closed => line.push(Style::new().dimmed(), "  CLOSED"),
        ShardState::Unspecified => line.push(Style::new(), "  ?"),
    };
    if let Some(created) = shard.created_time.as_ref().and_then(time::of_message) {
        line.push(Style::new(), format!("  {} old", time::short(now.since(created))));
    }
    line
}

/// Its first and last sequence number, `whole` or shortened.
pub(super) fn range(shard: &Shard, whole: bool) -> String {
    let number = |digits: &str| if whole { safe(digits) } else { short_number(digits) };
    format!(
        "{}..{}",
        number(&shard.starting_sequence_number),
        number(&shard.ending_sequence_number)
    )
}

/// The shard as JSON, with the names of the proto. Absent fields are left out.
pub(super) fn json(shard: &Shard) -> Map<String, Json> {
    let mut object = Map::new();
    put(&mut object, "stream_arn", &shard.stream_arn);
    put(&mut object, "shard_id", &shard.shard_id);
    put(&mut object, "parent_shard_id", &shard.parent_shard_id);
    put(&mut object, "starting_sequence_number", &shard.starting_sequence_number);
    put(&mut object, "ending_sequence_number", &shard.ending_sequence_number);
    if shard.state() != ShardState::Unspecified {
        put(&mut object, "state", shard.state().as_str_name().trim_start_matches("SHARD_STATE_"));
    }
    if let Some(created) = &shard.created_time {
        put(&mut object, "created_time", &time::rfc3339(created));
    }
    object
}

fn short_number(digits: &str) -> String {
    let (first, last) = ENDS;
    if digits.is_ascii() && digits.len() > first + last + 1 {
        safe(&format!("{}…{}", &digits[..first], &digits[digits.len() - last..]))
    } else {
        safe(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lose_what_all_share() {
        assert_eq!(short_id("shardId-00000001477207595861-d35d208d"), "1477207595861-d35d208d");
        assert_eq!(short_id("shardId-00000001-orders"), "1-orders");
        for kept in ["shardId-000", "shardId-", "shard-1", "shardId-x1"] {
            assert_eq!(short_id(kept), kept);
        }
    }

    #[test]
    fn a_line_fits_a_terminal_and_numbers_can_be_had_whole() {
        let shard = Shard {
            shard_id: "shardId-00000001477207595861-d35d208d".into(),
            starting_sequence_number: "100000000003498069978".into(),
            ending_sequence_number: "100000000003498070000".into(),
            state: ShardState::Closed.into(),
            created_time: Some(prost_types::Timestamp { seconds: 1_477_207_595, nanos: 0 }),
            ..Default::default()
        };
        let now = Timestamp::new(1_477_207_595 + 11_520, 0).expect("a time");
        let shown = line(&shard, now).render(None);
        let shown = anstream::adapter::strip_str(&shown).to_string();
        let id = "shardId-00000001477207595861-d35d208d";
        assert_eq!(shown, format!("{id}  CLOSED  3h12m old  1000…98069978..1000…98070000"));
        assert_eq!(range(&shard, true), "100000000003498069978..100000000003498070000");
    }
}
