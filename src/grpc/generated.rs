//! The service traits and servers, generated from `proto/` by the second pass of `build.rs`:
//! answers with records are the types of `encoded`, everything is framed by `codec`.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/server/shardstream.v1.rs"));
