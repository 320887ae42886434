//! End to end: the embedded DynamoDB, a real server over it, a real gRPC client; every kind of
//! value, every call, and every way for a client to go on somewhere else.

mod calls;
pub mod dev;
mod examples;
mod resuming;
mod service;
mod simulated;
mod stage;
mod values;
