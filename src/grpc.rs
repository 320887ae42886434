//! The gRPC layer: services, middleware, transport and message types; no shard logic is here.

pub mod codec;
pub mod context;
pub mod encoded;
pub mod error;
pub mod generated;
pub mod middleware;
pub mod request;
pub mod response_stream;
pub mod server;
pub mod server_service;
pub mod shard_service;
pub mod stream_resolver;
pub mod stream_service;
pub mod transport;
pub mod wire;
