//! Whole streams: what their subscribers saw, and the checks of it.
//!
//! Nothing here shares code with the product: it knows the contract and the fake's own full log.

pub mod history;
pub mod judge;
pub mod watcher;
