//! The words of the domain, as plain data: nothing here waits, reads a clock or knows a wire format.
//!
//! Everything that comes from outside (a client, AWS, a token) is parsed into these types once, at the border;
//! past the border nothing is validated again.

mod id;
mod place;
mod record;
mod sequence;
mod shard;
mod time;

pub use id::{IdError, ShardId, StreamArn, StreamRef, TableName};
pub use place::{Mark, Place};
pub use record::{AttributeValue, Item, Page, PageEntry, Record, Unreadable, UserIdentity};
pub use sequence::{SequenceError, SequenceNumber};
pub use shard::{KeySchemaElement, Shard, StreamDescription, StreamStatus, StreamSummary};
pub use time::{Now, Timestamp};
