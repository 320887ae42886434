//! Transcodes DynamoDB's JSON to the protobuf bytes of `ChangeRecord`, in one pass and without
//! building either.
//!
//! It accepts JSON as AWS writes it, with keys in any order and unknown fields in between, and
//! refuses everything whose meaning is not plain: a field given twice, two types in one value, a
//! surrogate without its other half. Refusing is always safe: a refused record, or a page refused
//! as a whole, is read again by the upstream's own slow reader. So whatever this module accepts
//! must mean exactly what the slow reader takes it for.
//!
//! From the outside in: [`mod@page`] finds the records, [`record`] writes one, [`value`] its items
//! ([`short_entry`] the most common entries), [`meta`] its other fields; [`shapes`] is a shorter way
//! through records like those that came before; [`json_scanner`] reads JSON, [`json_string`] undoes escapes, [`protobuf`] writes protobuf. No input makes it panic,
//! recurse deeper than DynamoDB nests, or allocate more than a few times the size of the input
//! (docs/adr/0010).

mod attribute_tags;
mod json_scanner;
mod json_string;
mod meta;
mod page;
mod plain_text;
mod protobuf;
mod record;
mod shapes;
mod short_entry;
mod value;

use std::ops::Range;

use crate::model::{SequenceNumber, Timestamp};

pub(super) use page::page;
pub use shapes::Shapes;

/// Not accepted here: the slow reader must read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// A page whose records are transcoded.
#[derive(Debug)]
pub(super) struct Transcoded {
    /// The readable records, each encoded as field 1 of a response.
    pub slab: Vec<u8>,
    /// All entries in the page's order.
    pub entries: Vec<ParsedEntry>,
    /// The iterator of the next page; `None`: there is none.
    pub next_iterator: Option<String>,
    /// How many entries the slow reader had to read.
    pub reread: usize,
    /// How many entries were of a known shape.
    pub known: usize,
}

/// One entry of the page.
#[derive(Debug)]
pub(super) struct ParsedEntry {
    /// Its sequence number; `None` if it has none.
    pub sequence_number: Option<SequenceNumber>,
    /// Its creation time; `None` if AWS sent none.
    pub created_at: Option<Timestamp>,
    /// Its content, or why it cannot be read.
    pub what: ParsedContent,
}

/// The content of an entry.
#[derive(Debug)]
pub(super) enum ParsedContent {
    /// A record.
    Encoded {
        /// Its range in the slab, including its tag and its length.
        at: Range<usize>,
        /// The length of its message alone.
        length: usize,
    },
    /// Why it cannot be read.
    Unreadable(String),
}
