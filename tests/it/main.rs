//! All integration tests: one binary, so that it links once.

mod accept;
mod admin;
mod cli;
mod config;
#[cfg(feature = "embedded")]
mod dev;
#[cfg(feature = "embedded")]
mod service;
mod support;
mod upstream_aws;
