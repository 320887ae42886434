//! Cursors that the server keeps for clients: leases, one mover at a time, and the tokens that outlive both.
//!
//! Pure: [`state`] (one session) and [`token`]. Around them, the table of all sessions in [`table`].

pub mod state;
pub mod table;
pub mod token;
