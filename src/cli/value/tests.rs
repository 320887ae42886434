use super::*;
use crate::pb::{AttributeList, AttributeMap, BinarySet, NumberSet, StringSet};

const DIGITS: &str = "12345678901234567890123456789012345678";

fn of(value: Value) -> AttributeValue {
    AttributeValue { value: Some(value) }
}

fn s(text: &str) -> AttributeValue {
    of(Value::S(text.into()))
}

#[test]
fn all_ten_types_have_dynamodbs_json() {
    let cases = [
        (s("a \"b\"\n"), r#"{"S":"a \"b\"\n"}"#, r#""a \"b\"\n""#),
        (s(""), r#"{"S":""}"#, r#""""#),
        (of(Value::N(DIGITS.into())), &format!(r#"{{"N":"{DIGITS}"}}"#), DIGITS),
        (of(Value::B(vec![0, 255])), r#"{"B":"AP8="}"#, "<AP8=>"),
        (
            of(Value::Ss(StringSet { values: vec!["b".into(), "a".into()] })),
            r#"{"SS":["b","a"]}"#,
            r#"{"b", "a"}"#,
        ),
        (
            of(Value::Ns(NumberSet { values: vec!["1".into(), "-2.5E3".into()] })),
            r#"{"NS":["1","-2.5E3"]}"#,
            "{1, -2.5E3}",
        ),
        (
            of(Value::Bs(BinarySet { values: vec![vec![1], vec![]] })),
            r#"{"BS":["AQ==",""]}"#,
            "{<AQ==>, <>}",
        ),
        (
            of(Value::M(AttributeMap {
                entries: [("x".into(), s("y")), ("z".into(), s(""))].into(),
            })),
            r#"{"M":{"x":{"S":"y"},"z":{"S":""}}}"#,
            r#"{x: "y", z: ""}"#,
        ),
        (of(Value::M(AttributeMap::default())), r#"{"M":{}}"#, "{}"),
        (
            of(Value::L(AttributeList { values: vec![s("a"), of(Value::N("1".into()))] })),
            r#"{"L":[{"S":"a"},{"N":"1"}]}"#,
            r#"["a", 1]"#,
        ),
        (of(Value::NullValue(true)), r#"{"NULL":true}"#, "null"),
        (of(Value::BoolValue(false)), r#"{"BOOL":false}"#, "false"),
        (AttributeValue { value: None }, "{}", "?"),
    ];
    for (value, expected, shown) in cases {
        assert_eq!(json(&value).to_string(), expected);
        assert_eq!(short(&value, None), shown);
    }
}

#[test]
fn thirty_two_levels_are_kept() {
    for in_lists in [false, true] {
        let deep = (0..32).fold(s("bottom"), |inner, _| {
            of(if in_lists {
                Value::L(AttributeList { values: vec![inner] })
            } else {
                Value::M(AttributeMap { entries: [("x".into(), inner)].into() })
            })
        });
        let text = json(&deep).to_string();
        assert_eq!(text.matches(if in_lists { r#"{"L":["# } else { r#"{"M":{"x":"# }).count(), 32);
        assert!(text.contains(r#"{"S":"bottom"}"#));
        assert!(short(&deep, None).contains("bottom"));
    }
}

#[test]
fn short_text_is_cut_and_safe() {
    assert_eq!(short(&s("abcdefghij"), Some(5)), r#""abcd…"#);
    assert_eq!(short(&s(&"x".repeat(400_000)), Some(10)).chars().count(), 11);
    assert_eq!(short(&of(Value::B(vec![7; 400_000])), Some(28)), "<400000 bytes>");
    assert_eq!(short(&s("\u{1b}[2J"), None), r#""\u{1b}[2J""#);
    let name = AttributeMap { entries: [("\u{1b}c".into(), s("v"))].into() };
    assert_eq!(short(&of(Value::M(name)), None), r#"{\u{1b}c: "v"}"#);
}
