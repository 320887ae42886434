//! One binary for all integration tests: one link, shared helpers.

mod accept;
mod admin;
mod config;
