//! What hand-written readers of DynamoDB Streams got wrong, a test or more for each pitfall in
//! README.md: the real services over the scripted upstream, on a paused clock. What concerns whole
//! streams stands in `subscribe`.

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
mod subscribe;
mod tip;
mod upstream_errors;
