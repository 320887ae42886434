//! All integration tests: one binary, so that it links once.

mod accept;
mod admin;
mod bad_input;
mod cli;
mod config;
#[cfg(feature = "embedded")]
mod dev;
#[cfg(feature = "embedded")]
mod embedded;
mod schedules;
#[cfg(feature = "embedded")]
mod service;
mod support;
mod transport;
mod upstream_aws;
