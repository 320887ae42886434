//! What several tests use.

pub mod scripted_http;
pub mod scripted_server;
pub mod server;
