//! Helpers of calls that move a session, which a newer call may supersede.

use crate::hub::ReadPosition;
use crate::session::{Mover, Session};

use super::super::error::CallError;

/// Runs `work` for a mover, unless a newer mover or the lease's end supersedes it first.
pub(super) async fn unless_superseded<T>(
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

/// The position of a session; an error if it has none yet.
pub(super) fn position_of(session: &Session) -> Result<ReadPosition, CallError> {
    session.position.clone().ok_or(CallError::NotPositioned)
}
