//! The gRPC side of the server: requests in, answers out; nothing here decides about shards.

pub mod accept;
pub mod border;
pub mod caller;
pub mod codec;
pub mod connection;
pub mod context;
pub mod encoded;
pub mod methods;
pub mod moving;
pub mod observe;
pub mod pushing;
pub mod reading;
pub mod record_stream;
pub mod refusal;
pub mod request;
pub mod server;
pub mod server_service;
pub mod services;
pub mod serving;
pub mod shard_service;
pub mod stream_service;
pub mod subscribe;
pub mod under_way;
pub mod watch;
pub mod wire;
