//! The gRPC side of the server.

pub mod accept;
pub mod connection;
