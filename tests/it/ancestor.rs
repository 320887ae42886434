//! bloop's `Shard`, the ancestor: each of its defects mended, under its number, and each of its rules that a client can see
//! and that we keep, under the rule's name.

mod calls;
mod children;
mod coordinator;
mod jumps;
mod reading;
mod records;
mod rules;
mod seeks;
mod tokens;
