//! Places as a person gives them, made into what requests hold.

use super::time;
use crate::config::StartPlace;
use crate::model::{SequenceNumber, Timestamp};
use crate::pb::{IteratorType, Position, ShardName, ShardStart, shard_start::Place};

/// The place that `from` means when it is `now`.
pub fn resolve(from: &StartPlace, now: Timestamp) -> Place {
    match from {
        StartPlace::TrimHorizon => of_type(IteratorType::TrimHorizon),
        StartPlace::Latest => of_type(IteratorType::Latest),
        StartPlace::Time(when) => at_time(when.resolve(now)),
        StartPlace::At(number) => at_number(IteratorType::AtSequenceNumber, number),
        StartPlace::After(number) => at_number(IteratorType::AfterSequenceNumber, number),
        StartPlace::Token(token) => Place::Token(token.clone()),
    }
}

/// The first record of `time` or later.
pub fn at_time(time: Timestamp) -> Place {
    let time = Some(time::to_message(time));
    Place::Position(Position { iterator_type: IteratorType::AtTimestamp.into(), time, ..Default::default() })
}

fn at_number(iterator_type: IteratorType, number: &SequenceNumber) -> Place {
    let sequence_number = number.as_str().to_owned();
    Place::Position(Position { iterator_type: iterator_type.into(), sequence_number, ..Default::default() })
}

/// Where to read.
pub fn start(shard: Option<ShardName>, place: Place) -> ShardStart {
    ShardStart { shard, place: Some(place) }
}

fn of_type(iterator_type: IteratorType) -> Place {
    Place::Position(Position { iterator_type: iterator_type.into(), ..Default::default() })
}
