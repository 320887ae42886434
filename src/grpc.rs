//! The gRPC side of the server.

pub mod codec;
pub mod encoded;
pub mod services;
