//! How large DynamoDB counts an item to be, and whether two items are one.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// An item in DynamoDB's JSON.
type Item = Map<String, Value>;

/// The bytes of an item: names and values.
pub(crate) fn of(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|object| object.iter().next()) else {
        return 0;
    };
    let many = |one: fn(&str) -> usize| {
        let values = value.as_array().into_iter().flatten();
        values.filter_map(Value::as_str).map(one).sum()
    };
    let text = value.as_str().unwrap_or_default();
    match kind.as_str() {
        "S" => text.len(),
        "N" => number(text),
        "B" => binary(text),
        "SS" => many(str::len),
        "NS" => many(number),
        "BS" => many(binary),
        // Three bytes around a list or a map, and one for each value in it.
        "L" => {
            3 + value.as_array().into_iter().flatten().map(|v| 1 + value_bytes(v)).sum::<usize>()
        }
        "M" => {
            let entries = value.as_object().into_iter().flatten();
            3 + entries.map(|(name, v)| 1 + name.len() + value_bytes(v)).sum::<usize>()
        }
        _ => 1,
    }
}

/// Two digits a byte, and one byte more.
fn number(text: &str) -> usize {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits.div_ceil(2) + 1
}

/// Base64 has three bytes in four characters.
fn binary(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

/// Whether a write changed nothing. The order of names and of a set's members does not count.
pub(crate) fn same(one: &Item, other: &Item) -> bool {
    let alike = |name: &String, value: &Value| {
        other.get(name).is_some_and(|other| same_value(value, other))
    };
    one.len() == other.len() && one.iter().all(|(name, value)| alike(name, value))
}

fn same_value(one: &Value, other: &Value) -> bool {
    let single = |value: &Value| {
        let object = value.as_object()?;
        let (kind, value) = object.iter().next()?;
        Some((kind.clone(), value.clone()))
    };
    let (Some((kind, one)), Some((other_kind, other))) = (single(one), single(other)) else {
        return one == other;
    };
    if kind != other_kind {
        return false;
    }
    match (kind.as_str(), &one, &other) {
        ("SS" | "NS" | "BS", Value::Array(one), Value::Array(other)) => {
            let members = |set: &[Value]| -> BTreeSet<String> {
                set.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            };
            members(one) == members(other)
        }
        ("L", Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same_value(a, b))
        }
        ("M", Value::Object(one), Value::Object(other)) => same(one, other),
        _ => one == other,
    }
}
