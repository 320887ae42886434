//! What several tests use.

pub mod scripted_http;
pub mod program;
pub mod server;
