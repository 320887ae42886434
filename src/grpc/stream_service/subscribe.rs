//! `Subscribe`: streams the records of all shards of a stream; the connection polls it.

mod subscription_source;

use std::time::Duration;

use tokio::time::Instant;

use crate::audit::event::Subject;
use crate::hub::NamedStream;
use crate::model::Timestamp;
use crate::pb;
use crate::subscription::start::{StreamPosition, SubscribeStart, begin, with_newer};
use crate::token::ShardToken;
use crate::token::stream::StreamToken;

use super::super::context::Context;
use super::super::encoded::SubscribeResponse;
use super::super::error::CallError;
use super::super::request;
use super::super::request::ReadStart;
use super::super::response_stream::handover::Messages;
use super::super::response_stream::options::{Options, RequestedOptions};
use super::super::response_stream::stream_state::StreamState;

use subscription_source::SubscriptionSource;

/// The most `shard_tokens` in one request.
const SHARD_TOKENS: usize = 10_000;

/// `merge_wait`: default, maximum.
const MERGE_WAIT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// `checkpoint_interval`: minimum, default, maximum.
const CHECKPOINT: (Duration, Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(60));

/// Opens the requested subscription. `by`: when its last message must be sent.
pub(super) async fn open(
    context: &Context,
    by: Option<Instant>,
    request: pb::SubscribeRequest,
) -> Result<Messages<SubscribeResponse>, CallError> {
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
    let wait = request::duration(request.merge_wait.as_ref(), "merge_wait")?;
    let wait = wait.map_or(MERGE_WAIT.0, |wait| wait.min(MERGE_WAIT.1));
    let merge_wait = (request.order() == pb::RecordOrder::ByTime).then_some(wait);
    let checkpoint =
        request::duration(request.checkpoint_interval.as_ref(), "checkpoint_interval")?;
    let checkpoint =
        checkpoint.map_or(CHECKPOINT.1, |asked| asked.clamp(CHECKPOINT.0, CHECKPOINT.2));
    let (named, start) = start(&request, context.now().wall)?;
    let permit = context.stream_permit("Subscribe")?;
    let stream = context.stream(&named).await?;
    let subject = Subject { stream: stream.arn().clone(), shard: None };
    let follow = begin(&context.hub, stream, start, merge_wait).await?;
    let source = SubscriptionSource::new(context, follow, &options, checkpoint);
    Ok(Messages::of(StreamState::new(context, options, permit).of(subject), source))
}

/// The requested stream, and where in it to begin.
fn start(
    request: &pb::SubscribeRequest,
    now: Timestamp,
) -> Result<(NamedStream, SubscribeStart), CallError> {
    use pb::subscribe_request::Start as Given;
    match &request.start {
        None => Err(CallError::StartMissing),
        Some(Given::Position(_)) if !request.shard_tokens.is_empty() => {
            Err(CallError::StartAmbiguous)
        }
        Some(Given::Position(position)) => {
            let stream = request::stream(&request.stream)?;
            let refuse = |why: &str| {
                CallError::Malformed("POSITION_MALFORMED", "position.iterator_type", why.into())
            };
            let position = match request::position(position, now)? {
                ReadStart::Latest => StreamPosition::Latest,
                ReadStart::Position(crate::model::Position::TrimHorizon) => StreamPosition::Horizon,
                ReadStart::Position(crate::model::Position::AtTimestamp(time)) => {
                    StreamPosition::Since(time)
                }
                ReadStart::Position(_) | ReadStart::Token(_) => {
                    return Err(refuse(
                        "a whole stream has no sequence numbers: TRIM_HORIZON, LATEST or AT_TIMESTAMP",
                    ));
                }
            };
            let by_table = stream.is_table();
            Ok((stream, SubscribeStart::Position { position, by_table }))
        }
        Some(Given::Token(text)) => {
            let token = token(text, &request.stream, now)?;
            let newer = newer(&request.shard_tokens, &token)?;
            let token = with_newer(token, newer);
            let named = NamedStream::in_token(token.stream.clone());
            Ok((named, SubscribeStart::Token(Box::new(token))))
        }
    }
}

/// A stream token, which must be of the stream `named` unless that is empty.
fn token(text: &str, named: &str, now: Timestamp) -> Result<StreamToken, CallError> {
    let token = StreamToken::decode(text, now)?;
    if named.is_empty() {
        return Ok(token);
    }
    let named = request::stream(named)?;
    match named.names(&token.stream) {
        true => Ok(StreamToken { by_table: named.is_table(), ..token }),
        false => Err(CallError::TokenMismatch),
    }
}

fn newer(texts: &[String], token: &StreamToken) -> Result<Vec<ShardToken>, CallError> {
    if texts.len() > SHARD_TOKENS {
        let why = format!("at most {SHARD_TOKENS}");
        return Err(CallError::Malformed("SIZE_MALFORMED", "shard_tokens", why));
    }
    let parse = |text: &String| match ShardToken::decode(text)? {
        newer if newer.stream == token.stream => Ok(newer),
        // The subscription may have continued with a later stream of the table.
        newer if token.by_table && newer.stream.is_of_the_table_of(&token.stream) => Ok(newer),
        _ => Err(CallError::TokenMismatch),
    };
    texts.iter().map(parse).collect()
}
