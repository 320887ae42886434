//! All integration tests: one binary, so that it links once.

mod accept;
mod admin;
mod config;
#[cfg(feature = "embedded")]
mod dev;
mod support;
mod upstream_aws;
#[cfg(feature = "embedded")]
mod service;
