//! The integration tests, one binary.

#[cfg(feature = "embedded")]
mod dev;
