//! All integration tests: one binary, so that it links once.

#[cfg(feature = "embedded")]
mod dev;
mod support;
mod upstream_aws;
