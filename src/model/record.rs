//! One item change, as the upstream gave it, and a page of them.

use std::collections::BTreeMap;

use super::{SequenceNumber, Timestamp};

/// A DynamoDB item or a map inside one. Sorted, so that the same item is encoded to the same bytes.
pub type Item = BTreeMap<String, AttributeValue>;

/// One value of any of DynamoDB's ten types. Numbers stay text: 38 digits fit no machine number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text.
    S(String),
    /// A number of up to 38 digits.
    N(String),
    /// Bytes.
    B(Vec<u8>),
    /// A set of texts, in the upstream's order.
    Ss(Vec<String>),
    /// A set of numbers, in the upstream's order.
    Ns(Vec<String>),
    /// A set of byte strings, in the upstream's order.
    Bs(Vec<Vec<u8>>),
    /// A map.
    M(Item),
    /// A list.
    L(Vec<AttributeValue>),
    /// NULL, with the flag AWS sends (always true).
    Null(bool),
    /// A truth value.
    Bool(bool),
}

/// Who made a change, where it was not a user: TTL deletes bear `Service` and `dynamodb.amazonaws.com`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct UserIdentity {
    /// AWS's `type`.
    pub kind: Option<String>,
    /// AWS's `principalId`.
    pub principal_id: Option<String>,
}

/// One change of one item. AWS marks every field as optional, so nothing here is required.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// `eventID`, unique to the change.
    pub event_id: Option<String>,
    /// `eventName` in AWS's own spelling: `INSERT`, `MODIFY` or `REMOVE`.
    pub event_name: Option<String>,
    /// `eventVersion`.
    pub event_version: Option<String>,
    /// `eventSource`.
    pub event_source: Option<String>,
    /// `awsRegion`.
    pub aws_region: Option<String>,
    /// `userIdentity`.
    pub user_identity: Option<UserIdentity>,
    /// `Keys`.
    pub keys: Option<Item>,
    /// `NewImage`.
    pub new_image: Option<Item>,
    /// `OldImage`.
    pub old_image: Option<Item>,
    /// `SequenceNumber`.
    pub sequence_number: Option<SequenceNumber>,
    /// `SizeBytes`.
    pub size_bytes: Option<i64>,
    /// `StreamViewType` in AWS's own spelling.
    pub stream_view_type: Option<String>,
    /// `ApproximateCreationDateTime`; AWS rounds it down to the second.
    pub created_at: Option<Timestamp>,
}

/// A record that cannot be read, in its place among those that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number, if that much could be read.
    pub sequence_number: Option<SequenceNumber>,
    /// Its creation, if that much could be read.
    pub created_at: Option<Timestamp>,
    /// What is wrong with it; never item data.
    pub cause: String,
}

/// One entry of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageEntry {
    /// A change.
    Record(Box<Record>),
    /// A change that cannot be read.
    Unreadable(Unreadable),
}

/// One answer of GetRecords.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Page {
    /// The entries in shard order; may be empty although more follow.
    pub entries: Vec<PageEntry>,
    /// Where the next page is; `None` when the shard is closed and this page was its last.
    pub next_iterator: Option<String>,
}

impl PageEntry {
    /// The entry's number, where it has one.
    pub fn sequence_number(&self) -> Option<SequenceNumber> {
        match self {
            Self::Record(record) => record.sequence_number,
            Self::Unreadable(unreadable) => unreadable.sequence_number,
        }
    }

    /// The entry's creation time, where it has one.
    pub fn created_at(&self) -> Option<Timestamp> {
        match self {
            Self::Record(record) => record.created_at,
            Self::Unreadable(unreadable) => unreadable.created_at,
        }
    }
}
