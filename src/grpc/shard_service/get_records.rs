//! `GetRecords` and `SeekTo`: the unary RPCs that read records.

use std::time::Duration;

use tokio::time::Instant;

use crate::held_bytes::HeldFor;
use crate::hub::{Cursor, ReadPosition, ShardKey};
use crate::limits::StreamLimits;
use crate::model::{Checkpoint, Position, SequenceNumber};
use crate::pb;
use crate::session::{LastRead, Mover, SessionGuard};

use super::placed_cursor::cursor_at;
use super::superseded::{position_of, unless_superseded};
use super::unary_read_loop::{Read, ReadUntil, UnaryRead, read};
use crate::grpc::context::Context;
use crate::grpc::encoded::{Encoded, GetRecordsResponse, SeekToResponse};
use crate::grpc::error::CallError;
use crate::grpc::request::{self, ReadStart};
use crate::grpc::wire;

use super::sessions::describe;

/// How many more reads that find nothing a seek makes in a shard that is listed as closed, before
/// it accepts that this is the end.
const LOOKS_AT_A_CLOSED_END: u32 = 25;

/// How long a seek may run if the client has no deadline.
const LONGEST_SEEK: Duration = Duration::from_secs(300);

/// `GetRecords`. `by`: when the response must be sent.
pub(super) async fn get(
    context: &Context,
    by: Option<Instant>,
    request: pb::GetRecordsRequest,
) -> Result<GetRecordsResponse, CallError> {
    use pb::get_records_request::Source;
    context.admit()?;
    let reading = reading(context, by, &request)?;
    match &request.source {
        None => Err(CallError::StartMissing),
        Some(Source::Start(start)) => {
            request::request_id(&request.request_id)?;
            let start = request::start(start, context.now().wall)?;
            // Before reading begins, there is nothing to return: on drain the call is refused.
            let placed = async {
                let (key, _) = context.shard_of_start(&start).await?;
                let cursor = cursor_at(context, &key, &start.read_start).await?;
                Ok((key, cursor))
            };
            let (key, mut cursor) = context.unless_draining(placed).await?;
            let given = read_or_drain(context, &mut cursor, &key, reading).await?;
            count(context, &key, &given);
            Ok(answer(&key, given, &cursor.position))
        }
        Some(Source::LeaseId(lease)) => {
            let request_id = request::request_id(&request.request_id)?;
            let visit = context.session(request::lease(lease)?)?;
            let begun = visit.begin_move_from(|session| {
                let repeat = session
                    .last_read
                    .clone()
                    .filter(|last| request_id.as_ref() == Some(&last.request_id));
                match repeat {
                    Some(last) => Err(Ok(Box::new(last))),
                    None => position_of(session)
                        .map(|position| (position, session.exhausted))
                        .map_err(Err),
                }
            });
            match begun {
                Ok(((position, ended), mover)) => {
                    moved(context, mover, (position, ended), request_id, reading).await
                }
                Err((Ok(last), visit)) => repeated(context, &visit, *last, by).await,
                Err((Err(refusal), _)) => Err(refusal),
            }
        }
    }
}

/// `SeekTo`. `by`: when the response must be sent.
pub(super) async fn seek(
    context: &Context,
    by: Option<Instant>,
    request: pb::SeekToRequest,
) -> Result<SeekToResponse, CallError> {
    use pb::seek_to_request::Target;
    context.admit()?;
    let now = context.now().wall;
    let time = request::time(request.time.as_ref(), "time", now)?;
    let from_horizon = request::is_before_horizon(time, now);
    let reading = seek_read(&context.limits.streams, by, &request)?;
    let read_start = ReadStart::Position(Position::AtTimestamp(time));
    let (given, key, position, session) = match &request.target {
        None => {
            return Err(CallError::Malformed(
                "SHARD_MALFORMED",
                "target",
                "a lease or a shard must be named".into(),
            ));
        }
        Some(Target::Shard(name)) => {
            let named = request::shard_name(Some(name))?;
            let (key, _) = context.shard(&named).await?;
            let mut cursor = cursor_at(context, &key, &read_start).await?;
            let given = sought(context, &mut cursor, &key, reading).await?;
            (given, key, cursor.position.clone(), None)
        }
        Some(Target::LeaseId(lease)) => {
            let visit = context.session(request::lease(lease)?)?;
            let key = visit.read(|session| session.key.clone());
            let mover = visit.begin_move();
            let (given, position) = unless_superseded(&mover, async {
                let mut cursor = cursor_at(context, &key, &read_start).await?;
                let given = sought(context, &mut cursor, &key, reading).await?;
                Ok((given, cursor.position.clone()))
            })
            .await?;
            mover.commit(|session| {
                session.move_to(position.clone(), given.exhausted, given.at_tip)
            })?;
            (given, key, position, Some(describe(context, mover.visit())))
        }
    };
    count(context, &key, &given);
    let outcome = match () {
        () if given.entries() > 0 => pb::SeekOutcome::Found,
        () if given.exhausted => pb::SeekOutcome::ShardEnded,
        () => pb::SeekOutcome::AtTip,
    };
    let tail = pb::SeekToResponse {
        records: vec![],
        outcome: outcome.into(),
        from_horizon,
        token: wire::token(&key, &position),
        session,
    };
    Ok(Encoded { slices: given.slices, tail })
}

/// How much a seek reads, and until when.
fn seek_read(
    limits: &StreamLimits,
    by: Option<Instant>,
    request: &pb::SeekToRequest,
) -> Result<UnaryRead, CallError> {
    let (records, bytes) = (request.max_records.into(), request.max_bytes.into());
    let (most_records, most_bytes) = (limits.batch_records, limits.batch_bytes_max);
    Ok(UnaryRead {
        records: request::size(records, "max_records", most_records, 1, most_records)?,
        bytes: request::size(bytes, "max_bytes", limits.answer_bytes, 1, most_bytes)?,
        skip_unreadable: false,
        patience: ReadUntil::Tip,
        until: by.unwrap_or_else(|| Instant::now() + LONGEST_SEEK),
    })
}

/// The read of a seek. If it finds nothing, the cursor moves to where the search ended.
///
/// A shard that is listed as closed is searched to its end, through any empty responses on the
/// way. Not endlessly, though: some endpoints list an ending number for shards that are open.
async fn sought(
    context: &Context,
    cursor: &mut Cursor,
    key: &ShardKey,
    reading: UnaryRead,
) -> Result<Read, CallError> {
    let mut given = read(cursor, key, reading).await?;
    if given.is_nothing_yet() {
        let listed =
            tokio::time::timeout_at(reading.until, context.hub.listings().shard(key)).await;
        let ending = listed.ok().and_then(Result::ok).and_then(|shard| shard.ending);
        let mut looks = 0;
        while given.is_nothing_yet()
            && looks < LOOKS_AT_A_CLOSED_END
            && ending > cursor.end_number()
        {
            given = read(cursor, key, reading).await?;
            looks += 1;
        }
    }
    if given.entries() == 0 {
        cursor.move_to_end();
    }
    Ok(given)
}

/// `GetRecords` on a lease: reads and moves the session from `position`, its position when the
/// mover began; `ended` says whether that was the shard's end.
async fn moved(
    context: &Context,
    mover: Mover,
    (position, ended): (ReadPosition, bool),
    request_id: Option<Vec<u8>>,
    reading: UnaryRead,
) -> Result<GetRecordsResponse, CallError> {
    let key = mover.visit().read(|session| session.key.clone());
    // A shard that was read to its end stays exhausted: no upstream call is needed.
    let (given, after) = if ended {
        (Read { exhausted: true, at_tip: true, ..Read::default() }, position.clone())
    } else {
        let mut cursor = context.hub.cursor(&key, position.clone())?;
        let given =
            unless_superseded(&mover, read_or_drain(context, &mut cursor, &key, reading)).await?;
        (given, cursor.position.clone())
    };
    mover.commit(|session| {
        session.position = Some(after.clone());
        session.exhausted = given.exhausted;
        session.at_tip = given.at_tip;
        if given.entries() > 0 {
            let from = beginning(&position, &given);
            let (entries, skips) = (given.entries(), reading.skip_unreadable);
            session.last_read =
                request_id.map(|request_id| LastRead { request_id, from, entries, skips });
        }
    })?;
    count(context, &key, &given);
    let mut answer = answer(&key, given, &after);
    answer.tail.session = Some(describe(context, mover.visit()));
    Ok(answer)
}

/// Repeats the session's newest read (same `request_id`): the same records; the session does not
/// move.
async fn repeated(
    context: &Context,
    visit: &SessionGuard,
    last: LastRead,
    by: Option<Instant>,
) -> Result<GetRecordsResponse, CallError> {
    let key = visit.read(|session| session.key.clone());
    let until = by.unwrap_or_else(|| Instant::now() + context.limits.streams.wait_max);
    // The repeated response must be complete, so it waits for memory for the largest response.
    let most = context.limits.streams.batch_bytes_max.min(context.limits.reading.held_bytes / 4);
    let held = context.hub.held();
    let _room = held
        .hold_by(HeldFor::Answers, most, until)
        .await
        .ok_or_else(|| CallError::held_limit(held))?;
    let mut cursor = context.hub.cursor(&key, last.from.clone())?;
    let mut all = Read::default();
    while all.entries() < last.entries {
        let reading = UnaryRead {
            records: last.entries - all.entries(),
            // The first response was within its byte limit, and this one is the same.
            bytes: usize::MAX,
            skip_unreadable: last.skips,
            patience: ReadUntil::FirstRecord,
            until,
        };
        let more = read_or_drain(context, &mut cursor, &key, reading).await?;
        if more.entries() == 0 {
            context.admit()?;
            return Err(CallError::Deadline);
        }
        all.records += more.records;
        all.slices.extend(more.slices);
        all.unreadable.extend(more.unreadable);
    }
    let mut answer = answer(&key, all, &cursor.position);
    answer.tail.repeated = true;
    answer.tail.session = Some(describe(context, visit));
    Ok(answer)
}

/// Reads; when the server drains, returns at once without records.
async fn read_or_drain(
    context: &Context,
    cursor: &mut Cursor,
    key: &ShardKey,
    reading: UnaryRead,
) -> Result<Read, CallError> {
    // A dropped read has delivered nothing: the cursor is discarded with the call, or set back.
    let start = cursor.position.clone();
    // Both are cancel-safe: a token, and the read, whose cursor is set back.
    let given = tokio::select! {
        biased;
        () = context.drain.cancelled() => None,
        given = read(cursor, key, reading) => Some(given?),
    };
    Ok(given.unwrap_or_else(|| {
        cursor.position = start;
        Read::default()
    }))
}

fn reading(
    context: &Context,
    by: Option<Instant>,
    request: &pb::GetRecordsRequest,
) -> Result<UnaryRead, CallError> {
    let limits = &context.limits.streams;
    let wait = request::duration(request.wait.as_ref(), "wait")?.filter(|wait| !wait.is_zero());
    let (patience, longest) = match wait {
        None => (ReadUntil::FewResponses, limits.get_records_timeout),
        Some(wait) => (ReadUntil::FirstRecord, wait.min(limits.wait_max)),
    };
    let until = Instant::now() + longest;
    Ok(UnaryRead {
        records: request::size(
            request.max_records.into(),
            "max_records",
            limits.batch_records,
            1,
            limits.batch_records,
        )?,
        bytes: request::size(
            request.max_bytes.into(),
            "max_bytes",
            limits.answer_bytes,
            1,
            limits.batch_bytes_max,
        )?,
        skip_unreadable: request.unreadable_policy() == pb::UnreadablePolicy::Skip,
        patience,
        until: by.map_or(until, |by| by.min(until)),
    })
}

fn answer(key: &ShardKey, given: Read, after: &ReadPosition) -> GetRecordsResponse {
    let tail = pb::GetRecordsResponse {
        records: vec![],
        token: wire::token(key, after),
        exhausted: given.exhausted,
        at_tip: given.at_tip,
        observed_time: wire::optional_time(given.observed),
        repeated: false,
        unreadable: given.unreadable.iter().map(|bad| wire::unreadable(key, bad)).collect(),
        session: None,
    };
    Encoded { slices: given.slices, tail }
}

/// Where a repetition of a read begins: at its first sequence number, which stays valid when
/// records before it are trimmed.
fn beginning(asked: &ReadPosition, given: &Read) -> ReadPosition {
    // Records with the same number were returned before: only the read position tells them apart.
    let is_among_alike = |number: &SequenceNumber| asked.number() == Some(*number);
    match given.first.filter(|number| !is_among_alike(number)) {
        // The age of that record is not known; if it is trimmed, AWS reports it.
        Some(number) => {
            ReadPosition::restored(Checkpoint::new(Position::AtSequenceNumber(number), None))
        }
        None => asked.clone(),
    }
}

fn count(context: &Context, key: &ShardKey, given: &Read) {
    if given.records > 0 {
        context.metrics.delivered(key.stream(), given.records as u64, given.bytes() as u64);
    }
    for _ in &given.unreadable {
        context.metrics.unreadable();
    }
}
