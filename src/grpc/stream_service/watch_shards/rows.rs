//! Converts a shard of the table to a `ShardProgress` message.

use std::time::Duration;

use crate::hub::ReadingState;
use crate::hub::discovery::ShardRow;
use crate::model::{StreamArn, Timestamp};
use crate::pb;

use crate::grpc::wire;

/// How long AWS keeps a record.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// The message for one shard of `stream`, with times relative to `now`.
pub(super) fn wire(row: &ShardRow, stream: &StreamArn, now: Timestamp) -> pb::ShardProgress {
    let state = match row.reading {
        ReadingState::Unread => pb::ReadingState::Unread,
        ReadingState::Waiting => pb::ReadingState::Waiting,
        ReadingState::Behind => pb::ReadingState::Reading,
        ReadingState::AtTip => pb::ReadingState::AtTip,
        ReadingState::Drained => pb::ReadingState::Drained,
        ReadingState::Trimmed => pb::ReadingState::Trimmed,
    };
    pb::ShardProgress {
        shard: Some(wire::shard(stream, &row.shard)),
        state: state.into(),
        sequence_number: row.newest.map(|number| number.to_string()).unwrap_or_default(),
        lag: row.lag(now).map(wire::duration),
        time_to_trim: row.oldest_unread.map(|made| wire::duration(made.plus(KEPT).since(now))),
        lanes: wire::count(row.lanes),
        subscribers: wire::count(row.subscribers),
    }
}
