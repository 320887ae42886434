//! Subscriptions to whole streams: which shards of a stream are read and when, and one token for
//! all of them.
//!
//! Pure: [`frontier`] (which shards are begun, wait for their parent, or are finished, and which
//! losses must still be reported), [`merge`] (records of all shards by time) and [`token_pacing`]
//! (when a token is due). Around them, [`follow`] is the loop that reads, and [`start`] begins a
//! subscription.

pub(crate) mod follow;
pub(crate) mod frontier;
pub(crate) mod merge;
mod next_stream;
mod open_shards;
mod replaced_stream;
pub(crate) mod start;
pub(crate) mod token_pacing;
mod unlisted_tries;
