//! The options of a response stream, as requested and as granted.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::StreamLimits;
use crate::model::Timestamp;
use crate::pb;

use crate::grpc::error::CallError;
use crate::grpc::request;

/// The options as the request states them; an unset one means its default.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestedOptions<'a> {
    /// `until`: when the stream is to end.
    pub until: Option<pb::Until>,
    /// `max_batch_records`.
    pub max_batch_records: i32,
    /// `max_batch_bytes`.
    pub max_batch_bytes: i32,
    /// `heartbeat_interval`.
    pub heartbeat_interval: Option<&'a prost_types::Duration>,
    /// `gap_policy`.
    pub gap_policy: pb::GapPolicy,
    /// `unreadable_policy`.
    pub unreadable_policy: pb::UnreadablePolicy,
}

/// The options of a response stream as granted, within the server's limits.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The most records in one message.
    pub batch_records: usize,
    /// The most bytes of records in one message; one record always fits.
    pub batch_bytes: usize,
    /// The heartbeat interval; `None` for a stream without heartbeats.
    pub heartbeat: Option<Duration>,
    /// The age at which the stream ends, jittered; `None` for no limit.
    pub max_age: Option<Duration>,
    /// Continue after a gap.
    pub passes_gaps: bool,
    /// Continue after an unreadable record.
    pub skips_unreadable: bool,
    /// End after this many records; `None` for no limit.
    pub record_count: Option<usize>,
    /// End before the first record created at or after this time; `None` for no limit.
    pub before: Option<Timestamp>,
    /// End at the tip.
    pub until_tip: bool,
    /// When the last message must be sent to meet the client's deadline; `None` without one.
    pub by: Option<Instant>,
}

impl Options {
    /// The options of a stream that carries no records: only the drain, the client's deadline and the
    /// end of its caller's credentials interrupt it.
    pub(crate) fn without_records(by: Option<Instant>) -> Self {
        Self {
            batch_records: 0,
            batch_bytes: 0,
            heartbeat: None,
            max_age: None,
            passes_gaps: false,
            skips_unreadable: false,
            record_count: None,
            before: None,
            until_tip: false,
            by,
        }
    }

    /// Parses the options of `request`. `by`: when the last message must be sent.
    pub(crate) fn parse(
        limits: &StreamLimits,
        by: Option<Instant>,
        request: &RequestedOptions<'_>,
    ) -> Result<Self, CallError> {
        let until = request.until.unwrap_or_default();
        let heartbeat = request::duration(request.heartbeat_interval, "heartbeat_interval")?;
        let records = i64::from(request.max_batch_records);
        let bytes = i64::from(request.max_batch_bytes);
        let count = request::size(until.record_count, "until.record_count", 0, 1, usize::MAX)?;
        let before = until
            .time
            .as_ref()
            .map(|time| request::any_time(Some(time), "until.time"))
            .transpose()?;
        // Floored like every requested time: AWS rounds record times down to the second.
        let before = before.map(|time| time.floor());
        let (least, most) = (limits.batch_bytes_min, limits.batch_bytes_max);
        Ok(Self {
            batch_records: request::size(
                records,
                "max_batch_records",
                limits.batch_records,
                1,
                limits.batch_records,
            )?,
            batch_bytes: request::size(bytes, "max_batch_bytes", limits.batch_bytes, least, most)?,
            heartbeat: Some(heartbeat.map_or(limits.heartbeat_default, |asked| {
                asked.clamp(limits.heartbeat_min, limits.heartbeat_max)
            })),
            max_age: limits.max_age,
            passes_gaps: request.gap_policy == pb::GapPolicy::Continue,
            skips_unreadable: request.unreadable_policy == pb::UnreadablePolicy::Skip,
            record_count: (count > 0).then_some(count),
            before,
            until_tip: until.at_tip,
            by,
        })
    }
}
