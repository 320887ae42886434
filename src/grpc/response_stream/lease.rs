//! The lease that a response stream runs on: the session shows where the stream is, and moves there
//! only when the stream ends with OK.

use crate::hub::ReadPosition;
use crate::session::{Mover, Superseded};

/// The lease of one stream, which newer calls on the lease supersede. Dropped, the session shows
/// the stream no more.
pub(crate) struct StreamLease {
    mover: Mover,
}

impl StreamLease {
    /// The stream is at `position`, on the lease of `mover`.
    pub(crate) fn new(mover: Mover, position: &ReadPosition) -> Self {
        let lease = Self { mover };
        lease.show(position);
        lease
    }

    /// Publishes the stream's position in its session.
    pub(crate) fn show(&self, position: &ReadPosition) {
        // If it is superseded, the stream's next step notices.
        let _ = self.mover.commit(|session| session.streaming = Some(position.clone()));
    }

    /// Moves the session to where the stream ended.
    pub(crate) fn move_to(
        &self,
        position: ReadPosition,
        exhausted: bool,
        at_tip: bool,
    ) -> Result<(), Superseded> {
        self.mover.commit(|session| session.move_to(position, exhausted, at_tip))
    }

    /// Resolves when a newer call took the lease over, or it was closed. Cancel-safe.
    pub(crate) async fn superseded(&self) -> Superseded {
        self.mover.superseded().await
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        let _ = self.mover.commit(|session| session.streaming = None);
    }
}
