//! DynamoDB's JSON to the protobuf bytes of `ChangeRecord`, in one pass and without building
//! either.
//!
//! It takes JSON as AWS writes it, in any order of keys and with anything unknown in between, and
//! refuses everything whose meaning it would have to think about: a field given twice, two types in
//! one value, a surrogate without its other half. Refusing is always safe. A refused record is read
//! again by the upstream's own slow reader, a page that is refused as a whole likewise; so what
//! this module takes has to mean what the slow reader takes it for, and nothing else.
//!
//! From the outside in: [`mod@page`] finds the records, [`record`] writes one, [`value`] its items
//! (and [`short_entry`] those that most are), [`meta`] the rest of it; [`json_scanner`] reads JSON,
//! [`json_string`] undoes escapes, [`protobuf`] writes protobuf. No input makes it panic, recurse
//! deeper than DynamoDB nests, or allocate more than a few times the size of the input
//! (docs/adr/0010).

mod json_scanner;
mod json_string;
mod meta;
mod page;
mod protobuf;
mod record;
mod short_entry;
mod value;

use std::ops::Range;

use crate::model::{SequenceNumber, Timestamp};

pub use page::page;

/// Not taken here: to be read by the slow reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// A page whose records are written.
#[derive(Debug)]
pub struct Transcoded {
    /// The records that can be read, each as field 1 of an answer.
    pub slab: Vec<u8>,
    /// All entries in the page's order.
    pub entries: Vec<ParsedEntry>,
    /// Where the next page is, if there is one.
    pub next_iterator: Option<String>,
    /// How many entries the slow reader had to read.
    pub reread: usize,
}

/// One entry of the page.
#[derive(Debug)]
pub struct ParsedEntry {
    /// Its number, where it has one.
    pub sequence_number: Option<SequenceNumber>,
    /// Its creation, where AWS said it.
    pub created_at: Option<Timestamp>,
    /// What it is.
    pub what: ParsedContent,
}

/// What an entry is.
#[derive(Debug)]
pub enum ParsedContent {
    /// A record.
    Encoded {
        /// Where it lies in the slab, with its tag and its length.
        at: Range<usize>,
        /// The length of its message alone.
        length: usize,
    },
    /// Why it cannot be read.
    Unreadable(String),
}
