//! What a client asked of its response stream.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::StreamLimits;
use crate::model::Timestamp;
use crate::pb;

use crate::grpc::error::CallError;
use crate::grpc::request;

/// The options as requests have them; all of them mean the default when they are unset.
#[derive(Clone, Debug, Default)]
pub struct RequestedOptions<'a> {
    /// `until`.
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

/// The options of a response stream, granted.
#[derive(Clone, Debug)]
pub struct Options {
    /// Records in one message at most.
    pub batch_records: usize,
    /// Bytes in one message at most; one record always fits.
    pub batch_bytes: usize,
    /// At least one message in so long.
    pub heartbeat: Duration,
    /// Go on after a gap.
    pub passes_gaps: bool,
    /// Go on after an unreadable record.
    pub skips_unreadable: bool,
    /// End after so many records.
    pub record_count: Option<usize>,
    /// End before the first record created then or later.
    pub before: Option<Timestamp>,
    /// End at the tip.
    pub until_tip: bool,
    /// When the last message must be on its way, for the client's own deadline.
    pub by: Option<Instant>,
}

impl Options {
    /// Parses them.
    pub fn parse(
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
        // As every time is: AWS stamps records rounded down to the second.
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
            heartbeat: heartbeat.map_or(limits.heartbeat_default, |asked| {
                asked.clamp(limits.heartbeat_min, limits.heartbeat_max)
            }),
            passes_gaps: request.gap_policy == pb::GapPolicy::Continue,
            skips_unreadable: request.unreadable_policy == pb::UnreadablePolicy::Skip,
            record_count: (count > 0).then_some(count),
            before,
            until_tip: until.at_tip,
            by,
        })
    }
}
