//! What calls that move a session have in common.

use crate::hub::shard::position::ReadPosition;
use crate::session::state::Session;
use crate::session::table::Mover;

use super::super::error::CallError;

/// Does what a mover is to do, unless a newer one comes first.
pub async fn unless_superseded<T>(
    mover: &Mover,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    // Both may be cancelled: they are dropped with the call; the session is moved only afterwards,
    // by the caller.
    tokio::select! {
        biased;
        superseded = mover.superseded() => Err(superseded.into()),
        done = work => done,
    }
}

/// Where a session stands.
pub fn spot_of(session: &Session) -> Result<ReadPosition, CallError> {
    session.position.clone().ok_or(CallError::NotPositioned)
}
