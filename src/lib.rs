//! shardstream reads the shards of Amazon DynamoDB Streams once, correctly, and serves their
//! records over gRPC to any number of programs in any language. The modules, in the order in which
//! data flows:

// `expect` says why it cannot fail; `unwrap` does not.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod admin;
pub mod app;
pub mod cli;
pub mod client_memory;
pub mod clock;
pub mod config;
pub mod descriptors;
#[cfg(feature = "embedded")]
pub mod dev;
pub mod encode;
pub mod exit;
pub mod grpc;
pub mod hub;
pub mod limits;
pub mod lineage;
pub mod metrics;
pub mod model;
pub mod pb;
pub mod peer_limits;
pub mod session;
pub mod signals;
pub mod subscription;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod upstream;
