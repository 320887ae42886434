//! Sessions: cursors that the server keeps for clients under leases; one call at a time may move
//! each.
//!
//! Pure: `state` (one session). Around it, the table of all sessions in `table`.

mod state;
mod table;

pub(crate) use state::{LastRead, Session, Superseded};
pub use table::Sessions;
pub(crate) use table::{
    LeaseId, LeaseNotFound, Mover, SessionEnd, SessionGuard, SessionKeep, TooManySessions,
};
