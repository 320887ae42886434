#![doc = include_str!("../README.md")]

mod backoff;
mod client;
mod connect;
mod error;
mod following;
mod progress;
mod record;
mod session;
mod store;
mod subscription;
mod value;
mod watch;

/// The messages of the contract, as the proto files make them.
#[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]
#[rustfmt::skip]
pub mod v1;

pub use backoff::Timing;
pub use client::{Client, ClientBuilder, Read};
pub use connect::{Credentials, Hooks, Tls};
pub use error::{Error, ErrorDetails, ErrorKind};
pub use following::{Policy, Start};
pub use record::{Batch, Changed, Event, Message, Record, gap_cause};
pub use session::Session;
pub use store::{FileTokenStore, MemoryTokenStore, StoreError, TokenStore};
pub use subscription::{Step, Subscription, SubscriptionBuilder};
pub use value::{Item, Number, Value};
pub use watch::ShardWatch;
