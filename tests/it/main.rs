//! All integration tests: one binary, so that it links once.

// Waiting for the world outside takes the machine's clock, and the programs under test their
// environment.
#![allow(clippy::disallowed_methods)]
// A scenario is as long as its story, and an oracle is told everything that it judges.
#![allow(clippy::too_many_lines, clippy::too_many_arguments)]

mod cli;
mod contract;
#[cfg(feature = "embedded")]
mod embedded;
mod house;
mod scenarios;
mod sim;
mod support;
mod transport;
mod upstream;
