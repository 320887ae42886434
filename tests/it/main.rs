//! All integration tests: one binary, so that it links once.

mod accept;
mod admin;
mod ancestor;
mod cli;
mod config;
#[cfg(feature = "embedded")]
mod dev;
mod schedules;
#[cfg(feature = "embedded")]
mod service;
mod support;
mod traps;
mod upstream_aws;
