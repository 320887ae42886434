//! What every hand-written reader of DynamoDB Streams got wrong, one test or more for each trap, under its
//! number: the real services over the scripted upstream, on a paused clock.
//!
//! What concerns whole streams, traps 2 and 4 among them, stands in `whole`.

mod alike;
mod clocks;
mod ends;
mod gone;
mod iterators;
mod listing;
mod loss;
mod numbers;
mod sizes;
mod slow;
mod tip;
mod trouble;
mod whole;
