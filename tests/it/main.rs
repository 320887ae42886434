//! One binary for all integration tests: one link, shared helpers.

mod admin;
mod config;
