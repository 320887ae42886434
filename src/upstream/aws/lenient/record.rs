//! Parses one record from JSON by the SDK's rules: null counts as absent, unknown fields are
//! skipped.

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use serde_json::{Map, Value};

use super::super::convert;
use super::super::record_error::Flaw;
use super::number_literals::digits;
use super::time;
use crate::model::{AttributeValue, Item, MAX_LEVELS, Record, UserIdentity};

type Fields = Map<String, Value>;

/// Lenient base64: with line ends, without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Parses one record. Odd fields that only describe the change count as absent; the change itself
/// has to be as DynamoDB sends it: its sequence number and its images.
pub(super) fn record(mut fields: Fields) -> Result<Record, Flaw> {
    let mut record = Record {
        event_id: text(&mut fields, &["eventID"]),
        event_name: text(&mut fields, &["eventName"]),
        event_version: text(&mut fields, &["eventVersion"]),
        event_source: text(&mut fields, &["eventSource"]),
        aws_region: text(&mut fields, &["awsRegion"]),
        ..Record::default()
    };
    if let Ok(Some(mut who)) = inner(&mut fields, "userIdentity") {
        // Lambda writes these two names in lower case, and so do some emulators.
        let kind = text(&mut who, &["Type", "type"]);
        let principal_id = text(&mut who, &["PrincipalId", "principalId"]);
        record.user_identity = Some(UserIdentity { kind, principal_id });
    }
    let Some(mut change) = inner(&mut fields, "dynamodb")? else {
        return Ok(record);
    };
    let number = take(&mut change, "SequenceNumber")
        .map(|value| words(value).ok_or(Flaw::Field("SequenceNumber")));
    record.sequence_number = convert::sequence_number(number.transpose()?.as_deref())?;
    record.created_at =
        text(&mut change, &["ApproximateCreationDateTime"]).and_then(|text| time(&text));
    record.keys = inner(&mut change, "Keys")?.map(|keys| item(keys, 0)).transpose()?;
    record.new_image = inner(&mut change, "NewImage")?.map(|image| item(image, 0)).transpose()?;
    record.old_image = inner(&mut change, "OldImage")?.map(|image| item(image, 0)).transpose()?;
    record.size_bytes = text(&mut change, &["SizeBytes"]).and_then(|text| size(&text));
    record.stream_view_type = text(&mut change, &["StreamViewType"]);
    Ok(record)
}

fn take(fields: &mut Fields, name: &str) -> Option<Value> {
    fields.get_mut(name).map(Value::take).filter(|value| !value.is_null())
}

/// The first of these fields that is a string, or a number as it is written.
fn text(fields: &mut Fields, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| take(fields, name).and_then(words))
}

fn words(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        value => digits(&value).map(str::to_owned),
    }
}

/// Parses a whole number in any JSON notation.
fn size(text: &str) -> Option<i64> {
    let text = text.trim();
    let rounded =
        || text.parse().ok().filter(|size: &f64| size.fract() == 0.0 && size.abs() < 9e18);
    text.parse().ok().or_else(|| rounded().map(|size| size as i64))
}

fn inner(fields: &mut Fields, name: &'static str) -> Result<Option<Fields>, Flaw> {
    match take(fields, name) {
        None => Ok(None),
        Some(value) if digits(&value).is_some() => Err(Flaw::Field(name)),
        Some(Value::Object(fields)) => Ok(Some(fields)),
        Some(_) => Err(Flaw::Field(name)),
    }
}

fn item(map: Fields, level: usize) -> Result<Item, Flaw> {
    map.into_iter().map(|(name, inner)| Ok((name, value(inner, level)?))).collect()
}

/// Parses one value nested in `level` maps and lists.
fn value(value: Value, level: usize) -> Result<AttributeValue, Flaw> {
    if digits(&value).is_some() {
        return Err(Flaw::WrongType);
    }
    let Value::Object(variants) = value else {
        return Err(Flaw::WrongType);
    };
    let mut variants =
        variants.into_iter().filter(|(kind, inner)| !inner.is_null() && kind != "__type");
    let (kind, inner) = variants.next().ok_or(Flaw::NoType)?;
    if variants.next().is_some() {
        return Err(Flaw::TwoTypes);
    }
    match (kind.as_str(), inner) {
        ("M", Value::Object(_)) | ("L", Value::Array(_)) if level >= MAX_LEVELS => {
            Err(Flaw::TooDeep)
        }
        ("S", Value::String(text)) => Ok(AttributeValue::S(text)),
        ("N", inner) => number(inner).map(AttributeValue::N),
        ("B", inner) => bytes(inner).map(AttributeValue::B),
        ("SS", Value::Array(all)) => each(all, plain).map(AttributeValue::Ss),
        ("NS", Value::Array(all)) => each(all, number).map(AttributeValue::Ns),
        ("BS", Value::Array(all)) => each(all, bytes).map(AttributeValue::Bs),
        ("M", Value::Object(map)) => item(map, level + 1).map(AttributeValue::M),
        ("L", Value::Array(list)) => {
            each(list, |inner| self::value(inner, level + 1)).map(AttributeValue::L)
        }
        ("NULL", Value::Bool(flag)) => Ok(AttributeValue::Null(flag)),
        ("BOOL", Value::Bool(flag)) => Ok(AttributeValue::Bool(flag)),
        ("S" | "SS" | "NS" | "BS" | "M" | "L" | "NULL" | "BOOL", _) => Err(Flaw::WrongType),
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

fn number(value: Value) -> Result<String, Flaw> {
    words(value).ok_or(Flaw::WrongType)
}

fn bytes(value: Value) -> Result<Vec<u8>, Flaw> {
    let mut text = plain(value)?;
    text.retain(|letter| !letter.is_ascii_whitespace());
    BASE64.decode(text).map_err(|_| Flaw::WrongType)
}
