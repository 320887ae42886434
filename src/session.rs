//! Sessions: cursors that the server keeps for clients under leases; one call at a time may move
//! each.
//!
//! Pure: [`state`] (one session). Around them, the table of all sessions in [`table`].

pub mod state;
pub mod table;
