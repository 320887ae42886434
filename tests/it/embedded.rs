//! End to end: the embedded DynamoDB, a real server over it, a real gRPC client; every kind of value, every call, and
//! every way for a client to go on somewhere else.

mod calls;
mod resuming;
mod stage;
mod values;
