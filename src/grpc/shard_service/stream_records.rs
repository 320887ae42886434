//! `StreamRecords`: streams the records of one shard from a cursor that the connection polls. No
//! client has a task or a queue of its own.

mod record_source;

use tokio::time::Instant;

use crate::pb;

use super::super::call_audit::subject;
use super::super::context::Context;
use super::super::encoded::StreamRecordsResponse;
use super::super::error::CallError;
use super::super::request;
use super::super::request::ReadStart;
use super::super::response_stream::handover::Messages;
use super::super::response_stream::options::{Options, RequestedOptions};
use super::super::response_stream::stream_state::StreamState;
use super::placed_cursor::cursor_at;
use super::superseded::{position_of, unless_superseded};

use record_source::RecordSource;

/// Opens the requested stream. `by`: when its last message must be sent.
pub(super) async fn open(
    context: &Context,
    by: Option<Instant>,
    request: pb::StreamRecordsRequest,
) -> Result<Messages<StreamRecordsResponse>, CallError> {
    use pb::stream_records_request::Source;
    context.admit()?;
    let asked = RequestedOptions {
        until: request.until,
        max_batch_records: request.max_batch_records,
        max_batch_bytes: request.max_batch_bytes,
        heartbeat_interval: request.heartbeat_interval.as_ref(),
        gap_policy: request.gap_policy(),
        unreadable_policy: request.unreadable_policy(),
    };
    let options = Options::parse(&context.limits.streams, by, &asked)?;
    let permit = context.stream_permit("StreamRecords")?;
    let (key, cursor, mover) = match &request.source {
        None => return Err(CallError::StartMissing),
        Some(Source::Start(_)) if !request.token.is_empty() => {
            return Err(CallError::StartAmbiguous);
        }
        Some(Source::Start(start)) => {
            let start = request::start(start, context.now().wall)?;
            let (key, _) = context.shard_of_start(&start).await?;
            let cursor = cursor_at(context, &key, &start.read_start).await?;
            (key, cursor, None)
        }
        Some(Source::LeaseId(lease)) => {
            let visit = context.session(request::lease(lease)?)?;
            let key = visit.read(|session| session.key.clone());
            let read_start: Option<ReadStart> = match request.token.as_str() {
                "" => None,
                token => Some(request::token_in(token, &key)?),
            };
            let begun = visit.begin_move_from(|session| match &read_start {
                None => position_of(session).map(Some),
                Some(_) => Ok(None),
            });
            let (position, mover) = begun.map_err(|(refusal, _)| refusal)?;
            let cursor = unless_superseded(&mover, async {
                match (position, read_start) {
                    (Some(position), _) => Ok(context.hub.cursor(&key, position)?),
                    (None, read_start) => {
                        let read_start = read_start.expect("either a position or a token");
                        cursor_at(context, &key, &read_start).await
                    }
                }
            })
            .await?;
            (key, cursor, Some(mover))
        }
    };
    let state = StreamState::new(context, options, permit).of(subject(&key));
    let state = state.on_lease(mover, &cursor.position);
    Ok(Messages::of(state, RecordSource::new(key, cursor)))
}
