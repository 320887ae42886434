//! What can be wrong with one record. The texts go to clients, so they never quote the record.

use crate::model::{PageEntry, SequenceNumber, Timestamp, Unreadable};

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// It is not a JSON object.
    #[error("the record is not a JSON object")]
    NotARecord,
    /// JSON with matching brackets, but with an invalid string or number in it.
    #[error("a text of the record is not Unicode, or a number is out of range")]
    Text,
    /// The named field has an unexpected type.
    #[error("{0} is not what DynamoDB sends there")]
    Field(&'static str),
    /// Too many maps and lists nested in one another.
    #[error("an attribute is nested deeper than 32 levels")]
    TooDeep,
    /// `{}` instead of a value: some emulators send it for an empty map.
    #[error("an attribute value has no type")]
    NoType,
    /// A value with two types at once.
    #[error("an attribute value has two types")]
    TwoTypes,
    /// A value of a type that DynamoDB did not have when this was written.
    #[error("an attribute value is of an unknown type")]
    UnknownType,
    /// A value of a known type with the wrong content.
    #[error("an attribute value is not of the type it names")]
    WrongType,
}

impl Flaw {
    /// The unreadable entry that takes the record's place in the page.
    pub(super) fn entry(
        self,
        sequence_number: Option<SequenceNumber>,
        created_at: Option<Timestamp>,
    ) -> PageEntry {
        PageEntry::Unreadable(Unreadable { sequence_number, created_at, cause: self.to_string() })
    }
}
