//! The session RPCs: `OpenShard`, `GetShardSession`, `RenewLease`, `CloseShard` and `JumpTo`.

use crate::hub::{Cursor, ShardKey};
use crate::model::Position;
use crate::pb;
use crate::session::{Session, SessionGuard};

use super::placed_cursor::cursor_at;
use super::superseded::unless_superseded;
use super::unary_read_loop;
use crate::grpc::call_audit::SessionAudit;
use crate::grpc::callers::Caller;
use crate::grpc::context::Context;
use crate::grpc::error::CallError;
use crate::grpc::request::{self, ReadStart, ShardStart};
use crate::grpc::wire;

/// `OpenShard`: opens a session on a shard.
pub(super) async fn open(
    context: &Context,
    caller: Option<&Caller>,
    request: pb::OpenShardRequest,
) -> Result<pb::OpenShardResponse, CallError> {
    use pb::open_shard_request::Start as Given;
    context.admit()?;
    let limits = &context.limits.sessions;
    let asked = request::duration(request.lease_duration.as_ref(), "lease_duration")?;
    let lease =
        asked.map_or(limits.lease_default, |asked| asked.clamp(limits.lease_min, limits.lease_max));
    let named = request.shard.as_ref().map(|name| request::shard_name(Some(name))).transpose()?;
    let position = match &request.start {
        Some(Given::Position(position)) => Some(request::position(position, context.now().wall)?),
        Some(Given::Token(_)) | None => None,
    };
    let start = match &request.start {
        Some(Given::Token(text)) => request::token(text, named.as_ref())?,
        Some(Given::Position(_)) | None => ShardStart {
            named: request::shard_name(request.shard.as_ref())?,
            read_start: position.unwrap_or(ReadStart::Position(Position::TrimHorizon)),
        },
    };
    let (key, shard) = context.shard_of_start(&start).await?;
    let position = match &request.start {
        Some(_) => Some(placed(context, &key, &start.read_start).await?.position.clone()),
        None => None,
    };
    let session = Session::new(key.clone(), shard.parent, position, lease, context.now().at);
    // The session keeps its peer's share for as long as it lives.
    let share = caller.map(Caller::session).transpose()?.flatten();
    let owner = context.principal().cloned();
    let kept = SessionAudit::new(context.audit.clone(), &key, share);
    let visit = context.sessions.open(session, owner, Some(Box::new(kept)))?;
    if let Some(audit) = &context.audit {
        audit.session_opened(&key, visit.id());
    }
    Ok(pb::OpenShardResponse { session: Some(describe(context, &visit)) })
}

/// `GetShardSession`: the session's current state.
pub(super) fn get(
    context: &Context,
    request: pb::GetShardSessionRequest,
) -> Result<pb::GetShardSessionResponse, CallError> {
    let visit = context.session(request::lease(&request.lease_id)?)?;
    Ok(pb::GetShardSessionResponse { session: Some(describe(context, &visit)) })
}

/// `RenewLease`: every call on a lease renews it; this one does nothing else.
pub(super) fn renew(
    context: &Context,
    request: pb::RenewLeaseRequest,
) -> Result<pb::RenewLeaseResponse, CallError> {
    let visit = context.session(request::lease(&request.lease_id)?)?;
    let now = context.now();
    let lease = visit.read(|session| wire::lease(visit.id(), session, now));
    Ok(pb::RenewLeaseResponse { lease: Some(lease) })
}

/// `CloseShard`: unknown and malformed leases count as closed already.
pub(super) fn close(context: &Context, request: pb::CloseShardRequest) {
    if let Ok(id) = request::lease(&request.lease_id) {
        context.close_session(id);
    }
}

/// `JumpTo`: moves the session to a position, once that is known to be readable.
pub(super) async fn jump(
    context: &Context,
    request: pb::JumpToRequest,
) -> Result<pb::JumpToResponse, CallError> {
    use pb::jump_to_request::Start as Given;
    context.admit()?;
    let visit = context.session(request::lease(&request.lease_id)?)?;
    let key = visit.read(|session| session.key.clone());
    let read_start = match &request.start {
        None => return Err(CallError::StartMissing),
        Some(Given::Position(position)) => request::position(position, context.now().wall)?,
        Some(Given::Token(text)) => request::token_in(text, &key)?,
    };
    let mover = visit.begin_move();
    let cursor = unless_superseded(&mover, placed(context, &key, &read_start)).await?;
    mover.commit(|session| session.move_to(cursor.position.clone(), false, false))?;
    Ok(pb::JumpToResponse { session: Some(describe(context, mover.visit())) })
}

/// A cursor at `read_start`, once that is known to be readable.
async fn placed(
    context: &Context,
    key: &ShardKey,
    read_start: &ReadStart,
) -> Result<Cursor, CallError> {
    let mut cursor = cursor_at(context, key, read_start).await?;
    if *read_start != ReadStart::Latest {
        unary_read_loop::settle(&mut cursor, key).await?;
    }
    Ok(cursor)
}

/// The session's current state, as a message.
pub(super) fn describe(context: &Context, visit: &SessionGuard) -> pb::ShardSession {
    let now = context.now();
    visit.read(|session| wire::session(visit.id(), session, now))
}
