use super::*;
use crate::pb::{AttributeValue, Change, UserIdentity, attribute_value::Value};

fn n(digits: &str) -> AttributeValue {
    AttributeValue { value: Some(Value::N(digits.into())) }
}

fn s(text: &str) -> AttributeValue {
    AttributeValue { value: Some(Value::S(text.into())) }
}

fn image(attributes: &[(&str, AttributeValue)]) -> Attributes {
    attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn record(
    change: ChangeType,
    old: &[(&str, AttributeValue)],
    new: &[(&str, AttributeValue)],
) -> ChangeRecord {
    ChangeRecord {
        key: image(&[("id", n("42"))]),
        new_image: image(new),
        old_image: image(old),
        meta: Some(Meta {
            created_at: Some(prost_types::Timestamp { seconds: 1_795_428_000, nanos: 0 }),
            change: Some(Change { id: "e1".into(), r#type: change.into(), ..Default::default() }),
            sequence_number: "007".into(),
            size_bytes: Some(59),
            ..Default::default()
        }),
    }
}

/// The line without colours.
fn plain(record: &ChangeRecord, width: Option<usize>) -> String {
    anstream::adapter::strip_str(&line(record, width)).to_string()
}

fn line(record: &ChangeRecord, width: Option<usize>) -> String {
    let mut line = Line::default();
    describe(&mut line, record, width.is_some());
    line.render(width)
}

#[test]
fn a_line_tells_what_changed() {
    let id = ("id", n("42"));
    let insert =
        record(ChangeType::Insert, &[], &[id.clone(), ("total", n("12")), ("to", s("Ann"))]);
    assert_eq!(plain(&insert, None), r#"10:00:00 INSERT id=42  to="Ann", total=12"#);
    let blob = AttributeValue { value: Some(Value::B(vec![0; 16])) };
    let last = record(ChangeType::Insert, &[], &[("a", blob), ("b", n("1"))]);
    assert_eq!(plain(&last, Some(80)), "10:00:00 INSERT id=42  b=1, a=<16 bytes>");
    let old = [id.clone(), ("total", n("12")), ("gone", n("1")), ("same", n("1"))];
    let new = [id.clone(), ("total", n("13")), ("same", n("1")), ("here", n("2"))];
    let modify = record(ChangeType::Modify, &old, &new);
    assert_eq!(plain(&modify, None), "10:00:00 MODIFY id=42  total: 12 → 13, +here=2, -gone");
    let mut remove = record(ChangeType::Remove, &[id, ("total", n("13"))], &[]);
    let by =
        UserIdentity { r#type: "Service".into(), principal_id: "dynamodb.amazonaws.com".into() };
    remove.meta.as_mut().expect("meta").user_identity = Some(by);
    assert_eq!(plain(&remove, None), "10:00:00 REMOVE id=42 (time to live)  total=13");
    assert_eq!(plain(&ChangeRecord::default(), None), "--:--:-- ?     ");
}

#[test]
fn kinds_have_colours_and_lines_fit() {
    let long = record(ChangeType::Remove, &[("text", s(&"x".repeat(1_000))), ("z", n("1"))], &[]);
    assert!(line(&long, Some(80)).contains("\u{1b}[31m REMOVE"));
    let fitted = plain(&long, Some(80));
    assert_eq!(fitted, format!(r#"10:00:00 REMOVE id=42  text="{}…, z=1"#, "x".repeat(27)));
    assert_eq!(plain(&long, Some(30)).chars().count(), 30);
}

#[test]
fn hostile_items_stay_text() {
    let mut hostile = record(ChangeType::Insert, &[], &[("\u{1b}[2J", s("\u{9b}31m\r"))]);
    hostile.meta.as_mut().expect("meta").change =
        Some(Change { name: "X\u{7}".into(), ..Default::default() });
    let line = plain(&hostile, None);
    assert_eq!(line, r#"10:00:00 X\u{7} id=42  \u{1b}[2J="\u{9b}31m\r""#);
}

#[test]
fn an_object_keeps_everything_that_is_there() {
    let modify = record(ChangeType::Modify, &[("a", n("1"))], &[("a", n("2"))]);
    let expected = concat!(
        r#"{"shard_id":"shard-1","key":{"id":{"N":"42"}},"new_image":{"a":{"N":"2"}},"old_image":{"a":{"N":"1"}},"#,
        r#""meta":{"created_at":"2026-11-23T10:00:00Z","change":{"id":"e1","type":"MODIFY"},"#,
        r#""sequence_number":"007","size_bytes":59}}"#
    );
    assert_eq!(Json::Object(json("shard-1", &modify)).to_string(), expected);
    let empty = Json::Object(json("shard-1", &ChangeRecord::default())).to_string();
    assert_eq!(empty, r#"{"shard_id":"shard-1","meta":{}}"#);
}

#[test]
fn a_template_takes_what_the_record_says() {
    let filled = |text: &str, record: &ChangeRecord| {
        let line =
            template::fill(&text.parse().expect("a template"), "shardId-1", record).render(None);
        anstream::adapter::strip_str(&line).to_string()
    };
    let modify =
        record(ChangeType::Modify, &[("a", n("1"))], &[("a", n("2")), ("b", s("x\u{1b}[2J"))]);
    let all = "{time} {type} {shard} {sequence} ({key}) [{new}] [{old}] {id} {{}}";
    let expected =
        r#"2026-11-23T10:00:00Z MODIFY shardId-1 007 (id=42) [a=2, b="x\u{1b}[2J"] [a=1] e1 {}"#;
    assert_eq!(filled(all, &modify), expected);
    assert_eq!(filled("{time}|{new}|{id}|{type}", &ChangeRecord::default()), "|||?");
}
