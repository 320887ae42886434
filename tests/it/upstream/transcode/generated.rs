//! Pages as text, generated: fields in any order and number, every form of strings and numbers,
//! blanks, and a little nonsense.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A JSON string.
fn string() -> impl Strategy<Value = String> {
    let by_number = |text: String| {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    };
    prop_oneof![
        6 => "[a-z]{0,12}".prop_map(|text| format!("\"{text}\"")),
        3 => any::<String>().prop_map(|text| serde_json::to_string(&text).expect("JSON")),
        1 => any::<String>().prop_map(by_number),
        1 => "[x\"\\\\/bfnrtu0-9aAdD]{0,8}".prop_map(|text| format!("\"\\{text}\"")),
    ]
}

/// A string that is rather a number, and hardly ever is not.
fn digits() -> impl Strategy<Value = String> {
    prop_oneof![20 => "\"-?[0-9]{1,38}(\\.[0-9]{1,3})?\"", 1 => string()]
}

fn base64() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => vec(any::<u8>(), 0..40).prop_map(|bytes| format!("\"{}\"", STANDARD.encode(bytes))),
        1 => "\"[A-Za-z0-9+/=\\\\]{0,9}\"",
    ]
}

/// A JSON number, in many forms.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_i64..4_000_000_000).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| if number.is_finite() {
            number.to_string()
        } else {
            "0".into()
        }),
        (0.0..4e9_f64).prop_map(|number| format!("{number:e}")),
        (0.0..4e9_f64).prop_map(|number| format!("{number:.3}")),
        "-?[0-9]{1,22}(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        select(vec![
            "null", "-0", "0.0", "26.0", "1E2", "\"1\"", "true", "1e400", "-1e-400", "00", "1."
        ])
        .prop_map(str::to_owned),
    ]
}

fn list(of: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (vec(of, 0..4), blank())
        .prop_map(|(all, blank)| format!("[{blank}{}]", all.join(&format!("{blank},"))))
}

/// An object of any of the fields, some twice.
fn object(fields: impl Strategy<Value = (String, String)>) -> impl Strategy<Value = String> {
    (vec(fields, 0..12), blank()).prop_map(|(fields, blank)| {
        let fields: Vec<_> =
            fields.iter().map(|(key, value)| format!("{key}{blank}:{value}")).collect();
        format!("{{{blank}{}{blank}}}", fields.join(&format!(",{blank}")))
    })
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just(""), 1 => select(vec![" ", "\n\t", "\r\n  "])]
}

fn value() -> impl Strategy<Value = String> {
    let one = |kind: &'static str| move |inner: String| format!("{{\"{kind}\":{inner}}}");
    let leaf = prop_oneof![
        8 => string().prop_map(one("S")),
        8 => digits().prop_map(one("N")),
        4 => base64().prop_map(one("B")),
        2 => list(string()).prop_map(one("SS")),
        2 => list(digits()).prop_map(one("NS")),
        2 => list(base64()).prop_map(one("BS")),
        2 => select(vec!["true", "false"]).prop_map(|flag| format!("{{\"NULL\":{flag}}}")),
        2 => select(vec!["true", "false"]).prop_map(|flag| format!("{{\"BOOL\":{flag}}}")),
        1 => select(vec!["{}", "null", "7", r#"{"S":null}"#, r#"{"S":"a","N":null}"#, r#"{"S":"a","B":""}"#, r#"{"X":[]}"#,
            r#"{"__type":"t","S":"a"}"#, r#"{"NULL":"true"}"#, r#"{"SS":[1]}"#, r#"{"L":{}}"#]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 30, 5, move |inner| {
        let entry = (string(), inner.clone());
        prop_oneof![list(inner).prop_map(one("L")), object(entry).prop_map(one("M"))]
    })
}

fn image() -> impl Strategy<Value = String> {
    prop_oneof![20 => object((string(), value())), 1 => select(vec!["null", "{}", "7", "[]"]).prop_map(str::to_owned)]
}

fn named(
    name: &'static str,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = (String, String)> {
    value.prop_map(move |value| (format!("\"{name}\""), value))
}

fn unknown() -> impl Strategy<Value = (String, String)> {
    (string(), prop_oneof![number(), string(), list(number()), value()])
}

fn change() -> impl Strategy<Value = String> {
    let sequence = prop_oneof![20 => "\"[0-9]{1,40}\"", 1 => string(), 1 => number()];
    object(prop_oneof![
        2 => named("SequenceNumber", sequence),
        1 => named("ApproximateCreationDateTime", number()),
        1 => named("SizeBytes", number()),
        1 => named("StreamViewType", select(vec!["null", "\"KEYS_ONLY\"", "\"NEW_IMAGE\"", "\"ODD\"", "7"]).prop_map(str::to_owned)),
        2 => named("Keys", image()),
        2 => named("NewImage", image()),
        1 => named("OldImage", image()),
        1 => unknown(),
    ])
}

fn record() -> impl Strategy<Value = String> {
    let name = select(vec!["\"INSERT\"", "\"MODIFY\"", "\"REMOVE\"", "\"UPSERT\"", "\"\"", "null"])
        .prop_map(str::to_owned);
    let who =
        object(prop_oneof![named("Type", string()), named("PrincipalId", string()), unknown()]);
    let fields = prop_oneof![
        1 => named("eventID", string()),
        1 => named("eventName", name),
        1 => named("eventVersion", string()),
        1 => named("eventSource", string()),
        1 => named("awsRegion", string()),
        1 => named("userIdentity", prop_oneof![4 => who, 1 => Just("null".to_owned())]),
        4 => named("dynamodb", prop_oneof![20 => change(), 1 => Just("null".to_owned()), 1 => number()]),
        1 => unknown(),
    ];
    prop_oneof![30 => object(fields), 1 => number(), 1 => list(string())]
}

fn page() -> impl Strategy<Value = String> {
    let next = prop_oneof![4 => string(), 1 => Just("null".to_owned()), 1 => number()];
    let of_page = (
        list(record()),
        proptest::option::of(next),
        proptest::option::weighted(0.2, unknown()),
        any::<bool>(),
    );
    of_page.prop_map(|(records, next, more, turned)| {
        let mut fields = vec![format!("\"Records\":{records}")];
        fields.extend(next.map(|next| format!("\"NextShardIterator\":{next}")));
        fields.extend(more.map(|(key, value)| format!("{key}:{value}")));
        if turned {
            fields.reverse();
        }
        format!("{{{}}}", fields.join(","))
    })
}

/// Only what AWS sends: nothing of it may need the slow reader.
fn usual_page() -> impl Strategy<Value = String> {
    let text = || any::<String>().prop_map(|text| serde_json::to_string(&text).expect("JSON"));
    let leaf = prop_oneof![
        text().prop_map(|text| format!("{{\"S\":{text}}}")),
        "[0-9]{1,38}".prop_map(|number| format!("{{\"N\":\"{number}\"}}")),
        vec(any::<u8>(), 0..40)
            .prop_map(|bytes| format!("{{\"B\":\"{}\"}}", STANDARD.encode(bytes))),
        vec(text(), 0..4).prop_map(|all| format!("{{\"SS\":[{}]}}", all.join(","))),
    ];
    let value = leaf.prop_recursive(5, 30, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|all| format!("{{\"L\":[{}]}}", all.join(","))),
            vec((any::<String>(), inner), 0..5).prop_map(|all| {
                let all: Vec<_> = all
                    .iter()
                    .map(|(key, value)| {
                        format!("{}:{value}", serde_json::to_string(key).expect("JSON"))
                    })
                    .collect();
                format!("{{\"M\":{{{}}}}}", all.join(","))
            }),
        ]
    });
    let record = (0_u64..100, 0_u64..4_000_000_000, value).prop_map(|(number, time, value)| {
        format!(
            r#"{{"eventID":"{number}","eventName":"INSERT","dynamodb":{{"ApproximateCreationDateTime":{time},"Keys":{{"k":{value}}},"SequenceNumber":"{number}"}}}}"#
        )
    });
    vec(record, 0..6).prop_map(|records| {
        format!(r#"{{"NextShardIterator":"n","Records":[{}]}}"#, records.join(","))
    })
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn both_ways_agree_on_any_page() {
    proptest!(cases(60), |(page in page(), wish in 0_usize..5)| {
        check_as(page.as_bytes(), wishes()[wish].clone());
    });
}

#[test]
fn usual_pages_are_understood_at_once() {
    proptest!(cases(40), |(page in usual_page(), wish in 0_usize..5)| {
        prop_assert_eq!(check_as(page.as_bytes(), wishes()[wish].clone()), None);
    });
}
