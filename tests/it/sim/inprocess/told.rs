//! Messages as what is seen of them, and wishes as messages.

use std::time::Duration;

use prost::Message as _;
use shardstream::model::{SequenceNumber, ShardId, StreamArn, Timestamp};
use shardstream::pb;
use shardstream::token::ShardToken;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::sim::fake::{EntryId, ShardRef};
use crate::sim::history::{BadEntry, Batch, EndReason, Gap, Position, SeenEntry, Token, What};
use crate::sim::service::{Refusal, Session, Start};

/// A stream's last message; its status comes after it.
pub struct End {
    reason: EndReason,
    token: Token,
}

impl End {
    pub fn with(self, status: Option<Status>) -> What {
        let code = status.map_or("OK", |status| code(status.code())).into();
        What::End { reason: self.reason, code, token: self.token }
    }
}

pub fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds(), nanos: time.nanos() as i32 }
}

pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: duration.as_secs() as i64,
        nanos: duration.subsec_nanos() as i32,
    }
}

pub fn position(position: Position) -> pb::Position {
    let (kind, number, since) = match position {
        Position::Horizon => (pb::IteratorType::TrimHorizon, None, None),
        Position::Latest => (pb::IteratorType::Latest, None, None),
        Position::At(number) => (pb::IteratorType::AtSequenceNumber, Some(number), None),
        Position::After(number) => (pb::IteratorType::AfterSequenceNumber, Some(number), None),
        Position::Since(since) => (pb::IteratorType::AtTimestamp, None, Some(since)),
    };
    pb::Position {
        iterator_type: kind.into(),
        sequence_number: number.map(|number| number.to_string()).unwrap_or_default(),
        time: since.map(time),
    }
}

pub fn start(shard: &ShardRef, start: Start) -> pb::ShardStart {
    use pb::shard_start::Start as Asked;
    let (shard, place) = match start {
        Start::Position(at) => (Some(super::name(shard)), Asked::Position(position(at))),
        // A token knows its shard.
        Start::Token(token) => (None, Asked::Token(token)),
    };
    pb::ShardStart { shard, start: Some(place) }
}

pub fn shard(row: &pb::Shard) -> ShardRef {
    let stream = StreamArn::parse(&row.stream_arn).expect("an ARN");
    ShardRef { stream, shard: ShardId::parse(&row.shard_id).expect("a shard id") }
}

pub fn unreadable_policy(skip: bool) -> pb::UnreadablePolicy {
    if skip { pb::UnreadablePolicy::Skip } else { pb::UnreadablePolicy::Fail }
}

pub fn session(session: Option<pb::ShardSession>) -> Session {
    Session { lease: session.and_then(|session| session.lease).expect("a lease").lease_id }
}

/// A token, with what is in it.
fn token(text: String) -> Token {
    let place = ShardToken::decode(&text)
        .ok()
        .map(|token| (token.checkpoint.position, token.checkpoint.skip));
    assert!(text.is_empty() || place.is_some(), "a token that cannot be read back: {text}");
    Token { text, place }
}

pub fn number(text: &str) -> Option<SequenceNumber> {
    (!text.is_empty()).then(|| SequenceNumber::parse(text).expect("a sequence number"))
}

/// A record, known by its event id, and whole.
pub fn record(record: pb::ChangeRecord) -> (EntryId, Option<SequenceNumber>) {
    use pb::attribute_value::Value;
    let meta = record.meta.expect("meta");
    let id = EntryId::parse(&meta.change.expect("a change").id).expect("an event id of the fake");
    let key = record.key.get("pk").and_then(|value| value.value.clone());
    assert_eq!(key, Some(Value::S(format!("{}-{}", id.shard, id.index))), "another record's key");
    let image = if record.new_image.is_empty() { record.old_image } else { record.new_image };
    let counted = image.get("n").and_then(|value| value.value.clone());
    assert_eq!(counted, Some(Value::N(id.index.to_string())), "another record's image");
    (id, number(&meta.sequence_number))
}

fn entries(records: Vec<pb::ChangeRecord>) -> Vec<SeenEntry> {
    records.into_iter().map(record).map(|(id, number)| SeenEntry::Record { id, number }).collect()
}

fn bad(unreadable: &pb::Unreadable) -> BadEntry {
    BadEntry {
        number: number(&unreadable.sequence_number),
        after: number(&unreadable.after_sequence_number),
    }
}

pub fn observed(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.map(|time| Timestamp::new(time.seconds, time.nanos as u32).expect("a time"))
}

/// An answer of GetRecords, and whether it repeats one.
pub fn answer(bytes: &[u8]) -> (What, bool) {
    let answer = pb::GetRecordsResponse::decode(bytes).expect("a message");
    let token = token(answer.token);
    let mut entries = entries(answer.records);
    entries.extend(answer.unreadable.iter().map(|told| SeenEntry::Bad(bad(told))));
    let what = match (entries.is_empty(), answer.exhausted) {
        (false, true) => {
            panic!("an answer with records says exhausted: naive clients would drop them")
        }
        (false, false) => What::Records(Batch { entries, bytes: bytes.len(), token }),
        (true, true) => What::ShardEnd { token },
        (true, false) => What::Heartbeat {
            at_tip: answer.at_tip,
            observed: observed(answer.observed_time),
            token,
        },
    };
    (what, answer.repeated)
}

/// An answer of SeekTo.
pub fn sought(bytes: &[u8]) -> What {
    let answer = pb::SeekToResponse::decode(bytes).expect("a message");
    let (outcome, token) = (answer.outcome(), token(answer.token));
    let entries = entries(answer.records);
    assert_eq!(
        outcome == pb::SeekOutcome::Found,
        !entries.is_empty(),
        "{outcome:?} with {} records",
        entries.len()
    );
    match outcome {
        pb::SeekOutcome::Found => What::Records(Batch { entries, bytes: bytes.len(), token }),
        pb::SeekOutcome::AtTip => What::Heartbeat { at_tip: true, observed: None, token },
        pb::SeekOutcome::ShardEnded => What::ShardEnd { token },
        pb::SeekOutcome::Unspecified => panic!("a seek without an outcome"),
    }
}

/// A message of StreamRecords; the last one waits for its status.
pub fn message(bytes: &[u8]) -> Result<What, End> {
    use pb::stream_records_response::Event;
    let message = pb::StreamRecordsResponse::decode(bytes).expect("a message");
    let token = token(message.token);
    assert!(
        message.records.is_empty() || message.event.is_none(),
        "records and an event in one message"
    );
    Ok(match message.event {
        None => {
            let entries = entries(message.records);
            assert!(!entries.is_empty(), "a message with neither records nor an event");
            What::Records(Batch { entries, bytes: bytes.len(), token })
        }
        Some(Event::Heartbeat(beat)) => {
            What::Heartbeat { at_tip: beat.at_tip, observed: observed(beat.observed_time), token }
        }
        Some(Event::ShardEnd(_)) => What::ShardEnd { token },
        Some(Event::Gap(gap)) => What::Gap(Gap {
            after: number(&gap.after_sequence_number),
            before: number(&gap.before_sequence_number),
            certain: gap.certain,
            expired: gap.cause() == pb::GapCause::ShardExpired,
            token,
        }),
        Some(Event::Unreadable(told)) => What::Unreadable { entry: bad(&told), token },
        Some(Event::End(end)) => return Err(End { reason: reason(end.reason()), token }),
    })
}

pub fn reason(reason: pb::EndReason) -> EndReason {
    match reason {
        pb::EndReason::ShardEnd => EndReason::ShardEnd,
        pb::EndReason::StreamEnd => EndReason::StreamEnd,
        pb::EndReason::Limit => EndReason::Limit,
        pb::EndReason::Draining => EndReason::Draining,
        pb::EndReason::MaxAge => EndReason::MaxAge,
        pb::EndReason::Upstream => EndReason::Upstream,
        pb::EndReason::Superseded => EndReason::Superseded,
        pb::EndReason::LeaseClosed => EndReason::LeaseClosed,
        pb::EndReason::Gap => EndReason::Gap,
        pb::EndReason::Unreadable => EndReason::Unreadable,
        pb::EndReason::CatchUpLimit => EndReason::CatchUpLimit,
        pb::EndReason::ShardLimit => EndReason::ShardLimit,
        pb::EndReason::Deadline => EndReason::Deadline,
        pb::EndReason::Refused => EndReason::Refused,
        pb::EndReason::Unspecified => panic!("an end without a reason"),
    }
}

/// An error, with the reason and the token that its details bear.
pub fn refusal(status: Status) -> Refusal {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("an error without a reason: {status:?}"));
    let token = info.metadata.get("token").map(|text| Box::new(token(text.clone())));
    Refusal { code: code(status.code()).into(), reason: info.reason, token }
}

pub fn failed(status: Status) -> What {
    refusal(status).into()
}

pub fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
