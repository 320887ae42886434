//! Converts start positions from the command line to those of requests.

use super::time;
use crate::config::StartPosition;
use crate::model::{SequenceNumber, Timestamp};
use crate::pb::{IteratorType, Position, ShardName, ShardStart, shard_start::Start};

/// The start position that `from` means at the time `now`.
pub(super) fn resolve(from: &StartPosition, now: Timestamp) -> Start {
    match from {
        StartPosition::TrimHorizon => of_type(IteratorType::TrimHorizon),
        StartPosition::Latest => of_type(IteratorType::Latest),
        StartPosition::Time(when) => at_time(when.resolve(now)),
        StartPosition::At(number) => at_number(IteratorType::AtSequenceNumber, number),
        StartPosition::After(number) => at_number(IteratorType::AfterSequenceNumber, number),
        StartPosition::Token(token) => Start::Token(token.clone()),
    }
}

/// Starts at the first record created at `time` or later.
pub(super) fn at_time(time: Timestamp) -> Start {
    let time = Some(time::to_message(time));
    Start::Position(Position {
        iterator_type: IteratorType::AtTimestamp.into(),
        time,
        ..Default::default()
    })
}

fn at_number(iterator_type: IteratorType, number: &SequenceNumber) -> Start {
    let sequence_number = number.as_str().to_owned();
    Start::Position(Position {
        iterator_type: iterator_type.into(),
        sequence_number,
        ..Default::default()
    })
}

/// A shard and where to start in it, for a request.
pub(super) fn start(shard: Option<ShardName>, start: Start) -> ShardStart {
    ShardStart { shard, start: Some(start) }
}

fn of_type(iterator_type: IteratorType) -> Start {
    Start::Position(Position { iterator_type: iterator_type.into(), ..Default::default() })
}
