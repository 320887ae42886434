//! shardstream reads the shards of Amazon DynamoDB Streams once, correctly, and serves their records over gRPC to any
//! number of programs in any language. The modules, in the order in which data flows:

pub mod grpc;
pub mod limits;
pub mod model;
pub mod pb;
pub mod upstream;
