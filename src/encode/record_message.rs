//! Converts a model record to a `ChangeRecord` message. What AWS left out stays absent.

use prost::Message;

use super::RECORDS_TAG;
use crate::model::{AttributeValue, Item, Record, Timestamp};
use crate::pb;

/// Appends a message of this length to a slab, as field 1 of a response.
pub(super) fn write(message: &pb::ChangeRecord, length: usize, slab: &mut Vec<u8>) {
    slab.push(RECORDS_TAG);
    prost::encoding::encode_varint(length as u64, slab);
    message.encode_raw(slab);
}

/// The event id of an encoded record; all other fields are skipped.
pub(super) fn event_id(record: &[u8]) -> Option<String> {
    Some(OnlyMeta::decode(record).ok()?.meta?.change?.id)
}

/// The part of a `ChangeRecord` down to its event id: meta, change, id.
#[derive(prost::Message)]
struct OnlyMeta {
    #[prost(message, optional, tag = "4")]
    meta: Option<OnlyChange>,
}

#[derive(prost::Message)]
struct OnlyChange {
    #[prost(message, optional, tag = "2")]
    change: Option<OnlyId>,
}

#[derive(prost::Message)]
struct OnlyId {
    #[prost(string, tag = "1")]
    id: String,
}

/// The message of a record.
pub(super) fn change_record(record: Record) -> pb::ChangeRecord {
    let kind = change_type(record.event_name.as_deref());
    let name = record.event_name.filter(|_| kind == pb::ChangeType::Unspecified);
    let change = pb::Change {
        id: record.event_id.unwrap_or_default(),
        r#type: kind.into(),
        version: record.event_version.unwrap_or_default(),
        name: name.unwrap_or_default(),
    };
    let meta = pb::Meta {
        created_at: record.created_at.map(timestamp),
        change: Some(change),
        sequence_number: record
            .sequence_number
            .map(|number| number.as_str().to_owned())
            .unwrap_or_default(),
        size_bytes: record.size_bytes,
        stream_view_type: view_type(record.stream_view_type.as_deref()).into(),
        user_identity: record.user_identity.map(|identity| pb::UserIdentity {
            r#type: identity.kind.unwrap_or_default(),
            principal_id: identity.principal_id.unwrap_or_default(),
        }),
        aws_region: record.aws_region.unwrap_or_default(),
        event_source: record.event_source.unwrap_or_default(),
    };
    pb::ChangeRecord {
        key: item(record.keys.unwrap_or_default()),
        new_image: item(record.new_image.unwrap_or_default()),
        old_image: item(record.old_image.unwrap_or_default()),
        meta: Some(meta),
    }
}

/// AWS's name of a kind of change as the enum; unspecified for an unknown name.
pub(super) fn change_type<T: AsRef<[u8]> + ?Sized>(name: Option<&T>) -> pb::ChangeType {
    match name.map(T::as_ref) {
        Some(b"INSERT") => pb::ChangeType::Insert,
        Some(b"MODIFY") => pb::ChangeType::Modify,
        Some(b"REMOVE") => pb::ChangeType::Remove,
        Some(_) | None => pb::ChangeType::Unspecified,
    }
}

/// AWS's name of a view type as the enum; unspecified for an unknown name.
pub fn view_type<T: AsRef<[u8]> + ?Sized>(name: Option<&T>) -> pb::StreamViewType {
    match name.map(T::as_ref) {
        Some(b"KEYS_ONLY") => pb::StreamViewType::KeysOnly,
        Some(b"NEW_IMAGE") => pb::StreamViewType::NewImage,
        Some(b"OLD_IMAGE") => pb::StreamViewType::OldImage,
        Some(b"NEW_AND_OLD_IMAGES") => pb::StreamViewType::NewAndOldImages,
        Some(_) | None => pb::StreamViewType::Unspecified,
    }
}

/// A point in time as a protobuf timestamp.
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds(), nanos: time.nanos() as i32 }
}

fn item(item: Item) -> std::collections::BTreeMap<String, pb::AttributeValue> {
    item.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

fn attribute(value: AttributeValue) -> pb::AttributeValue {
    use pb::attribute_value::Value;
    let value = match value {
        AttributeValue::S(text) => Value::S(text),
        AttributeValue::N(number) => Value::N(number),
        AttributeValue::B(bytes) => Value::B(bytes),
        AttributeValue::Ss(values) => Value::Ss(pb::StringSet { values }),
        AttributeValue::Ns(values) => Value::Ns(pb::NumberSet { values }),
        AttributeValue::Bs(values) => Value::Bs(pb::BinarySet { values }),
        AttributeValue::M(entries) => Value::M(pb::AttributeMap { entries: item(entries) }),
        AttributeValue::L(values) => {
            Value::L(pb::AttributeList { values: values.into_iter().map(attribute).collect() })
        }
        AttributeValue::Null(flag) => Value::NullValue(flag),
        AttributeValue::Bool(flag) => Value::BoolValue(flag),
    };
    pb::AttributeValue { value: Some(value) }
}
