//! Entries of a page before they are put into a batch, from model records or from transcoded JSON.

use std::ops::Range;

use prost::Message;

use super::batch::{BatchBuilder, Placing, Unread};
use super::record_message;
use super::repeats::RecordIdentity;
use super::transcode::{ParsedContent, ParsedEntry};
use crate::model::{PageEntry, SequenceNumber, Timestamp};
use crate::pb;

/// An entry of a page: the data that decides whether it is kept, and its content.
pub(super) trait IntoEntry {
    /// Its sequence number; `None` if it has none.
    fn sequence_number(&self) -> Option<SequenceNumber>;
    /// Its creation time; `None` if it has none.
    fn created_at(&self) -> Option<Timestamp>;
    /// The content of an entry, as it can be put into a batch.
    fn into_ready(self) -> EntryContent;
}

/// The content of an entry, as it can be put into a batch.
pub(super) enum EntryContent {
    /// A message that is encoded when it is added, and its length.
    Message(Box<pb::ChangeRecord>, usize),
    /// A record already encoded in the builder's slab, and the length of its message.
    Encoded(Range<usize>, usize),
    /// Why it cannot be read.
    Unreadable(String),
}

impl IntoEntry for PageEntry {
    fn sequence_number(&self) -> Option<SequenceNumber> {
        self.sequence_number()
    }

    fn created_at(&self) -> Option<Timestamp> {
        self.created_at()
    }

    fn into_ready(self) -> EntryContent {
        match self {
            Self::Unreadable(unreadable) => EntryContent::Unreadable(unreadable.cause),
            Self::Record(record) => {
                let message = record_message::change_record(*record);
                let length = message.encoded_len();
                EntryContent::Message(Box::new(message), length)
            }
        }
    }
}

impl IntoEntry for ParsedEntry {
    fn sequence_number(&self) -> Option<SequenceNumber> {
        self.sequence_number
    }

    fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    fn into_ready(self) -> EntryContent {
        match self.what {
            ParsedContent::Encoded { at, length } => EntryContent::Encoded(at, length),
            ParsedContent::Unreadable(cause) => EntryContent::Unreadable(cause),
        }
    }
}

impl EntryContent {
    /// Converts an entry; a record that alone is larger than `most_bytes` becomes unreadable.
    pub(super) fn new(entry: impl IntoEntry, most_bytes: usize) -> Self {
        let ready = entry.into_ready();
        match ready {
            Self::Message(_, length) | Self::Encoded(_, length) if length > most_bytes => {
                Self::Unreadable(format!(
                    "the record is {length} bytes large, more than the {most_bytes} that are kept of a page"
                ))
            }
            ready => ready,
        }
    }

    /// The bytes that it adds to the batch; the tag and the length of a record take at most eleven.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Message(_, length) | Self::Encoded(_, length) => length + 11,
            Self::Unreadable(cause) => cause.len() + size_of::<Unread>(),
        }
    }

    /// The record's identity. `builder` is the one that the entry will be put into.
    pub(super) fn identity(&self, builder: &BatchBuilder) -> RecordIdentity {
        let of_event = |id: &str| (!id.is_empty()).then(|| RecordIdentity::event(id));
        match self {
            Self::Message(message, _) => {
                let change = message.meta.as_ref().and_then(|meta| meta.change.as_ref());
                let named = change.and_then(|change| of_event(&change.id));
                named.unwrap_or_else(|| RecordIdentity::likeness(message.encode_to_vec()))
            }
            Self::Encoded(at, length) => {
                let bytes = builder.bytes(at.end - length..at.end);
                let named = record_message::event_id(bytes).and_then(|id| of_event(&id));
                named.unwrap_or_else(|| RecordIdentity::likeness(bytes))
            }
            Self::Unreadable(cause) => RecordIdentity::likeness(cause),
        }
    }

    /// Puts the entry into the batch. `number` is its own sequence number.
    pub(super) fn add(
        self,
        builder: &mut BatchBuilder,
        placing: Placing,
        number: Option<SequenceNumber>,
    ) {
        match self {
            Self::Message(message, length) => {
                builder.append(|slab| record_message::write(&message, length, slab), placing)
            }
            Self::Encoded(at, _) => builder.keep(at, placing),
            Self::Unreadable(cause) => builder.unreadable(placing, Unread { number, cause }),
        }
    }
}
