//! One record from JSON, by the same rules by which the SDK reads one: null is absent, unknown fields are skipped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::super::convert;
use super::super::flaw::Flaw;
use super::seconds;
use crate::model::{AttributeValue, Item, MAX_LEVELS, Record, UserIdentity};

type Fields = Map<String, Value>;

/// Reads one record.
pub fn record(mut fields: Fields) -> Result<Record, Flaw> {
    let mut record = Record {
        event_id: text(&mut fields, "eventID")?,
        event_name: text(&mut fields, "eventName")?,
        event_version: text(&mut fields, "eventVersion")?,
        event_source: text(&mut fields, "eventSource")?,
        aws_region: text(&mut fields, "awsRegion")?,
        ..Record::default()
    };
    if let Some(mut who) = inner(&mut fields, "userIdentity")? {
        let kind = text(&mut who, "Type").map_err(|_| Flaw::Field("userIdentity"))?;
        let principal_id = text(&mut who, "PrincipalId").map_err(|_| Flaw::Field("userIdentity"))?;
        record.user_identity = Some(UserIdentity { kind, principal_id });
    }
    let Some(mut change) = inner(&mut fields, "dynamodb")? else {
        return Ok(record);
    };
    record.sequence_number = convert::sequence_number(text(&mut change, "SequenceNumber")?.as_deref())?;
    record.created_at = match take(&mut change, "ApproximateCreationDateTime") {
        Some(number) => seconds(number.as_f64().ok_or(Flaw::Field("ApproximateCreationDateTime"))?),
        None => None,
    };
    record.keys = inner(&mut change, "Keys")?.map(|keys| item(keys, 0)).transpose()?;
    record.new_image = inner(&mut change, "NewImage")?.map(|image| item(image, 0)).transpose()?;
    record.old_image = inner(&mut change, "OldImage")?.map(|image| item(image, 0)).transpose()?;
    record.size_bytes = match take(&mut change, "SizeBytes") {
        Some(number) => Some(number.as_i64().ok_or(Flaw::Field("SizeBytes"))?),
        None => None,
    };
    record.stream_view_type = text(&mut change, "StreamViewType")?;
    Ok(record)
}

fn take(fields: &mut Fields, name: &str) -> Option<Value> {
    fields.get_mut(name).map(Value::take).filter(|value| !value.is_null())
}

fn text(fields: &mut Fields, name: &'static str) -> Result<Option<String>, Flaw> {
    match take(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Flaw::Field(name)),
    }
}

fn inner(fields: &mut Fields, name: &'static str) -> Result<Option<Fields>, Flaw> {
    match take(fields, name) {
        None => Ok(None),
        Some(Value::Object(fields)) => Ok(Some(fields)),
        Some(_) => Err(Flaw::Field(name)),
    }
}

fn item(map: Fields, level: usize) -> Result<Item, Flaw> {
    map.into_iter().map(|(name, inner)| Ok((name, value(inner, level)?))).collect()
}

/// One value inside `level` maps and lists.
fn value(value: Value, level: usize) -> Result<AttributeValue, Flaw> {
    let Value::Object(variants) = value else {
        return Err(Flaw::WrongType);
    };
    let mut variants = variants.into_iter().filter(|(kind, inner)| !inner.is_null() && kind != "__type");
    let (kind, inner) = variants.next().ok_or(Flaw::NoType)?;
    if variants.next().is_some() {
        return Err(Flaw::TwoTypes);
    }
    match (kind.as_str(), inner) {
        ("M", Value::Object(_)) | ("L", Value::Array(_)) if level >= MAX_LEVELS => Err(Flaw::TooDeep),
        ("S", Value::String(text)) => Ok(AttributeValue::S(text)),
        ("N", Value::String(number)) => Ok(AttributeValue::N(number)),
        ("B", inner) => bytes(inner).map(AttributeValue::B),
        ("SS", Value::Array(all)) => each(all, plain).map(AttributeValue::Ss),
        ("NS", Value::Array(all)) => each(all, plain).map(AttributeValue::Ns),
        ("BS", Value::Array(all)) => each(all, bytes).map(AttributeValue::Bs),
        ("M", Value::Object(map)) => item(map, level + 1).map(AttributeValue::M),
        ("L", Value::Array(list)) => each(list, |inner| self::value(inner, level + 1)).map(AttributeValue::L),
        ("NULL", Value::Bool(flag)) => Ok(AttributeValue::Null(flag)),
        ("BOOL", Value::Bool(flag)) => Ok(AttributeValue::Bool(flag)),
        ("S" | "N" | "SS" | "NS" | "BS" | "M" | "L" | "NULL" | "BOOL", _) => Err(Flaw::WrongType),
        _ => Err(Flaw::UnknownType),
    }
}

fn each<T>(all: Vec<Value>, read: impl Fn(Value) -> Result<T, Flaw>) -> Result<Vec<T>, Flaw> {
    all.into_iter().map(read).collect()
}

fn plain(value: Value) -> Result<String, Flaw> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Flaw::WrongType),
    }
}

fn bytes(value: Value) -> Result<Vec<u8>, Flaw> {
    STANDARD.decode(plain(value)?).map_err(|_| Flaw::WrongType)
}
