//! The state of one shard, shared by all cursors on it: pure, without I/O. It decides which call to
//! AWS comes next.

mod calls;
pub mod denial;
mod failures;
mod lane;
mod lane_end;
mod lanes;
mod latest;
mod parked;
pub mod poll;
pub mod position;
pub mod progress;
mod responses;
pub mod schedule;
mod searches;
pub mod state;
pub mod tip;
pub mod upstream_behaviour;
mod waiters;
mod waiting;
pub mod wakeups;

#[cfg(test)]
mod tests;
