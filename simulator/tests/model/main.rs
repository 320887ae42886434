//! The model through its one public door: calls in AWS's JSON, and a table that changes.

mod faults;
mod iterators;
mod lifecycle;
mod limits;
mod properties;
mod records;
mod requests;
mod retention;
mod shards;
mod stage;
