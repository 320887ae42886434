//! Pages of chosen shapes.

use super::*;

/// A page of one record with this in its `dynamodb`.
fn with(inside: &str) -> String {
    format!(
        r#"{{"Records":[{{"eventID":"x","dynamodb":{{"SequenceNumber":"7",{inside}}}}}],"NextShardIterator":"n"}}"#
    )
}

/// How many records of the page were not understood at once; both ways agree on what they are.
#[track_caller]
fn reread(page: &str) -> usize {
    for asked in wishes() {
        check_as(page.as_bytes(), asked);
    }
    fast(page.as_bytes(), all()).expect("a page").reread
}

#[test]
fn what_aws_sends_is_understood_at_once() {
    for time in [
        "1700000000",
        "1.7E9",
        "1.7e+09",
        "1700000000.123",
        "0",
        "-1",
        "-0.5",
        "null",
        "1e300",
        "253402300800",
    ] {
        assert_eq!(reread(&with(&format!(r#""ApproximateCreationDateTime":{time}"#))), 0, "{time}");
    }
    for size in ["0", "26", "-1", "9223372036854775807", "-9223372036854775808", "null"] {
        assert_eq!(reread(&with(&format!(r#""SizeBytes":{size}"#))), 0, "{size}");
    }
    for image in [
        "{}",
        "null",
        r#"{"":{"S":""}}"#,
        r#"{"a":{"S":"\u0000\ud83d\ude00\/"}}"#,
        r#"{"\"":{"NULL":false}}"#,
    ] {
        assert_eq!(reread(&with(&format!(r#""NewImage":{image}"#))), 0, "{image}");
    }
    assert_eq!(
        reread(&with(
            r#""more":{"a":[1,2,{"b":null}]},"other":-1.5e3,"text":"\u00e9","StreamViewType":"ODD""#
        )),
        0
    );
    assert_eq!(
        reread(&with(
            r#""NewImage":{"a":{"S":"1"},"a":{"N":"2"},"b":{"M":{"x":{"S":"1"},"x":{"L":[]}}}}"#
        )),
        0
    );
}

#[test]
fn what_is_odd_is_read_again() {
    for inside in [
        r#""SizeBytes":26.0"#,
        r#""SizeBytes":2.6e1"#,
        r#""SizeBytes":9223372036854775808"#,
        r#""ApproximateCreationDateTime":1e999"#,
        r#""Keys":{},"Keys":{"a":{"S":"x"}}"#,
        r#""Keys":{"a":{"S":"x"}},"Keys":null"#,
        r#""SequenceNumber":"8""#,
        r#""NewImage":{"a":{"S":"x","S":"y"}}"#,
        r#""NewImage":{"a":{"N":null,"S":"y"}}"#,
        r#""NewImage":{"a":{"__type":"x","S":"y"}}"#,
        r#""NewImage":{"a":{"\u0053":"y"}}"#,
        r#""\u004beys":{"a":{"S":"y"}}"#,
        r#""NewImage":{"a":{"B":"AQ"}}"#,
        r#""NewImage":{"a":{"B":"AR=="}}"#,
        r#""NewImage":{"a":{"B":"A\u0051=="}}"#,
        r#""NewImage":{"a":{"B":"===="}}"#,
        r#""StreamViewType":"NEW\u005fIMAGE""#,
    ] {
        assert_eq!(reread(&with(inside)), 1, "{inside}");
    }
    // A number in no form of JSON's: only the SDK takes it, and for the whole page.
    assert_eq!(reread(&with(r#""SizeBytes":007"#)), 1);
}

#[test]
fn thirty_two_levels_and_no_more() {
    for (kind, close) in [(r#"{"M":{"m":"#, "}}"), (r#"{"L":["#, "]}")] {
        for (levels, again) in [(1, 0), (31, 0), (32, 0), (33, 1), (2_000, 1), (200_000, 1)] {
            let value = format!("{}{{\"N\":\"1\"}}{}", kind.repeat(levels), close.repeat(levels));
            let page = with(&format!(r#""NewImage":{{"a":{value}}}"#));
            let read = fast(page.as_bytes(), all()).expect("a page");
            assert_eq!(read.reread, again, "{levels}");
            check(page.as_bytes());
            assert_eq!(told(read).entries[0].2.is_ok(), again == 0, "{levels}");
        }
    }
}

#[test]
fn large_values_of_every_length_of_length() {
    for length in [
        0, 1, 119, 120, 121, 126, 127, 128, 129, 250, 16_200, 16_383, 16_384, 16_400, 409_600,
        2_097_160,
    ] {
        let text = "x".repeat(length);
        let escaped = "\\u00e9".repeat(length / 6);
        let base64 = "AAEC".repeat(length / 4);
        for value in [
            format!(r#"{{"S":"{text}"}}"#),
            format!(r#"{{"S":"{escaped}"}}"#),
            format!(r#"{{"M":{{"{text}":{{"L":[{{"SS":["","{text}"]}}]}}}}}}"#),
            format!(r#"{{"BS":["{base64}","AQ=="]}}"#),
            format!(r#"{{"L":[{{"B":"{base64}"}}]}}"#),
        ] {
            let page = with(&format!(
                r#""OldImage":{{"a":{value}}},"NewImage":{{"{text}":{{"BOOL":true}}}}"#
            ));
            assert_eq!(check(page.as_bytes()), None);
        }
    }
}

/// The last of them counts, as for the slow reader; the others take room, so a page may be cut a
/// little earlier.
#[test]
fn names_that_come_twice_are_the_last_of_them() {
    let item = |value: &str| {
        format!(r#""NewImage":{{"a":{{"S":"{value}"}},"b":{{"N":"1"}},"a":{{"N":"2"}}}}"#)
    };
    let page = with(&item("first"));
    let entries = told(fast(page.as_bytes(), all()).expect("a page")).entries;
    let image = &entries[0].2.as_ref().expect("readable").new_image;
    assert_eq!(image["a"].value, Some(shardstream::pb::attribute_value::Value::N("2".into())));
    for length in 0..300 {
        let records = [1, 2, 3].map(|number| {
            format!(
                r#"{{"dynamodb":{{"SequenceNumber":"{number}",{}}}}}"#,
                item(&"x".repeat(length))
            )
        });
        let page = format!(r#"{{"Records":[{}],"NextShardIterator":"n"}}"#, records.join(","));
        assert_eq!(check_as(page.as_bytes(), (all().0, 800)), None, "{length}");
    }
}

/// Every form of a number, a thousand on a page: rounded as the SDK rounds.
#[test]
fn times_are_what_the_sdk_takes_them_for() {
    let mut chance = fastrand::Rng::with_seed(3);
    for _ in 0..4 {
        let records: Vec<String> = (0..1_000)
            .map(|number| {
                let whole = chance.i64(-70_000_000_000..260_000_000_000);
                let near = chance.i64(0..4_000_000_000);
                let (nanos, power) = (chance.u32(0..1_000_000_000), chance.i32(-320..20));
                let time = match chance.u32(0..8) {
                    0 => whole.to_string(),
                    1 => format!("{near}.{nanos:09}"),
                    2 => format!("{near}.{:03}", nanos % 1_000),
                    3 => format!("{near}.9999{nanos:09}"),
                    4 => format!("-{near}.{nanos:09}"),
                    5 => format!("{:e}", near as f64 + f64::from(nanos) / 1e9),
                    6 => format!("{near}{nanos:09}E{power}"),
                    _ => format!("{}.{nanos}e+{}", near % 10, power.unsigned_abs() % 13),
                };
                format!(r#"{{"dynamodb":{{"SequenceNumber":"{number}","ApproximateCreationDateTime":{time}}}}}"#)
            })
            .collect();
        let page = format!(r#"{{"Records":[{}],"NextShardIterator":"n"}}"#, records.join(","));
        assert_eq!(check(page.as_bytes()), None);
    }
}

#[test]
fn a_page_has_a_next_one_or_says_that_it_is_the_last() {
    let records = r#"[{"dynamodb":{"SequenceNumber":"1"}}]"#;
    for (rest, next) in [
        ("", None),
        (r#","NextShardIterator":null"#, None),
        (r#","NextShardIterator":"""#, None),
        (r#","NextShardIterator":"n""#, Some("n")),
        (r#","NextShardIterator":"n\/\u0041""#, Some("n/A")),
        (r#","NextShardIterator":"n","other":{"NextShardIterator":null,"Records":[]}"#, Some("n")),
    ] {
        let page = format!(r#"{{"Records":{records}{rest}}}"#);
        check(page.as_bytes());
        let read = fast(page.as_bytes(), all()).expect("a page");
        assert_eq!((read.entries, read.next_iterator.as_deref()), (1, next), "{page}");
    }
    for page in [
        "",
        "{}",
        "[]",
        "null",
        "7",
        "\"x\"",
        "\u{feff}{\"Records\":[]}",
        r#"{"Records":null}"#,
        r#"{"NextShardIterator":null}"#,
        r#"{"Records":[]}x"#,
        r#"{"Records":[]}{}"#,
        r#"{"Records":[],}"#,
        r#"{"Records":[,]}"#,
        r#"[{"Records":[]}]"#,
        r#"{"Records":{}}"#,
        r#"{"records":[]}"#,
        r#"{"Records":[]"#,
    ] {
        check(page.as_bytes());
        assert!(fast(page.as_bytes(), all()).is_err(), "{page}");
    }
    check(br#"{"Records":[],"NextShardIterator":"m","NextShardIterator":"n"}"#);
    check(b"{\"Records\":[],\"NextShardIterator\":\"\xff\"}");
    assert_eq!(fast(br#"{"NextShardIterator":"n"}"#, all()).expect("a page").entries, 0);
    assert_eq!(
        fast(br#"{"Records":null,"NextShardIterator":"n"}"#, all()).expect("a page").reread,
        0
    );
}

#[test]
fn numbers_are_ordered_dropped_and_cut_alike() {
    let record = |number: usize| {
        let name = "n".repeat(number % 50);
        format!(
            r#"{{"dynamodb":{{"SequenceNumber":"{number}","ApproximateCreationDateTime":{number},"Keys":{{"{name}":{{"S":"v"}}}}}}}}"#
        )
    };
    let mut all: Vec<String> = (1..60).map(record).collect();
    all.insert(9, r#"{"dynamodb":{}}"#.into());
    all.insert(4, r#"{"dynamodb":{"SequenceNumber":"4","Keys":7}}"#.into());
    all.insert(30, record(3));
    all.insert(31, record(31));
    all.insert(32, r#"{"dynamodb":{"Keys":{"undated":{"S":"x"}}}}"#.into());
    let page = format!(r#"{{"Records":[{}],"NextShardIterator":"n"}}"#, all.join(","));
    let (everything, _) = super::all();
    for most in [1, 50, 150, 1_000, 3_000, 1 << 20] {
        for before in [None, Some(0), Some(1), Some(20), Some(31), Some(1_000)] {
            let drop_before =
                before.and_then(|seconds| shardstream::model::Timestamp::new(seconds, 0));
            check_as(
                page.as_bytes(),
                (shardstream::encode::PageFilter { drop_before, ..everything.clone() }, most),
            );
        }
    }
    assert_eq!(reread(&page), 1);
}
