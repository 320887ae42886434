//! Attribute values as text: exactly, as DynamoDB's own JSON, and briefly, for people.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json, json};

use super::text::{columns, push_safe};
use crate::pb::{AttributeValue, attribute_value::Value};

/// Attributes by name, as in messages.
pub(super) type Attributes = BTreeMap<String, AttributeValue>;

/// A value in DynamoDB's JSON: `{"S": "text"}`. Numbers are strings, bytes are base64.
pub(super) fn json(value: &AttributeValue) -> Json {
    match &value.value {
        Some(Value::S(text)) => json!({ "S": text }),
        Some(Value::N(digits)) => json!({ "N": digits }),
        Some(Value::B(bytes)) => json!({ "B": STANDARD.encode(bytes) }),
        Some(Value::Ss(set)) => json!({ "SS": set.values }),
        Some(Value::Ns(set)) => json!({ "NS": set.values }),
        Some(Value::Bs(set)) => {
            json!({ "BS": set.values.iter().map(|b| STANDARD.encode(b)).collect::<Vec<_>>() })
        }
        Some(Value::M(map)) => json!({ "M": json_map(&map.entries) }),
        Some(Value::L(list)) => json!({ "L": list.values.iter().map(json).collect::<Vec<_>>() }),
        Some(Value::NullValue(flag)) => json!({ "NULL": flag }),
        Some(Value::BoolValue(truth)) => json!({ "BOOL": truth }),
        // A type that this release does not know.
        None => json!({}),
    }
}

/// Attributes in DynamoDB's JSON: `{"id": {"S": "text"}}`.
pub(super) fn json_map(attributes: &Attributes) -> Json {
    Json::Object(
        attributes.iter().map(|(name, value)| (name.clone(), json(value))).collect::<Map<_, _>>(),
    )
}

/// How little a value says to a person: the higher, the less. For sorting.
pub(super) fn obscurity(value: &AttributeValue) -> u8 {
    match &value.value {
        Some(Value::S(_) | Value::N(_) | Value::BoolValue(_) | Value::NullValue(_)) => 0,
        Some(Value::Ss(_) | Value::Ns(_) | Value::M(_) | Value::L(_)) => 1,
        Some(Value::B(_) | Value::Bs(_)) | None => 2,
    }
}

/// A value for people, safe for a terminal: whole, or in `width` columns, where bytes are only
/// counted. No more of a large value is read than is shown.
pub(super) fn short(value: &AttributeValue, width: Option<usize>) -> String {
    let left = width.unwrap_or(usize::MAX);
    let mut short = Short { text: String::new(), left, whole: width.is_none(), cut: false };
    short.value(value);
    if short.cut {
        short.text.push('…');
    }
    short.text
}

struct Short {
    text: String,
    /// Columns that are left to write.
    left: usize,
    /// Whether nothing may be left out.
    whole: bool,
    cut: bool,
}

impl Short {
    fn value(&mut self, value: &AttributeValue) {
        match &value.value {
            Some(Value::S(text)) => self.quoted(text),
            Some(Value::N(digits)) => self.plain(digits),
            Some(Value::B(bytes)) => self.bytes(bytes),
            Some(Value::Ss(set)) => {
                self.many("{", &set.values, "}", |short, text| short.quoted(text))
            }
            Some(Value::Ns(set)) => {
                self.many("{", &set.values, "}", |short, digits| short.plain(digits))
            }
            Some(Value::Bs(set)) => {
                self.many("{", &set.values, "}", |short, bytes| short.bytes(bytes))
            }
            Some(Value::M(map)) => self.many("{", &map.entries, "}", |short, (name, value)| {
                short.plain(name);
                short.plain(": ");
                short.value(value);
            }),
            Some(Value::L(list)) => self.many("[", &list.values, "]", Self::value),
            Some(Value::NullValue(_)) => self.plain("null"),
            Some(Value::BoolValue(truth)) => self.plain(if *truth { "true" } else { "false" }),
            None => self.plain("?"),
        }
    }

    fn many<T>(
        &mut self,
        open: &str,
        items: impl IntoIterator<Item = T>,
        close: &str,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.plain(open);
        for (index, item) in items.into_iter().enumerate() {
            if self.cut {
                return;
            }
            if index > 0 {
                self.plain(", ");
            }
            write(self, item);
        }
        self.plain(close);
    }

    fn quoted(&mut self, text: &str) {
        self.plain("\"");
        for c in text.chars() {
            if self.cut {
                return;
            }
            if c == '"' || c == '\\' {
                self.plain("\\");
            }
            self.char(c);
        }
        self.plain("\"");
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.whole {
            true => self.plain(&format!("<{}>", STANDARD.encode(bytes))),
            false => self.plain(&format!("<{} bytes>", bytes.len())),
        }
    }

    fn plain(&mut self, text: &str) {
        text.chars().for_each(|c| self.char(c));
    }

    fn char(&mut self, c: char) {
        if self.cut {
            return;
        }
        let before = self.text.len();
        push_safe(&mut self.text, c);
        match self.left.checked_sub(columns(&self.text[before..])) {
            Some(left) => self.left = left,
            None => {
                self.text.truncate(before);
                self.cut = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
