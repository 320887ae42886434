//! Whole streams: which shards of a stream a subscription reads and when, and one token for all of
//! them.
//!
//! Pure: [`frontier`] (what is begun, what waits for its parent, what is finished, what is still to
//! be told), [`merge`] (records of all shards by time) and [`token_pacing`] (when a token is due).
//! Around them, [`follow`] is the loop that reads, and [`start`] how one comes to be.

pub mod follow;
pub mod frontier;
pub mod merge;
mod next_stream;
mod open_shards;
mod replaced;
pub mod start;
pub mod token_pacing;
mod tries;
