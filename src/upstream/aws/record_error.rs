//! What can be wrong with one record. The texts go to clients, so none ever quotes the record
//! itself.

use crate::model::{PageEntry, SequenceNumber, Timestamp, Unreadable};

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Something else stands where a record should.
    #[error("the record is not a JSON object")]
    NotARecord,
    /// Valid JSON by its brackets, but not in its strings or numbers.
    #[error("a text of the record is not Unicode, or a number is out of range")]
    Text,
    /// A field of the record has a type of its own.
    #[error("{0} is not what DynamoDB sends there")]
    Field(&'static str),
    /// Too many maps and lists inside one another.
    #[error("an attribute is nested deeper than 32 levels")]
    TooDeep,
    /// `{}` where a value should be: some emulators send it for an empty map.
    #[error("an attribute value has no type")]
    NoType,
    /// Two types at once.
    #[error("an attribute value has two types")]
    TwoTypes,
    /// A type that DynamoDB did not have when this was written.
    #[error("an attribute value is of an unknown type")]
    UnknownType,
    /// A type we know, with something else inside.
    #[error("an attribute value is not of the type it names")]
    WrongType,
}

impl Flaw {
    /// The entry that stands in the record's place.
    pub fn entry(
        self,
        sequence_number: Option<SequenceNumber>,
        created_at: Option<Timestamp>,
    ) -> PageEntry {
        PageEntry::Unreadable(Unreadable { sequence_number, created_at, cause: self.to_string() })
    }
}
