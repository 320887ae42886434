//! DynamoDB's values as Rust's, and back, without loss.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::v1::{
    AttributeList, AttributeMap, AttributeValue, BinarySet, NumberSet, StringSet,
    attribute_value::Value as Raw,
};

/// An item, or the part of one that is its key: attributes by name.
pub type Item = BTreeMap<String, Value>;

/// A value of DynamoDB.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// S.
    String(String),
    /// N.
    Number(Number),
    /// B.
    Binary(Vec<u8>),
    /// BOOL.
    Bool(bool),
    /// NULL.
    Null,
    /// M.
    Map(Item),
    /// L.
    List(Vec<Value>),
    /// SS.
    StringSet(BTreeSet<String>),
    /// NS.
    NumberSet(BTreeSet<Number>),
    /// BS.
    BinarySet(BTreeSet<Vec<u8>>),
    /// A type that this release does not know, and of which it keeps nothing.
    Unknown,
}

/// A number as DynamoDB sends it: up to 38 digits, which no type of Rust's standard library holds.
/// `number.parse::<i64>()` and its like give what fits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(String);

impl Number {
    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number in a type that it fits.
    ///
    /// # Errors
    /// The type's own, when it does not.
    pub fn parse<T: std::str::FromStr>(&self) -> Result<T, T::Err> {
        self.0.parse()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for Number {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

/// The values of a map of attributes.
pub(crate) fn item(raw: &BTreeMap<String, AttributeValue>) -> Item {
    raw.iter().map(|(name, value)| (name.clone(), value.into())).collect()
}

impl From<&AttributeValue> for Value {
    fn from(raw: &AttributeValue) -> Self {
        match &raw.value {
            None => Self::Unknown,
            Some(Raw::S(text)) => Self::String(text.clone()),
            Some(Raw::N(text)) => Self::Number(Number(text.clone())),
            Some(Raw::B(bytes)) => Self::Binary(bytes.to_vec()),
            Some(Raw::BoolValue(truth)) => Self::Bool(*truth),
            Some(Raw::NullValue(_)) => Self::Null,
            Some(Raw::M(map)) => Self::Map(item(&map.entries)),
            Some(Raw::L(list)) => Self::List(list.values.iter().map(Self::from).collect()),
            Some(Raw::Ss(set)) => Self::StringSet(set.values.iter().cloned().collect()),
            Some(Raw::Ns(set)) => {
                Self::NumberSet(set.values.iter().map(|text| Number(text.clone())).collect())
            }
            Some(Raw::Bs(set)) => {
                Self::BinarySet(set.values.iter().map(|bytes| bytes.to_vec()).collect())
            }
        }
    }
}

impl From<&Value> for AttributeValue {
    fn from(value: &Value) -> Self {
        let raw = match value {
            Value::String(text) => Raw::S(text.clone()),
            Value::Number(number) => Raw::N(number.0.clone()),
            Value::Binary(bytes) => Raw::B(bytes.clone()),
            Value::Bool(truth) => Raw::BoolValue(*truth),
            Value::Null => Raw::NullValue(true),
            Value::Map(item) => Raw::M(AttributeMap {
                entries: item.iter().map(|(name, value)| (name.clone(), value.into())).collect(),
            }),
            Value::List(values) => {
                Raw::L(AttributeList { values: values.iter().map(Self::from).collect() })
            }
            Value::StringSet(set) => Raw::Ss(StringSet { values: set.iter().cloned().collect() }),
            Value::NumberSet(set) => {
                Raw::Ns(NumberSet { values: set.iter().map(|number| number.0.clone()).collect() })
            }
            Value::BinarySet(set) => Raw::Bs(BinarySet { values: set.iter().cloned().collect() }),
            Value::Unknown => return Self { value: None },
        };
        Self { value: Some(raw) }
    }
}

/// What serde_dynamo reads a program's own types from.
impl From<&Value> for serde_dynamo::AttributeValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::S(text.clone()),
            Value::Number(number) => Self::N(number.0.clone()),
            Value::Binary(bytes) => Self::B(bytes.clone()),
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Null | Value::Unknown => Self::Null(true),
            Value::Map(item) => {
                Self::M(item.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
            Value::List(values) => Self::L(values.iter().map(Self::from).collect()),
            Value::StringSet(set) => Self::Ss(set.iter().cloned().collect()),
            Value::NumberSet(set) => Self::Ns(set.iter().map(|number| number.0.clone()).collect()),
            Value::BinarySet(set) => Self::Bs(set.iter().cloned().collect()),
        }
    }
}
