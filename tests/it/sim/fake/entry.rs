//! One entry of a shard's log, and the record it is served as.

use std::time::Duration;

use shardstream::model::{
    AttributeValue, Item, PageEntry, Record, SequenceNumber, Timestamp, Unreadable,
};

/// Why an unreadable entry cannot be read.
pub(super) const BAD: &str = "the fake was told so";

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A record as it should be.
    Record,
    /// A record without a sequence number.
    Unnumbered,
    /// Unreadable, with its number.
    Unreadable,
    /// Unreadable, and not even its number can be read.
    UnreadableUnnumbered,
}

/// Which entry of which shard: every record bears it as its event id, so that records can be told
/// apart whatever happens to their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    /// The shard's ordinal in its fake.
    pub shard: u32,
    /// The entry's place in the shard's full log.
    pub index: u64,
}

/// One entry of a shard's log. Entries are never forgotten, only marked as trimmed.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its number; AWS's own order, also where it is not shown.
    pub key: SequenceNumber,
    pub kind: EntryKind,
    pub created_at: Timestamp,
    pub written: Duration,
    pub trimmed: Option<Duration>,
    /// Bytes of its image, beside a few fixed ones.
    pub padding: usize,
}

impl EntryId {
    /// The event id of the record.
    pub fn event_id(self) -> String {
        format!("{:08x}{:024x}", self.shard, self.index)
    }

    /// Reads an event id of the fake.
    pub fn parse(event_id: &str) -> Option<Self> {
        let (shard, index) = (event_id.get(..8)?, event_id.get(8..32)?);
        Some(Self {
            shard: u32::from_str_radix(shard, 16).ok()?,
            index: u64::from_str_radix(index, 16).ok()?,
        })
    }
}

impl Entry {
    /// Its number, as clients are to see it.
    pub fn shown(&self) -> Option<SequenceNumber> {
        matches!(self.kind, EntryKind::Record | EntryKind::Unreadable).then_some(self.key)
    }

    /// What it counts for in a page.
    pub fn bytes(&self) -> usize {
        self.padding + 200
    }

    /// What GetRecords gives.
    pub fn serve(&self, id: EntryId) -> PageEntry {
        match self.kind {
            EntryKind::Record | EntryKind::Unnumbered => {
                PageEntry::Record(Box::new(self.record(id)))
            }
            EntryKind::Unreadable => PageEntry::Unreadable(Unreadable {
                sequence_number: Some(self.key),
                created_at: Some(self.created_at),
                cause: BAD.into(),
            }),
            EntryKind::UnreadableUnnumbered => PageEntry::Unreadable(Unreadable {
                sequence_number: None,
                created_at: None,
                cause: BAD.into(),
            }),
        }
    }

    fn record(&self, id: EntryId) -> Record {
        let name = ["INSERT", "MODIFY", "REMOVE"][(id.index % 3) as usize];
        let key = ("pk".to_owned(), AttributeValue::S(format!("{}-{}", id.shard, id.index)));
        let keys = Item::from([key.clone()]);
        let image = || {
            Item::from([
                key.clone(),
                ("n".to_owned(), AttributeValue::N(id.index.to_string())),
                ("padding".to_owned(), AttributeValue::B(vec![7; self.padding])),
            ])
        };
        Record {
            event_id: Some(id.event_id()),
            event_name: Some(name.into()),
            event_version: Some("1.1".into()),
            event_source: Some("aws:dynamodb".into()),
            aws_region: Some("us-east-1".into()),
            user_identity: None,
            new_image: (name != "REMOVE").then(image),
            old_image: (name == "REMOVE").then(image),
            keys: Some(keys),
            sequence_number: self.shown(),
            size_bytes: Some(self.bytes() as i64),
            stream_view_type: Some("NEW_AND_OLD_IMAGES".into()),
            created_at: Some(self.created_at),
        }
    }
}
