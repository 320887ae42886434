//! What every hand-written reader of DynamoDB Streams got wrong, one test or more for each trap of one shard, under its
//! number: the real services over the scripted upstream, on a paused clock.
//!
//! Traps 2 and 4 are about parents and children read together: they belong to whole streams.

mod ends;
mod iterators;
mod listing;
mod loss;
mod numbers;
mod sizes;
mod slow;
mod tip;
mod trouble;
