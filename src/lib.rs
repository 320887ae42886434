//! shardstream reads the shards of Amazon DynamoDB Streams once, correctly, and serves their records over gRPC to any
//! number of programs in any language. The modules, in the order in which data flows:

pub mod admin;
pub mod config;
pub mod exit;
pub mod grpc;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod telemetry;
pub mod upstream;
