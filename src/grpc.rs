//! The gRPC side of the server.

pub mod accept;
pub mod codec;
pub mod connection;
pub mod encoded;
pub mod services;
