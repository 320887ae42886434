//! Cursors that the server keeps for clients: leases, one mover at a time.
//!
//! Pure: [`state`] (one session). Around them, the table of all sessions in [`table`].

pub mod state;
pub mod table;
