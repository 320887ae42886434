//! A shard that is watched, as a message.

use std::time::Duration;

use crate::hub::board::Row;
use crate::hub::progress::Reading;
use crate::model::{StreamArn, Timestamp};
use crate::pb;

use crate::grpc::wire;

/// How long AWS keeps a record.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// The row of a stream, as it is now.
pub fn wire(row: &Row, stream: &StreamArn, now: Timestamp) -> pb::ShardProgress {
    let state = match row.reading {
        Reading::Unread => pb::ReadingState::Unread,
        Reading::Waiting => pb::ReadingState::Waiting,
        Reading::Behind => pb::ReadingState::Reading,
        Reading::AtTip => pb::ReadingState::AtTip,
        Reading::Drained => pb::ReadingState::Drained,
        Reading::Trimmed => pb::ReadingState::Trimmed,
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
