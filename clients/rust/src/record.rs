//! What a stream gives: records, and what happened to them.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use crate::v1::{self, ChangeRecord, ChangeType, GapCause, StreamViewType};
use crate::value::{Item, Value, item};

/// One change of one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The shard it was read from.
    pub shard_id: String,
    /// The message as it came.
    pub raw: ChangeRecord,
}

/// An attribute before and after a change; `None` where that image does not have it.
pub type Changed = (Option<Value>, Option<Value>);

impl Record {
    pub(crate) fn new(raw: ChangeRecord, shard_id: &str) -> Self {
        Self { shard_id: shard_id.to_owned(), raw }
    }

    /// The item's primary key.
    pub fn key(&self) -> Item {
        item(&self.raw.key)
    }

    /// The item after the change. `None` when it was removed, or the stream does not carry this
    /// image.
    pub fn new_image(&self) -> Option<Item> {
        (!self.raw.new_image.is_empty()).then(|| item(&self.raw.new_image))
    }

    /// The item before the change. `None` when it was inserted, or the stream does not carry this
    /// image.
    pub fn old_image(&self) -> Option<Item> {
        (!self.raw.old_image.is_empty()).then(|| item(&self.raw.old_image))
    }

    /// [`Self::new_image`] as a type of the program's own.
    ///
    /// # Errors
    /// What of the item the type does not take.
    pub fn new_image_as<T: DeserializeOwned>(&self) -> serde_dynamo::Result<Option<T>> {
        image_as(&self.raw.new_image)
    }

    /// [`Self::old_image`] as a type of the program's own.
    ///
    /// # Errors
    /// What of the item the type does not take.
    pub fn old_image_as<T: DeserializeOwned>(&self) -> serde_dynamo::Result<Option<T>> {
        image_as(&self.raw.old_image)
    }

    /// `INSERT`, `MODIFY`, `REMOVE`, or AWS's own word for a kind that came later.
    pub fn kind(&self) -> &str {
        let change = self.meta(|meta| meta.change.as_ref());
        match change.map(|change| (change.name.as_str(), change.r#type())) {
            Some((name, _)) if !name.is_empty() => name,
            Some((_, ChangeType::Insert)) => "INSERT",
            Some((_, ChangeType::Modify)) => "MODIFY",
            Some((_, ChangeType::Remove)) => "REMOVE",
            _ => "",
        }
    }

    /// AWS's id of the change: the same whenever the record is read again. Empty when AWS gave
    /// none.
    pub fn id(&self) -> &str {
        self.meta(|meta| meta.change.as_ref()).map_or("", |change| &change.id)
    }

    /// The record's place in its shard: digits, to be compared as an integer.
    pub fn sequence_number(&self) -> &str {
        self.raw.meta.as_ref().map_or("", |meta| &meta.sequence_number)
    }

    /// When the change was made, to the second. `None` when AWS did not say.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.meta(|meta| meta.created_at).and_then(|time| SystemTime::try_from(time).ok())
    }

    /// Whether time to live deleted the item, and no writer.
    pub fn by_time_to_live(&self) -> bool {
        let identity = self.meta(|meta| meta.user_identity.as_ref());
        identity.is_some_and(|who| who.principal_id == "dynamodb.amazonaws.com")
    }

    /// The attributes that differ, each with its old and new value. `None` unless the stream
    /// carries both images.
    pub fn changed(&self) -> Option<BTreeMap<String, Changed>> {
        let view = self.raw.meta.as_ref().map(v1::Meta::stream_view_type);
        if !matches!(
            view,
            None | Some(StreamViewType::Unspecified | StreamViewType::NewAndOldImages)
        ) {
            return None;
        }
        let mut pairs = BTreeMap::<String, Changed>::new();
        for (name, value) in self.old_image().unwrap_or_default() {
            pairs.entry(name).or_default().0 = Some(value);
        }
        for (name, value) in self.new_image().unwrap_or_default() {
            pairs.entry(name).or_default().1 = Some(value);
        }
        pairs.retain(|_, (old, new)| old != new);
        Some(pairs)
    }

    fn meta<'a, T>(&'a self, part: impl FnOnce(&'a v1::Meta) -> Option<T>) -> Option<T> {
        self.raw.meta.as_ref().and_then(part)
    }
}

fn image_as<T: DeserializeOwned>(
    raw: &BTreeMap<String, v1::AttributeValue>,
) -> serde_dynamo::Result<Option<T>> {
    if raw.is_empty() {
        return Ok(None);
    }
    let attributes = item(raw).into_iter().map(|(name, value)| (name, (&value).into()));
    let attributes = attributes.collect::<HashMap<String, serde_dynamo::AttributeValue>>();
    serde_dynamo::from_item(serde_dynamo::Item::from(attributes)).map(Some)
}

/// Records of one shard, or one event.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The shard; empty for events of the whole stream.
    pub shard_id: String,
    /// In the order of the shard.
    pub records: Vec<Record>,
    /// What happened, behind the records.
    pub event: Option<Event>,
    /// The server's token, which covers everything up to here. Empty when none was due; see
    /// [`Subscription::position`](crate::Subscription::position).
    pub token: String,
}

/// What happens to records.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Records are gone, or may be.
    Gap(v1::Gap),
    /// One record that cannot be read, in its place between the others.
    Unreadable(v1::Unreadable),
    /// A shard is read from now on.
    ShardOpen(v1::ShardOpen),
    /// A shard was delivered to its end.
    ShardEnd(v1::ShardEnd),
    /// The stream was delivered to its end.
    StreamEnd(v1::StreamEnd),
    /// The server is well and has nothing to give. Only where heartbeats are wanted.
    Heartbeat(v1::Heartbeat),
}

/// What a gap is called: `TRIMMED`, `SHARD_EXPIRED`, `STREAM_REPLACED`, or `UNKNOWN` for a cause
/// that came later.
pub fn gap_cause(gap: &v1::Gap) -> &'static str {
    match gap.cause() {
        GapCause::Trimmed => "TRIMMED",
        GapCause::ShardExpired => "SHARD_EXPIRED",
        GapCause::StreamReplaced => "STREAM_REPLACED",
        GapCause::Unspecified => "UNKNOWN",
    }
}

/// The answer of one read. Records or `exhausted`, never both.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// In the order of the shard.
    pub records: Vec<Record>,
    /// Goes on after them.
    pub token: String,
    /// The shard has ended and was read to its end.
    pub exhausted: bool,
    /// There was nothing newer.
    pub at_tip: bool,
    /// What could not be read, where that is skipped.
    pub unreadable: Vec<v1::Unreadable>,
}
