//! Whole streams: what their subscribers saw, the checks of it, a model server that tries the checks, and random schedules.
//!
//! Nothing here shares code with the product: it knows the contract and the fake's own full log.

pub mod client;
pub mod driver;
pub mod history;
pub mod ideal;
pub mod inprocess;
pub mod judge;
pub mod plan;
pub mod stage;
pub mod timeline;
pub mod watcher;
