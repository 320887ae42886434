//! What several tests use.

pub mod scripted_http;
