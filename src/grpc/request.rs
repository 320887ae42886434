//! Parses and validates request fields: malformed values are refused with a reason, values out of
//! range are clamped.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::Extensions;
use tonic::metadata::MetadataMap;

use crate::hub::{NamedStream, SAFE_AGE, ShardKey};
use crate::model::{Checkpoint, IdError, Position, SequenceNumber, ShardId, TableName, Timestamp};
use crate::pb;
use crate::session::LeaseId;
use crate::token::ShardToken;

use super::error::CallError;

/// How far ahead of our clock a time may lie and still mean now.
const AHEAD: Duration = Duration::from_secs(5);

/// The longest `request_id`, in bytes.
const REQUEST_ID: usize = 64;

/// Where in a shard a client asks to start reading.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadStart {
    /// At a position.
    Position(Position),
    /// At LATEST.
    Latest,
    /// At the checkpoint of a token.
    Token(Checkpoint),
}

/// A shard as a client names it, not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRef {
    /// The stream.
    pub stream: NamedStream,
    /// The shard.
    pub shard: ShardId,
}

/// A shard and where to start in it. With a token, the shard is the token's.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardStart {
    /// The shard.
    pub named: ShardRef,
    /// Where to start.
    pub read_start: ReadStart,
}

/// `stream`: an ARN or a table's name.
pub(super) fn stream(text: &str) -> Result<NamedStream, CallError> {
    NamedStream::parse(text).map_err(|error| malformed(error, "stream"))
}

/// `table_name`; `None` if unset, which means all tables.
pub(super) fn table(text: &str) -> Result<Option<TableName>, CallError> {
    let parse = |text: &str| TableName::parse(text).map_err(|error| malformed(error, "table_name"));
    (!text.is_empty()).then(|| parse(text)).transpose()
}

/// A `ShardName`.
pub(super) fn shard_name(name: Option<&pb::ShardName>) -> Result<ShardRef, CallError> {
    let name = name.ok_or_else(|| {
        CallError::Malformed(
            "SHARD_MALFORMED",
            "shard",
            "a stream and a shard must be named".into(),
        )
    })?;
    let shard =
        ShardId::parse(&name.shard_id).map_err(|error| malformed(error, "shard.shard_id"))?;
    Ok(ShardRef { stream: stream(&name.stream)?, shard })
}

/// A lease id; malformed text is refused as an unknown lease.
pub(super) fn lease(text: &str) -> Result<LeaseId, CallError> {
    LeaseId::parse(text).ok_or(CallError::LeaseNotFound)
}

/// A position. `now` is the current time, to check a position's time against.
pub(super) fn position(position: &pb::Position, now: Timestamp) -> Result<ReadStart, CallError> {
    let refuse =
        |field, why: &str| Err(CallError::Malformed("POSITION_MALFORMED", field, why.into()));
    let kind = position.iterator_type();
    let (takes_number, takes_time) = match kind {
        pb::IteratorType::Unspecified => {
            return refuse("position.iterator_type", "unset or unknown");
        }
        pb::IteratorType::TrimHorizon | pb::IteratorType::Latest => (false, false),
        pb::IteratorType::AtSequenceNumber | pb::IteratorType::AfterSequenceNumber => (true, false),
        pb::IteratorType::AtTimestamp => (false, true),
    };
    if !takes_number && !position.sequence_number.is_empty() {
        return refuse("position.sequence_number", "this iterator type does not use it");
    }
    if !takes_time && position.time.is_some() {
        return refuse("position.time", "this iterator type does not use it");
    }
    if takes_number && position.sequence_number.is_empty() {
        return refuse("position.sequence_number", "this iterator type needs it");
    }
    if takes_time && position.time.is_none() {
        return refuse("position.time", "this iterator type needs it");
    }
    let number = || {
        let bad = |error: crate::model::SequenceError| {
            CallError::Malformed(
                "SEQUENCE_NUMBER_MALFORMED",
                "position.sequence_number",
                error.to_string(),
            )
        };
        SequenceNumber::parse(&position.sequence_number).map_err(bad)
    };
    Ok(match kind {
        pb::IteratorType::TrimHorizon => ReadStart::Position(Position::TrimHorizon),
        pb::IteratorType::AtSequenceNumber => {
            ReadStart::Position(Position::AtSequenceNumber(number()?))
        }
        pb::IteratorType::AfterSequenceNumber => {
            ReadStart::Position(Position::AfterSequenceNumber(number()?))
        }
        pb::IteratorType::AtTimestamp => ReadStart::Position(Position::AtTimestamp(time(
            position.time.as_ref(),
            "position.time",
            now,
        )?)),
        pb::IteratorType::Latest | pb::IteratorType::Unspecified => ReadStart::Latest,
    })
}

/// A time to read from, floored to the second; a time slightly ahead of `now` becomes `now`.
pub(super) fn time(
    time: Option<&prost_types::Timestamp>,
    field: &'static str,
    now: Timestamp,
) -> Result<Timestamp, CallError> {
    let time = any_time(time, field)?;
    if time > now.plus(AHEAD) {
        return Err(CallError::TimeInFuture);
    }
    Ok(time.min(now).floor())
}

/// Any point in time.
pub(super) fn any_time(
    time: Option<&prost_types::Timestamp>,
    field: &'static str,
) -> Result<Timestamp, CallError> {
    let refuse = |why: &str| CallError::Malformed("TIME_MALFORMED", field, why.into());
    let time = time.ok_or_else(|| refuse("must be set"))?;
    let nanos = u32::try_from(time.nanos).map_err(|_| refuse("negative nanoseconds"))?;
    Timestamp::new(time.seconds, nanos).ok_or_else(|| refuse("outside the years 1 to 9999"))
}

/// Whether a time is so old that AWS may silently read from TRIM_HORIZON instead.
pub(super) fn is_before_horizon(time: Timestamp, now: Timestamp) -> bool {
    now.since(time) >= SAFE_AGE
}

/// A shard token, which must be of the shard `named` if one is given.
pub(super) fn token(text: &str, named: Option<&ShardRef>) -> Result<ShardStart, CallError> {
    let token = ShardToken::decode(text)?;
    let matches =
        named.is_none_or(|named| named.stream.names(&token.stream) && named.shard == token.shard);
    if !matches {
        return Err(CallError::TokenMismatch);
    }
    let named = ShardRef { stream: NamedStream::in_token(token.stream), shard: token.shard };
    Ok(ShardStart { named, read_start: ReadStart::Token(token.checkpoint) })
}

/// A shard token, which must be of the session's shard `key`.
pub(super) fn token_in(text: &str, key: &ShardKey) -> Result<ReadStart, CallError> {
    let token = ShardToken::decode(text)?;
    if (&token.stream, &token.shard) != (key.stream(), key.shard()) {
        return Err(CallError::TokenMismatch);
    }
    Ok(ReadStart::Token(token.checkpoint))
}

/// A `ShardStart`.
pub(super) fn start(start: &pb::ShardStart, now: Timestamp) -> Result<ShardStart, CallError> {
    use pb::shard_start::Start as Given;
    match &start.start {
        None => Err(CallError::StartMissing),
        Some(Given::Position(position)) => Ok(ShardStart {
            named: shard_name(start.shard.as_ref())?,
            read_start: self::position(position, now)?,
        }),
        Some(Given::Token(text)) => {
            let named = start.shard.as_ref().map(|name| shard_name(Some(name))).transpose()?;
            token(text, named.as_ref())
        }
    }
}

/// A count or a size: zero means `default`, negative is refused, other values are clamped to
/// `least..=most`.
pub(super) fn size(
    value: i64,
    field: &'static str,
    default: usize,
    least: usize,
    most: usize,
) -> Result<usize, CallError> {
    match value {
        ..0 => Err(CallError::Malformed("SIZE_MALFORMED", field, "must not be negative".into())),
        0 => Ok(default),
        1.. => Ok(usize::try_from(value).unwrap_or(usize::MAX).clamp(least, most)),
    }
}

/// A duration; `None` if unset. Negative or malformed ones are refused.
pub(super) fn duration(
    value: Option<&prost_types::Duration>,
    field: &'static str,
) -> Result<Option<Duration>, CallError> {
    let refuse = || {
        CallError::Malformed("TIME_MALFORMED", field, "must be a duration of zero or more".into())
    };
    let convert = |value: &prost_types::Duration| {
        let in_range = value.seconds <= 315_576_000_000 && value.nanos < 1_000_000_000;
        let (seconds, nanos) =
            (u64::try_from(value.seconds).ok()?, u32::try_from(value.nanos).ok()?);
        in_range.then(|| Duration::new(seconds, nanos))
    };
    value.map(|value| convert(value).ok_or_else(refuse)).transpose()
}

/// A `request_id` of up to 64 bytes; empty means none.
pub(super) fn request_id(id: &str) -> Result<Option<Vec<u8>>, CallError> {
    if id.len() > REQUEST_ID {
        let why = format!("at most {REQUEST_ID} bytes");
        return Err(CallError::Malformed("SIZE_MALFORMED", "request_id", why));
    }
    Ok((!id.is_empty()).then(|| id.as_bytes().to_vec()))
}

/// When a call arrived, before its message was read; set by `call_limits`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived(pub Instant);

/// The part of a client's deadline that is reserved for the response's way back.
const WAY_BACK: Duration = Duration::from_millis(100);

/// When the response must be sent to meet the client's deadline; `None` without one. The deadline
/// counts from the call's arrival, not from when this is called.
pub(super) fn answer_by(metadata: &MetadataMap, extensions: &Extensions) -> Option<Instant> {
    let arrived = extensions.get().map_or_else(Instant::now, |&Arrived(at)| at);
    timeout(metadata.as_ref())
        .and_then(|timeout| arrived.checked_add(timeout.saturating_sub(WAY_BACK)))
}

/// The client's timeout, which counts from the call's arrival. `grpc-timeout` is up to eight digits
/// and a unit; `None` if missing or malformed.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok().filter(|_| (1..=8).contains(&digits.len()))?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

fn malformed(error: IdError, field: &'static str) -> CallError {
    let reason = match error {
        IdError::Stream | IdError::TableArn => "STREAM_MALFORMED",
        IdError::Shard => "SHARD_MALFORMED",
    };
    CallError::Malformed(reason, field, error.to_string())
}
