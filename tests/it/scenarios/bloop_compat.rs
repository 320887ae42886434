//! bloop's `Shard`, the ancestor: each of its defects in README.md mended, and each of its rules
//! kept that a client can see.

mod calls;
mod children;
mod coordinator;
mod jumps;
mod reading;
mod records;
mod rules;
mod seeks;
mod tokens;
