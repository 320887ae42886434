//! A model of Amazon DynamoDB Streams: what AWS's four Streams calls answer over a table that
//! changes.
//!
//! Pure: every method takes *now*, nothing waits, and chance comes from one seed. What happens by
//! itself (a shard's end, trimming, a stream that is forgotten) happens at its own time, however
//! late anybody looks, so the same changes at the same times give the same shards, numbers and
//! pages. `docs/simulator.md` lists the behaviours, each with its source and its test.
//!
//! - [`Model`] is the whole: [`Model::enable`], [`Model::disable`] and [`Model::change`] say what
//!   became of a table, and [`Model::answer`] answers a call in AWS's JSON;
//! - `stream` and `shard` hold what there is, `iterator` where readers stand, `limits` how often
//!   they may come, `wire` reads and writes JSON.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod chance;
mod change;
mod error;
mod faults;
mod iterator;
mod limits;
mod model;
mod number;
mod settings;
mod shard;
mod size;
mod stream;
mod wire;

pub use change::{Change, KeyElement, Operation, ViewType};
pub use error::Refusal;
pub use faults::{Call, Chance, Disturbance, Fault, OutOfBounds, Rule, Seconds};
pub use model::Model;
pub use number::SequenceNumber;
pub use settings::{Limits, Settings};
pub use wire::Answer;

/// A time: milliseconds since 1970.
pub type Millis = u64;
