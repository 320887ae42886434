//! shardstream reads the shards of Amazon DynamoDB Streams once, correctly, and serves their records over gRPC to any
//! number of programs in any language. The modules, in the order in which data flows:

#[cfg(feature = "embedded")]
pub mod dev;
pub mod limits;
pub mod model;
pub mod upstream;
