//! The gRPC layer: services, middleware, transport and message types; no shard logic is here.

mod call_audit;
mod call_rates;
pub mod callers;
mod codec;
pub mod context;
pub mod encoded;
pub mod error;
pub mod generated;
pub mod middleware;
mod permission;
mod request;
mod response_stream;
pub(crate) mod server;
pub mod server_service;
pub mod shard_service;
pub mod standing;
mod stream_resolver;
pub mod stream_service;
pub mod transport;
mod wire;
