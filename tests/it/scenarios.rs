//! What the server does, behaviour by behaviour: the real services over the scripted upstream,
//! mostly on a paused clock.

mod attacks;
mod bloop_compat;
mod discovery;
mod drain;
mod ends;
mod fan_out;
mod faults;
mod gaps;
mod known_pitfalls;
mod lanes;
mod latest;
mod limits;
mod listings;
mod pace;
mod stream_pages;
mod subscribe;
mod token_share;
mod unary_reads;
mod watch_shards;
