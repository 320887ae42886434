//! shardstream reads the shards of Amazon DynamoDB Streams once, correctly, and serves their
//! records over gRPC to any number of programs in any language.
//!
//! The modules stand in the order in which data flows: from AWS to the clients, then what puts the
//! parts together, then what all of them stand on. ARCHITECTURE.md says more of each.

// `expect` says why it cannot fail; `unwrap` does not.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
// What is public is for the program, the benchmark and the tests: they are other crates.
#![warn(unreachable_pub)]

// Pages come from AWS by four calls. Only here its SDK is known.
pub mod upstream;

// A page is encoded once, for all clients.
pub mod encode;

// Each followed shard is read once: its newest pages are kept, and a client is a cursor in them.
pub mod hub;

// Which shards of a stream are whose children.
mod lineage;

// The text by which a client goes on later, on any server.
pub mod token;

// A cursor that the server keeps for a client, under a lease.
pub mod session;

// All shards of a stream, children after their parents, as one.
mod subscription;

// Who calls, and may do what; and what is told of it.
pub mod access;
pub mod audit;

// The services: what clients ask for, and what they get.
pub mod grpc;
pub mod pb;

// The client commands: clients of any server.
pub mod cli;

// A DynamoDB in the same process, to try all of it.
#[cfg(feature = "embedded")]
pub mod dev;

// The server put together, from its configuration to its end.
pub mod admin;
pub mod app;
pub mod config;
mod descriptors;
pub mod exit;
mod signals;
pub mod systemd;
pub mod telemetry;

// What all parts stand on.
pub mod clock;
pub mod held_bytes;
pub mod limits;
pub mod metrics;
pub mod model;
pub mod peer_shares;
mod supervised;
pub mod tls;
pub mod traces;
