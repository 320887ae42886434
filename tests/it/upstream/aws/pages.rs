//! Pages of records: good ones, and every way in which one can be bad.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use shardstream::model::{AttributeValue, PageEntry, Record, UserIdentity};

async fn read(server: &ScriptedHttp, upstream: &Both, body: impl Into<Vec<u8>>) -> Page {
    server.answer("GetRecords", [Answer::ok(body)]);
    upstream.records("it", 1_000).await.expect("a page")
}

/// A page of a good record, `middle`, and a good record.
fn around(middle: &str) -> String {
    let good =
        |number: u32| format!(r#"{{"eventID":"good","dynamodb":{{"SequenceNumber":"{number}"}}}}"#);
    format!(r#"{{"Records":[{},{middle},{}],"NextShardIterator":"next"}}"#, good(1), good(3))
}

fn with_value(value: &str) -> String {
    with(r#""eventID":"x""#, &format!(r#""NewImage":{{"secret":{value}}}"#))
}

/// Record number 2, with a field of its own outside and inside `dynamodb`.
fn with(outside: &str, inside: &str) -> String {
    format!(
        r#"{{{outside},"dynamodb":{{{inside},"SequenceNumber":"2",
            "ApproximateCreationDateTime":1.7e9}}}}"#
    )
}

fn nested(levels: usize, innermost: &str) -> String {
    format!("{}{innermost}{}", r#"{"M":{"m":"#.repeat(levels), "}}".repeat(levels))
}

fn middle(page: &Page) -> &PageEntry {
    assert_eq!(page.next_iterator.as_deref(), Some("next"));
    assert_eq!(page.entries.len(), 3);
    for (at, text) in [(0, "1"), (2, "3")] {
        assert!(
            matches!(&page.entries[at], PageEntry::Record(record) if record.event_id.as_deref() == Some("good"))
        );
        assert_eq!(page.entries[at].sequence_number(), Some(number(text)));
    }
    &page.entries[1]
}

#[tokio::test]
async fn reads_every_field_and_type() {
    let (server, upstream) = start().await;
    let all = r#"{"s":{"S":"ü"},"n":{"N":"-1.50E+99"},"b":{"B":"AAEC"},"ss":{"SS":["b","a"]},
        "ns":{"NS":["2","1"]},
        "bs":{"BS":["AQ==",""]},"m":{"M":{}},"l":{"L":[{"M":{"x":{"L":[]}}},{"S":""}]},
        "z":{"NULL":true},"t":{"BOOL":false}}"#;
    let body = format!(
        r#"{{"Records":[{{"eventID":"e","eventName":"UPSERT","eventVersion":"1.1",
            "eventSource":"aws:dynamodb",
        "awsRegion":"us-east-1","userIdentity":{{"Type":"Service",
        "PrincipalId":"dynamodb.amazonaws.com"}},"more":[1,{{}}],
        "dynamodb":{{"Keys":{{"id":{{"S":"1"}}}},"NewImage":{all},"OldImage":null,
        "SequenceNumber":"007","SizeBytes":26,
        "StreamViewType":"NEW_IMAGE","ApproximateCreationDateTime":1700000000.123}}}},{{}}]}}"#
    );
    let page = read(&server, &upstream, body).await;
    assert_eq!(server.requests("GetRecords"), [json!({ "ShardIterator": "it", "Limit": 1000 })]);
    assert_eq!(page.next_iterator, None);
    let image = [
        ("s", AttributeValue::S("ü".into())),
        ("n", AttributeValue::N("-1.50E+99".into())),
        ("b", AttributeValue::B(vec![0, 1, 2])),
        ("ss", AttributeValue::Ss(vec!["b".into(), "a".into()])),
        ("ns", AttributeValue::Ns(vec!["2".into(), "1".into()])),
        ("bs", AttributeValue::Bs(vec![vec![1], vec![]])),
        ("m", AttributeValue::M(Default::default())),
        (
            "l",
            AttributeValue::L(vec![
                AttributeValue::M([("x".to_owned(), AttributeValue::L(vec![]))].into()),
                AttributeValue::S(String::new()),
            ]),
        ),
        ("z", AttributeValue::Null(true)),
        ("t", AttributeValue::Bool(false)),
    ];
    let expected = Record {
        event_id: Some("e".into()),
        event_name: Some("UPSERT".into()),
        event_version: Some("1.1".into()),
        event_source: Some("aws:dynamodb".into()),
        aws_region: Some("us-east-1".into()),
        user_identity: Some(UserIdentity {
            kind: Some("Service".into()),
            principal_id: Some("dynamodb.amazonaws.com".into()),
        }),
        keys: Some([("id".to_owned(), AttributeValue::S("1".into()))].into()),
        new_image: Some(image.map(|(name, value)| (name.to_owned(), value)).into()),
        old_image: None,
        sequence_number: Some(number("007")),
        size_bytes: Some(26),
        stream_view_type: Some("NEW_IMAGE".into()),
        created_at: Timestamp::from_millis(1_700_000_000_123),
    };
    assert_eq!(
        page.entries,
        [PageEntry::Record(Box::new(expected)), PageEntry::Record(Box::default())]
    );
}

#[tokio::test]
async fn the_last_page_of_a_closed_shard_has_no_next_iterator() {
    let (server, upstream) = start().await;
    for next in ["", r#","NextShardIterator":null"#, r#","NextShardIterator":"""#] {
        let page = read(&server, &upstream, format!(r#"{{"Records":[{{}}]{next}}}"#)).await;
        assert_eq!((page.entries.len(), page.next_iterator), (1, None), "{next}");
    }
    let page = read(&server, &upstream, r#"{"NextShardIterator":"n"}"#).await;
    assert_eq!((page.entries.len(), page.next_iterator.as_deref()), (0, Some("n")));
}

#[tokio::test]
async fn a_bad_record_costs_only_itself() {
    let (server, upstream) = start().await;
    let top = r#"{"S":"top"}"#;
    let no_type = "an attribute value has no type";
    let wrong_type = "an attribute value is not of the type it names";
    let too_deep = "an attribute is nested deeper than 32 levels";
    let cases = [
        (no_type, with_value("{}")),
        (no_type, with_value(r#"{"L":[{"M":{"a":{}}}]}"#)),
        (no_type, with_value(r#"{"S":null}"#)),
        ("an attribute value has two types", with_value(r#"{"S":"top","N":"1"}"#)),
        ("an attribute value is of an unknown type", with_value(r#"{"V":"top"}"#)),
        (wrong_type, with_value(r#"{"S":1}"#)),
        (wrong_type, with_value(r#"{"B":"top secret!"}"#)),
        (wrong_type, with_value(r#"{"SS":["a",1]}"#)),
        (wrong_type, with_value(r#"{"M":[]}"#)),
        (wrong_type, with_value(r#"{"M":{"a":null}}"#)),
        (wrong_type, with_value("7")),
        (too_deep, with_value(&nested(33, top))),
        (too_deep, with_value(&nested(300, top))),
        (too_deep, with_value(&nested(100_000, top))),
        (
            "a text of the record is not Unicode, or a number is out of range",
            with_value(r#"{"S":"\ud800"}"#),
        ),
        (
            "NewImage is not what DynamoDB sends there",
            with("\"eventID\":\"x\"", r#""NewImage":"top""#),
        ),
    ];
    for (cause, record) in cases {
        let page = read(&server, &upstream, around(&record)).await;
        let PageEntry::Unreadable(unreadable) = middle(&page) else { panic!("{cause}: was read") };
        assert_eq!(unreadable.cause, cause);
        assert_eq!(unreadable.sequence_number, Some(number("2")), "{cause}");
        assert_eq!(unreadable.created_at, Timestamp::from_millis(1_700_000_000_000), "{cause}");
    }
}

/// What an odd field of a record is taken for: as it is meant where that is plain, else as if it
/// were left out.
#[tokio::test]
async fn an_odd_field_costs_itself_at_most() {
    let (server, upstream) = start().await;
    let plain = with(
        r#""eventID":"x","userIdentity":{"Type":"Service","PrincipalId":"p"}"#,
        r#""SizeBytes":26"#,
    );
    let page = read(&server, &upstream, around(&plain)).await;
    let PageEntry::Record(plain) = middle(&page) else { panic!("not read") };
    let who =
        |who: &str| with(&format!(r#""eventID":"x","userIdentity":{who}"#), r#""SizeBytes":26"#);
    let size = |size: &str| {
        with(
            r#""eventID":"x","userIdentity":{"Type":"Service","PrincipalId":"p"}"#,
            &format!(r#""SizeBytes":{size}"#),
        )
    };
    let id = |id: &str| {
        with(
            &format!(r#""eventID":{id},"userIdentity":{{"Type":"Service","PrincipalId":"p"}}"#),
            r#""SizeBytes":26"#,
        )
    };
    let nobody = || UserIdentity { kind: None, principal_id: None };
    type Change<'a> = Box<dyn Fn(&mut Record) + 'a>;
    let cases: Vec<(String, Change<'_>)> = vec![
        (who(r#"{"type":"Service","principalId":"p"}"#), Box::new(|_| {})),
        (who(r#"{"Type":"Service","principalId":"p"}"#), Box::new(|_| {})),
        (
            who(r#"{"Type":"Service","PrincipalId":7}"#),
            Box::new(|record| {
                record.user_identity.as_mut().expect("set").principal_id = Some("7".into());
            }),
        ),
        (who(r#"{"Type":["Service"]}"#), Box::new(|record| record.user_identity = Some(nobody()))),
        (who(r#""top""#), Box::new(|record| record.user_identity = None)),
        (who("7"), Box::new(|record| record.user_identity = None)),
        (size(r#""26""#), Box::new(|_| {})),
        (size("26.0"), Box::new(|_| {})),
        (size(r#""2.6e1""#), Box::new(|_| {})),
        (size(r#""top""#), Box::new(|record| record.size_bytes = None)),
        (size("[26]"), Box::new(|record| record.size_bytes = None)),
        (size("1e999"), Box::new(|record| record.size_bytes = None)),
        (id(r#"["top"]"#), Box::new(|record| record.event_id = None)),
        (id("12"), Box::new(|record| record.event_id = Some("12".into()))),
    ];
    for (text, change) in cases {
        let page = read(&server, &upstream, around(&text)).await;
        let PageEntry::Record(record) = middle(&page) else { panic!("not read: {text}") };
        let mut meant = plain.clone();
        change(&mut meant);
        assert_eq!(*record, meant, "{text}");
    }
}

#[tokio::test]
async fn times_and_numbers_are_read_however_they_are_written() {
    let (server, upstream) = start().await;
    let long = "9".repeat(38);
    for (text, millis) in [
        (r#""1700000000""#, Some(1_700_000_000_000)),
        (r#""1700000000.25""#, Some(1_700_000_000_250)),
        (r#""2023-11-14T22:13:20Z""#, Some(1_700_000_000_000)),
        (r#""2023-11-14T23:13:20.5+01:00""#, Some(1_700_000_000_500)),
        (r#""now""#, None),
        (r#""inf""#, None),
        ("[]", None),
        ("1e999", None),
    ] {
        for number in [r#""120""#, "120"] {
            let inside = format!(
                r#""ApproximateCreationDateTime":{text},"SequenceNumber":{number},
                   "NewImage":{{"n":{{"N":{long}}},"f":{{"NS":[1.50,"2"]}},
                   "b":{{"B":"AAEC\r\nAwQ=\n"}},"l":{{"BS":["AQ","A\nR=="]}}}}"#
            );
            let record =
                format!(r#"{{"eventVersion":1.1,"eventName":"INSERT","dynamodb":{{{inside}}}}}"#);
            let page = read(&server, &upstream, format!(r#"{{"Records":[{record}]}}"#)).await;
            let PageEntry::Record(record) = &page.entries[0] else { panic!("not read: {record}") };
            assert_eq!(record.created_at.map(|time| time.millis()), millis, "{text}");
            assert_eq!(
                (record.sequence_number, record.event_version.as_deref()),
                (Some(self::number("120")), Some("1.1"))
            );
            let image = record.new_image.as_ref().expect("an image");
            let value = |name: &str| {
                image.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone())
            };
            assert_eq!(value("n"), Some(AttributeValue::N(long.clone())));
            assert_eq!(value("f"), Some(AttributeValue::Ns(vec!["1.50".into(), "2".into()])));
            assert_eq!(value("b"), Some(AttributeValue::B(vec![0, 1, 2, 3, 4])));
            assert_eq!(value("l"), Some(AttributeValue::Bs(vec![vec![1], vec![1]])));
        }
    }
}

#[tokio::test]
async fn a_record_that_is_hardly_one_keeps_its_place() {
    let (server, upstream) = start().await;
    let digits = "1".repeat(41);
    for record in [
        "null",
        "7",
        "[]",
        r#"{"dynamodb":"x"}"#,
        r#"{"dynamodb":{"SequenceNumber":-1}}"#,
        r#"{"dynamodb":{"SequenceNumber":1.5}}"#,
        r#"{"dynamodb":{"SequenceNumber":{}}}"#,
        r#"{"dynamodb":7}"#,
        r#"{"dynamodb":{"SequenceNumber":""}}"#,
        r#"{"dynamodb":{"SequenceNumber":"-1"}}"#,
        &format!(r#"{{"dynamodb":{{"SequenceNumber":"{digits}"}}}}"#),
        &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ] {
        let page = read(&server, &upstream, around(record)).await;
        let PageEntry::Unreadable(unreadable) = middle(&page) else { panic!("was read: {record}") };
        assert_eq!((unreadable.sequence_number, unreadable.created_at), (None, None));
    }
}

#[tokio::test]
async fn thirty_two_levels_are_read() {
    let (server, upstream) = start().await;
    for also in ["{}", r#"{"S":"fine"}"#] {
        // With the empty value the page goes the lenient way.
        let page = format!(
            r#"{{"Records":[{},{}]}}"#,
            with_value(&nested(32, r#"{"S":"x"}"#)),
            with_value(also)
        );
        let page = read(&server, &upstream, page).await;
        assert!(matches!(page.entries[0], PageEntry::Record(_)), "{also}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf8_cost_only_their_record() {
    let (server, upstream) = start().await;
    for value in [&b"a\xffb"[..], b"a\\\xffb", b"\xe2\x82"] {
        let mut body = around(&with_value(r#"{"S":"@"}"#)).into_bytes();
        let at = body.iter().position(|&byte| byte == b'@').expect("there");
        body.splice(at..=at, value.iter().copied());
        let page = read(&server, &upstream, body).await;
        let PageEntry::Unreadable(unreadable) = middle(&page) else { panic!("was read") };
        assert_eq!(unreadable.sequence_number, Some(number("2")));
    }
}

#[tokio::test]
async fn times_may_be_any_number() {
    let (server, upstream) = start().await;
    for (text, millis) in [
        ("1700000000", Some(1_700_000_000_000)),
        ("1.7E9", Some(1_700_000_000_000)),
        ("1700000000.999", Some(1_700_000_000_999)),
        ("1700000000.9999999", Some(1_700_000_001_000)),
        ("-1", Some(-1_000)),
        ("1e300", None),
        ("-1e18", None),
        ("null", None),
    ] {
        let record = format!(r#"{{"dynamodb":{{"ApproximateCreationDateTime":{text}}}}}"#);
        for also in ["7", r#"{}"#] {
            let page =
                read(&server, &upstream, format!(r#"{{"Records":[{record},{also}]}}"#)).await;
            let PageEntry::Record(record) = &page.entries[0] else { panic!("{text} was not read") };
            assert_eq!(record.created_at.map(|time| time.millis()), millis, "{text}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_page_is_an_error() {
    let (server, upstream) = start().await;
    let whole = around(&with_value(r#"{"S":"x"}"#));
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"[[],"next"]"#,
        "<html>busy</html>",
        &whole[..whole.len() - 1],
        &whole[..whole.len() / 2],
        &format!("{whole}x"),
        r#"{"Records":{}}"#,
        r#"{"Records":7,"NextShardIterator":"n"}"#,
        r#"{"Records":[],"NextShardIterator":7}"#,
        &"[".repeat(100_000),
        &r#"{"Records":["#.repeat(100_000),
    ] {
        server.answer("GetRecords", [Answer::ok(body)]);
        let error = upstream.records("it", 1).await.expect_err(body);
        assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Unavailable, None));
        assert_eq!(error.message, "the answer is not a page of records");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let bytes =
        || proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| STANDARD.encode(bytes));
    let leaf = prop_oneof![
        any::<String>().prop_map(|text| json!({ "S": text })),
        any::<i64>().prop_map(|number| json!({ "N": number.to_string() })),
        bytes().prop_map(|text| json!({ "B": text })),
        proptest::collection::vec(any::<String>(), 0..3).prop_map(|all| json!({ "SS": all })),
        proptest::collection::vec("[0-9]{1,38}", 0..3).prop_map(|all| json!({ "NS": all })),
        proptest::collection::vec(bytes(), 0..3).prop_map(|all| json!({ "BS": all })),
        Just(json!({ "NULL": true })),
        any::<bool>().prop_map(|flag| json!({ "BOOL": flag })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| json!({ "L": list })),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| json!({ "M": map })),
        ]
    })
}

fn record() -> impl Strategy<Value = Value> {
    let image =
        || proptest::option::of(proptest::collection::btree_map(any::<String>(), value(), 0..4));
    let text = || proptest::option::of(any::<String>());
    let time = proptest::option::of(0.0..4e9_f64);
    let number = proptest::option::of("[0-9]{1,40}");
    let heads = (text(), text(), text(), proptest::option::of((text(), text())));
    (heads, number, time, proptest::option::of(any::<i64>()), image(), image()).prop_map(
        |((id, name, region, who), number, time, size, new, old)| {
            let who =
                who.map(|(kind, principal)| json!({ "Type": kind, "PrincipalId": principal }));
            json!({
                "eventID": id, "eventName": name, "awsRegion": region, "userIdentity": who,
                "dynamodb": {
                    "SequenceNumber": number, "ApproximateCreationDateTime": time, "SizeBytes": size,
                    "NewImage": new, "OldImage": old, "Keys": new, "StreamViewType": region,
                },
            })
        },
    )
}

/// The SDK's reading and ours say the same of what both can read.
#[test]
fn both_ways_of_reading_agree() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (server, upstream) = runtime.block_on(start());
    let config =
        ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(records in proptest::collection::vec(record(), 0..5))| {
        let typed = json!({ "Records": records, "NextShardIterator": "next" });
        // A record that is none makes the SDK refuse the page.
        let mut spoilt = records;
        spoilt.push(json!(7));
        let lenient = json!({ "Records": spoilt, "NextShardIterator": "next" });
        let (typed, mut lenient) = runtime.block_on(async {
            (read(&server, &upstream, typed.to_string()).await, read(&server, &upstream, lenient.to_string()).await)
        });
        prop_assert!(matches!(lenient.entries.pop(), Some(PageEntry::Unreadable(_))));
        prop_assert!(typed.entries.iter().all(|entry| matches!(entry, PageEntry::Record(_))));
        prop_assert_eq!(typed, lenient);
    });
}
