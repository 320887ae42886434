//! An entry on its way into a batch, wherever it comes from.

use std::ops::Range;

use prost::Message;

use super::batch::{BatchBuilder, Order};
use super::message;
use super::transcode::{Found, What};
use crate::model::{PageEntry, SequenceNumber, Timestamp};
use crate::pb;

/// An entry of a page: what decides whether it is kept, and what it is.
pub trait Placed {
    /// Its number, where it has one.
    fn sequence_number(&self) -> Option<SequenceNumber>;
    /// Its creation time, where it has one.
    fn created_at(&self) -> Option<Timestamp>;
    /// What can be put into a batch.
    fn into_ready(self) -> Ready;
}

/// What can be put into a batch.
pub enum Ready {
    /// A message that is encoded when it is added, and its length.
    Message(Box<pb::ChangeRecord>, usize),
    /// A record that lies encoded in the builder's slab, and the length of its message.
    Encoded(Range<usize>, usize),
    /// Why it cannot be read.
    Unreadable(String),
}

impl Placed for PageEntry {
    fn sequence_number(&self) -> Option<SequenceNumber> {
        self.sequence_number()
    }

    fn created_at(&self) -> Option<Timestamp> {
        self.created_at()
    }

    fn into_ready(self) -> Ready {
        match self {
            Self::Unreadable(unreadable) => Ready::Unreadable(unreadable.cause),
            Self::Record(record) => {
                let message = message::change_record(*record);
                let length = message.encoded_len();
                Ready::Message(Box::new(message), length)
            }
        }
    }
}

impl Placed for Found {
    fn sequence_number(&self) -> Option<SequenceNumber> {
        self.sequence_number
    }

    fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    fn into_ready(self) -> Ready {
        match self.what {
            What::Encoded { at, length } => Ready::Encoded(at, length),
            What::Unreadable(cause) => Ready::Unreadable(cause),
        }
    }
}

impl Ready {
    /// From an entry; one that alone is larger than `most_bytes` becomes unreadable.
    pub fn new(entry: impl Placed, most_bytes: usize) -> Self {
        let ready = entry.into_ready();
        match ready {
            Self::Message(_, length) | Self::Encoded(_, length) if length > most_bytes => Self::Unreadable(format!(
                "the record is {length} bytes large, more than the {most_bytes} that are kept of a page"
            )),
            ready => ready,
        }
    }

    /// What it adds to the batch, in bytes; the tag and the length of a record are at most eleven.
    pub fn len(&self) -> usize {
        match self {
            Self::Message(_, length) | Self::Encoded(_, length) => length + 11,
            Self::Unreadable(cause) => cause.len(),
        }
    }

    /// Puts it into the batch.
    pub fn add(self, builder: &mut BatchBuilder, order: Order, created_at: Option<Timestamp>) {
        match self {
            Self::Message(message, length) => {
                builder.append(|slab| message::write(&message, length, slab), order, created_at);
            }
            Self::Encoded(at, _) => builder.keep(at, order, created_at),
            Self::Unreadable(cause) => builder.unreadable(order, created_at, &cause),
        }
    }
}
