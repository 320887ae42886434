//! A cursor where a request asks to start.

use crate::hub::{Cursor, ReadPosition, ShardKey};
use crate::model::{Checkpoint, Position, SequenceNumber};

use super::unary_read_loop;
use crate::grpc::context::Context;
use crate::grpc::error::CallError;
use crate::grpc::request::ReadStart;

/// A cursor at the requested start. LATEST is anchored now; any other position is not tried
/// upstream yet.
pub(super) async fn cursor_at(
    context: &Context,
    key: &ShardKey,
    read_start: &ReadStart,
) -> Result<Cursor, CallError> {
    let now = context.now();
    let created = key.shard().created().or_else(|| key.stream().created());
    let mut position = match read_start {
        ReadStart::Position(position) if key.stream().is_alternators() => {
            ReadPosition::asked(position.of_moment(), created, now)
        }
        ReadStart::Position(position) => ReadPosition::asked(*position, created, now),
        ReadStart::Token(checkpoint) => {
            ReadPosition::restored(Checkpoint { time: checkpoint.time.or(created), ..*checkpoint })
        }
        ReadStart::Latest => ReadPosition::asked(Position::TrimHorizon, created, now),
    };
    let below = match read_start {
        ReadStart::Position(Position::AtSequenceNumber(number))
        | ReadStart::Token(Checkpoint { position: Position::AtSequenceNumber(number), .. }) => {
            is_below(context, key, *number).await
        }
        ReadStart::Position(_) | ReadStart::Token(_) | ReadStart::Latest => false,
    };
    if below {
        position.note_below_the_shard();
    }
    let mut cursor = context.hub.cursor(key, position)?;
    if *read_start == ReadStart::Latest {
        unary_read_loop::anchor(&mut cursor).await?;
    }
    Ok(cursor)
}

/// Whether the number precedes the shard's first; false if no listing says so.
async fn is_below(context: &Context, key: &ShardKey, number: SequenceNumber) -> bool {
    let listed = context.hub.listings().shard(key).await;
    listed.ok().and_then(|shard| shard.starting).is_some_and(|starting| number < starting)
}
