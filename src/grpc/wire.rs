//! Converts model and session types to protobuf messages.

use std::time::Duration;

use crate::hub::{BadRecord, Gap, GapCause, ReadPosition, ShardKey};
use crate::model::{Now, Position, Shard, StreamArn, StreamDescription, StreamStatus, Timestamp};
use crate::pb;
use crate::session::{LeaseId, Session};
use crate::token::ShardToken;

pub(super) use crate::encode::{timestamp, view_type};

/// The shard token of a read position.
pub(super) fn token(key: &ShardKey, position: &ReadPosition) -> String {
    ShardToken {
        stream: key.stream().clone(),
        shard: key.shard().clone(),
        checkpoint: position.checkpoint(),
    }
    .encode()
}

/// The token of the position after a gap that ends a read; `None` where the whole shard is gone, as
/// nothing follows then.
pub(super) fn token_behind(key: &ShardKey, gap: &Gap, after: &ReadPosition) -> Option<String> {
    match gap.cause {
        GapCause::Trimmed => Some(token(key, after)),
        GapCause::ShardExpired | GapCause::StreamReplaced => None,
    }
}

/// A read position as a protobuf position.
pub(super) fn position(position: &ReadPosition) -> pb::Position {
    let (kind, number, time) = match position.checkpoint().position {
        Position::TrimHorizon => (pb::IteratorType::TrimHorizon, None, None),
        Position::AtSequenceNumber(number) => {
            (pb::IteratorType::AtSequenceNumber, Some(number), None)
        }
        Position::AfterSequenceNumber(number) => {
            (pb::IteratorType::AfterSequenceNumber, Some(number), None)
        }
        Position::AtTimestamp(time) => (pb::IteratorType::AtTimestamp, None, Some(time)),
    };
    pb::Position {
        iterator_type: kind.into(),
        sequence_number: number.map(|number| number.to_string()).unwrap_or_default(),
        time: time.map(timestamp),
    }
}

/// A session as its client sees it.
pub(super) fn session(id: LeaseId, session: &Session, now: Now) -> pb::ShardSession {
    pb::ShardSession {
        lease: Some(lease(id, session, now)),
        stream_arn: session.key.stream().to_string(),
        shard_id: session.key.shard().to_string(),
        parent_shard_id: session.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        position: session.position.as_ref().map(position),
        token: session
            .position
            .as_ref()
            .map(|position| token(&session.key, position))
            .unwrap_or_default(),
        exhausted: session.exhausted,
        at_tip: session.at_tip,
        streaming_position: session.streaming.as_ref().map(position),
    }
}

/// A lease, its remaining time given as the wall-clock time at which it expires.
pub(super) fn lease(id: LeaseId, session: &Session, now: Now) -> pb::Lease {
    let left = session.deadline().saturating_duration_since(now.at);
    pb::Lease {
        lease_id: id.to_string(),
        duration: Some(duration(session.lease())),
        expire_time: Some(timestamp(now.wall.plus(left))),
    }
}

/// A shard of a stream.
pub(super) fn shard(stream: &StreamArn, shard: &Shard) -> pb::Shard {
    let state = if shard.is_closed() { pb::ShardState::Closed } else { pb::ShardState::Open };
    pb::Shard {
        stream_arn: stream.to_string(),
        shard_id: shard.id.to_string(),
        parent_shard_id: shard.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        starting_sequence_number: shard
            .starting
            .map(|number| number.to_string())
            .unwrap_or_default(),
        ending_sequence_number: shard.ending.map(|number| number.to_string()).unwrap_or_default(),
        state: state.into(),
        created_time: shard.id.created().map(timestamp),
    }
}

/// A stream's description.
pub(super) fn description(description: &StreamDescription) -> pb::StreamDescription {
    let key_schema = description.key_schema.iter().map(|element| pb::KeySchemaElement {
        attribute_name: element.attribute_name.clone(),
        key_type: match element.key_type.as_str() {
            "HASH" => pb::KeyType::Hash,
            "RANGE" => pb::KeyType::Range,
            _ => pb::KeyType::Unspecified,
        }
        .into(),
    });
    pb::StreamDescription {
        stream_arn: description.arn.to_string(),
        stream_label: description.arn.label().to_owned(),
        table_name: table_name(&description.arn),
        status: stream_status(description.status).into(),
        stream_view_type: view_type(description.view_type.as_deref()).into(),
        key_schema: key_schema.collect(),
        created_time: description.created.or(description.arn.created()).map(timestamp),
    }
}

/// A stream's state.
pub(super) fn stream_status(status: Option<StreamStatus>) -> pb::StreamStatus {
    match status {
        None => pb::StreamStatus::Unspecified,
        Some(StreamStatus::Enabling) => pb::StreamStatus::Enabling,
        Some(StreamStatus::Enabled) => pb::StreamStatus::Enabled,
        Some(StreamStatus::Disabling) => pb::StreamStatus::Disabling,
        Some(StreamStatus::Disabled) => pb::StreamStatus::Disabled,
    }
}

/// One stream of `ListStreams`.
pub(super) fn stream_summary(arn: &StreamArn) -> pb::StreamSummary {
    pb::StreamSummary {
        stream_arn: arn.to_string(),
        table_name: table_name(arn),
        stream_label: arn.label().to_owned(),
    }
}

/// The table of a stream; empty where the stream's ARN does not name it.
fn table_name(arn: &StreamArn) -> String {
    arn.table().map(|table| table.to_string()).unwrap_or_default()
}

/// A gap: records lost before they were delivered.
pub(super) fn gap(key: &ShardKey, gap: &Gap) -> pb::Gap {
    let cause = match gap.cause {
        GapCause::Trimmed => pb::GapCause::Trimmed,
        GapCause::ShardExpired => pb::GapCause::ShardExpired,
        GapCause::StreamReplaced => pb::GapCause::StreamReplaced,
    };
    pb::Gap {
        shard_id: key.shard().to_string(),
        after_sequence_number: gap.after.map(|number| number.to_string()).unwrap_or_default(),
        after_time: gap.after_time.map(timestamp),
        before_sequence_number: gap.before.map(|number| number.to_string()).unwrap_or_default(),
        cause: cause.into(),
        certain: gap.certain,
        detected_time: Some(timestamp(gap.detected)),
    }
}

/// A record that cannot be read, as an `Unreadable` event.
pub(super) fn unreadable(key: &ShardKey, bad: &BadRecord) -> pb::Unreadable {
    pb::Unreadable {
        shard_id: key.shard().to_string(),
        sequence_number: bad.sequence_number.map(|number| number.to_string()).unwrap_or_default(),
        after_sequence_number: bad.after.map(|number| number.to_string()).unwrap_or_default(),
        cause: bad.cause.clone(),
    }
}

/// A protobuf duration.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: duration.subsec_nanos() as i32 }
}

/// A protobuf timestamp; `None` stays `None`.
pub(super) fn optional_time(time: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    time.map(timestamp)
}

/// A count, capped to what an `i32` can hold.
pub(super) fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
