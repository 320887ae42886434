//! Keeps JSON numbers as they are written: 38 digits fit no type, and some upstreams send a number
//! where DynamoDB sends a string.

use serde_json::Value;

/// The only field of the object that replaces a number. No field of DynamoDB has this name.
const MARK: &str = "\u{0}";

/// What surrounds the digits of a marked number.
const AROUND: (&str, &str) = (r#"{"\u0000":""#, r#""}"#);

/// The JSON with every number replaced by an object of its digits: `7` becomes `{"\u0000":"7"}`.
pub(super) fn marked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut marked = String::with_capacity(bytes.len() + bytes.len() / 4);
    let mut at = 0;
    while let Some(first) = bytes.get(at) {
        let rest = &bytes[at..];
        let begins = |byte: &u8| matches!(byte, b'"' | b'-' | b'0'..=b'9');
        let (length, is_number) = match first {
            b'"' => (string(rest), false),
            b'-' | b'0'..=b'9' => {
                let within =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                (rest.iter().position(|byte| !within(byte)).unwrap_or(rest.len()), true)
            }
            _ => (rest.iter().position(begins).unwrap_or(rest.len()), false),
        };
        // Both ends of each part lie next to an ASCII character, so slicing cannot split a
        // character.
        let (begin, end) = if is_number { AROUND } else { ("", "") };
        for part in [begin, &text[at..at + length], end] {
            marked.push_str(part);
        }
        at += length;
    }
    marked
}

/// The length in bytes of the JSON string at the beginning of `bytes`, quotes included.
fn string(bytes: &[u8]) -> usize {
    let mut escaped = false;
    let end = bytes.iter().skip(1).position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    });
    end.map_or(bytes.len(), |end| end + 2)
}

/// The digits of a marked number; `None` for any other value.
pub(super) fn digits(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) if fields.len() == 1 => fields.get(MARK)?.as_str(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same as [`marked`], for a parsed value.
    fn mark(value: &Value) -> Value {
        match value {
            Value::Number(number) => serde_json::json!({ MARK: number.to_string() }),
            Value::Array(all) => all.iter().map(mark).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, inner)| (name.clone(), mark(inner))).collect()
            }
            other => other.clone(),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn numbers_are_marked_and_nothing_else(value in json()) {
            let read: Value = serde_json::from_str(&marked(&value.to_string())).expect("JSON");
            prop_assert_eq!(read, mark(&value));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            prop_assert!(marked(&text).len() >= text.len());
        }
    }

    #[test]
    fn digits_are_kept_as_they_are_written() {
        let read: Value =
            serde_json::from_str(&marked("[-1.50e+3,100000000000000000000000000000000000001]"))
                .expect("JSON");
        assert_eq!(digits(&read[0]), Some("-1.50e+3"));
        assert_eq!(digits(&read[1]), Some("100000000000000000000000000000000000001"));
    }
}
