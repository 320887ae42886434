//! The embedded DynamoDB of `shardstream dev`: trying it out needs no AWS account, no container and
//! no Java.
//!
//! [`Embedded`] runs dynoxide, a DynamoDB on SQLite, inside this process on a loopback port.
//! [`Demo`] makes one table with a stream and keeps changing its items. Neither knows gRPC: the
//! `dev` command adds the server and its client. The files, in the order in which a run uses them:
//!
//! - `folder` keeps the data: a temporary folder, or one the user named and that stays;
//! - `embedded` opens the database, and serves it from a thread of its own until told to end;
//! - `index` adds the index without which every write and read would walk the whole stream;
//! - `expire` deletes items whose time to live has passed;
//! - `forget` drops the stream records of a table that is gone, so that a table of the same name
//!   starts clean;
//! - `demo` makes the table and writes, and `item` says what it writes;
//! - `simulated` puts a model of AWS's streams before the database: `shardstream simulate`;
//! - `error` says what can go wrong.
//!
//! # What this DynamoDB does differently
//!
//! It is a store for development. It differs from AWS in these ways, and the rest of the server
//! must not take them for AWS's:
//!
//! - **An open shard claims an end.** From the first record on, `DescribeStream` gives the newest
//!   record's number as the shard's `EndingSequenceNumber`, and `NextShardIterator` is never
//!   absent: here no shard ever closes. Only an absent next iterator closes a shard, never an
//!   ending number; `upstream` holds that rule.
//! - A stream has one shard for ever: no splits, no parents, and `CHILD_SHARDS` and
//!   `ExclusiveStartShardId` are ignored.
//! - Nothing expires and nothing is trimmed: not iterators, not records. The file only grows.
//! - `DescribeStream` has no `KeySchema`; ARNs name the region `dynoxide`; a wrong stream label is
//!   accepted.
//! - A stream enabled again answers under its old ARN too.
//! - It processes one call at a time, and `DescribeStream` and a `LATEST` iterator read every
//!   index entry of the stream (see `index`): on a long stream, request them seldom. Writes and
//!   reads do not slow down.
//! - It logs whole requests at the level `trace`, item data included: its log target, `dynoxide`,
//!   must stay above that.

mod database;
mod demo;
mod embedded;
mod error;
mod expire;
mod folder;
mod forget;
mod index;
mod item;
mod simulated;

pub use demo::Demo;
pub use embedded::{Embedded, EmbeddedOptions};
pub use error::DevError;
pub use simulated::{SIMULATED_REGION, Simulated, SimulatedOptions};
