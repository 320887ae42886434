//! All integration tests: one binary, so that it links once.

// Waiting for the world outside takes the machine's clock, and the programs under test their environment.
#![allow(clippy::disallowed_methods)]
// A scenario is as long as its story, and an oracle is told everything that it judges.
#![allow(clippy::too_many_lines, clippy::too_many_arguments)]

mod accept;
mod admin;
mod alternator;
mod ancestor;
mod at_once;
mod attacks;
mod bad_input;
mod cli;
mod config;
mod connections;
mod crowd;
#[cfg(feature = "embedded")]
mod dev;
mod drain;
#[cfg(feature = "embedded")]
mod embedded;
mod endings;
#[cfg(feature = "embedded")]
mod examples;
mod faults;
mod held;
mod honest;
mod lanes;
mod latest;
mod listings;
mod pace;
mod process;
mod pushing;
mod schedules;
#[cfg(feature = "embedded")]
mod service;
mod soak;
mod stream_pages;
mod subscribe;
mod support;
mod survey;
mod tidy;
mod token_share;
mod transcode;
mod transport;
mod traps;
mod upstream_aws;
mod watch;
