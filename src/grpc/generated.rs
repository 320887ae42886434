//! The gRPC service traits and servers, generated from `proto/` by the second pass of `build.rs`:
//! responses with records are the types of `encoded`, and all messages use the codec of `codec`.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/server/shardstream.v1.rs"));
