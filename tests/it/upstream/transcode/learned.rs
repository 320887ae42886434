//! Learned shapes: known records are the same bytes, and are known.

use super::*;
use crate::support::damage::{BYTES, corpus, damage};
use crate::support::joined::Joined;
use crate::support::shaped::{check_with, page};
use shardstream::encode::Shapes;

/// A record in AWS's form with these images.
fn record(number: u32, images: &str) -> String {
    format!(
        r#"{{"awsRegion":"eu-west-1","dynamodb":{{"ApproximateCreationDateTime":1.7676E9,{images}"SequenceNumber":"44215845000000000174504{number:06}","SizeBytes":{number},"StreamViewType":"NEW_IMAGE"}},"eventID":"7de3041dd709b024af6f29e4fa{number:06}","eventName":"INSERT","eventSource":"aws:dynamodb","eventVersion":"1.1"}}"#
    )
}

fn page_of(records: &[String]) -> String {
    format!(r#"{{"NextShardIterator":"n","Records":[{}]}}"#, records.join(","))
}

/// Images of all kinds, each with this text in it.
fn images(text: &str) -> Vec<String> {
    [
        format!(r#""Keys":{{"pk":{{"S":"{text}"}},"sk":{{"N":"7"}}}},"#),
        format!(r#""NewImage":{{"a":{{"S":"{text}"}},"z":{{"BOOL":true}},"n":{{"NULL":true}}}},"#),
        format!(r#""OldImage":{{"a":{{"M":{{"b":{{"M":{{"c":{{"S":"{text}"}}}}}},"d":{{"N":"1"}}}}}}}},"#),
        format!(r#""NewImage":{{"l":{{"L":[{{"S":"{text}"}},{{"L":[{{"N":"1"}}]}},{{"M":{{}}}}]}}}},"#),
        format!(r#""NewImage":{{"s":{{"SS":["{text}","x"]}},"n":{{"NS":["1","2"]}},"b":{{"BS":["AQ==",""]}}}},"#),
        format!(r#""NewImage":{{"a_name_that_is_far_longer_than_one_step_of_a_shape_is":{{"S":"{text}"}}}},"#),
        r#""Keys":{},"NewImage":{"b":{"B":"q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="}},"#.to_owned(),
        String::new(),
    ]
    .into()
}

#[test]
fn a_record_like_one_before_is_known_and_the_same() {
    for (index, image) in images("first").into_iter().enumerate() {
        let mut shapes = Shapes::default();
        let first = page_of(&[record(1, &image)]);
        assert_eq!(check_with(first.as_bytes(), all(), &mut shapes), 0, "{image}");
        for text in ["", "x", r#"said \"yes\"\nand \u00fc left \ud83d\ude00"#, "é"]
            .map(str::to_owned)
            .into_iter()
            .chain(
                [15, 16, 17, 111, 112, 113, 119, 121, 127, 128, 300, 17_000, 70_000]
                    .map(|length| "x".repeat(length)),
            )
        {
            let image = &images(&text)[index];
            // As the last of a body, where no more bytes follow, and among others.
            let one = page_of(&[record(2, image)]);
            assert_eq!(check_with(one.as_bytes(), all(), &mut shapes), 1, "{image}");
            let three = page_of(&[3, 40, 500].map(|number| record(number, image)));
            assert_eq!(check_with(three.as_bytes(), all(), &mut shapes), 3, "{image}");
        }
    }
}

#[test]
fn small_records_deletes_by_expiry_and_other_orders_are_known() {
    let ttl = |number: u32| {
        format!(
            r#"{{"userIdentity":{{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}},"eventName":"REMOVE","dynamodb":{{"SizeBytes":12,"OldImage":{{"id":{{"S":"{number}"}}}},"SequenceNumber":"{number}","ApproximateCreationDateTime":1.7E9}}}}"#
        )
    };
    let least = |number: u32| format!(r#"{{"dynamodb":{{"SequenceNumber":"{number}"}}}}"#);
    let blanks = |number: u32| {
        format!(
            r#"{{ "eventID" : "{number}" , "dynamodb" : {{ "SequenceNumber" : "{number}" }} }}"#
        )
    };
    for of in [&ttl as &dyn Fn(u32) -> String, &least, &blanks] {
        let mut shapes = Shapes::default();
        let records: Vec<String> = (1..=9).map(of).collect();
        assert_eq!(check_with(page_of(&records).as_bytes(), all(), &mut shapes), 8, "{records:?}");
        for asked in wishes() {
            check_with(page_of(&records).as_bytes(), asked, &mut shapes);
        }
    }
}

#[test]
fn what_is_odd_is_never_known() {
    let mut shapes = Shapes::default();
    let usual = page_of(&[record(1, r#""Keys":{"a":{"S":"x"},"b":{"B":"AQ=="}},"#)]);
    check_with(usual.as_bytes(), all(), &mut shapes);
    for (good, bad) in [
        (r#""S":"x""#, r#""S":"\ud800""#),
        (r#""S":"x""#, "\"S\":\"\u{1}\""),
        (r#""B":"AQ==""#, r#""B":"AR==""#),
        (r#""B":"AQ==""#, r#""B":"A\u0051==""#),
        (r#""SizeBytes":1"#, r#""SizeBytes":01"#),
        (r#""SizeBytes":1"#, r#""SizeBytes":1.0"#),
        (r#""SizeBytes":1"#, r#""SizeBytes":null"#),
        ("1.7676E9", "01.7676E9"),
        ("1.7676E9", "1.E9"),
        ("1.7676E9", "+1.7676E9"),
        ("1.7676E9", "1e999"),
        ("1.7676E9", "null"),
        (r#""4421584"#, r#""4421x84"#),
        (r#""4421584"#, r#""00000000000000000000000000000000004421584"#),
        (r#""7de3041"#, r#""\u0037de3041"#),
        (r#""7de3041"#, &format!("\"{}", "7".repeat(200))),
        (r#""INSERT""#, r#""UPSERT""#),
    ] {
        let page = usual.replace(good, bad);
        assert_ne!(page, usual);
        assert_eq!(check_with(page.as_bytes(), all(), &mut shapes), 0, "{bad}");
        assert_eq!(check_with(usual.as_bytes(), all(), &mut shapes), 1, "after {bad}");
    }
}

#[test]
fn every_byte_of_a_known_page_may_be_damaged_and_every_end_missing() {
    let records: Vec<String> = images("text")
        .iter()
        .enumerate()
        .map(|(number, image)| record(number as u32, image))
        .collect();
    let page = page_of(&records);
    let mut known = Shapes::default();
    assert_eq!(check_with(page.as_bytes(), all(), &mut known), 0);
    assert_eq!(check_with(page.as_bytes(), all(), &mut known), records.len());
    for length in 0..page.len() {
        check_with(&page.as_bytes()[..length], all(), &mut known.clone());
    }
    let mut page = page.into_bytes();
    for at in 0..page.len() {
        let whole = page[at];
        // Some at each place, all of them over each few places.
        for &byte in BYTES.iter().skip(at % 11).step_by(11) {
            page[at] = byte;
            check_with(&page, all(), &mut known.clone());
        }
        page[at] = whole;
    }
}

/// How many pages: `SHARDSTREAM_MUTATIONS`, else a few.
#[test]
fn shapes_are_joined_in_any_order() {
    let count = std::env::var("SHARDSTREAM_MUTATIONS")
        .map_or(2_000, |text| text.parse().expect("a number"));
    let (corpus, wishes) = (corpus(), wishes());
    let mut chance = fastrand::Rng::with_seed(11);
    let (mut shapes, mut known) = (Shapes::default(), 0);
    for turn in 0..count {
        let mut page = page(&mut chance).into_bytes();
        if turn % 4 == 0 {
            damage(&mut page, &corpus, &mut chance);
        }
        // The second time it is known, as far as it is in AWS's form.
        for _ in 0..2 {
            known += check_with(&page, wishes[turn % wishes.len()].clone(), &mut shapes);
        }
        if turn % 200 == 199 {
            shapes = Shapes::default();
        }
    }
    assert!(known > count / 4, "{known} of {count} pages' records were known");
}

/// How many pages: `SHARDSTREAM_MUTATIONS`, else some.
#[test]
fn steps_of_different_records_are_joined_and_the_same() {
    let count = std::env::var("SHARDSTREAM_MUTATIONS")
        .map_or(12_000, |text| text.parse().expect("a number"));
    let mut read = Joined::new(1);
    (0..count).for_each(|_| read.page());
    let counts = read.counts;
    assert!(counts.known * 2 > counts.records, "half of them are known: {counts:?}");
    assert!(counts.joined * 4 > counts.alone, "a fourth of those by joints: {counts:?}");
    // What begins a value, in the place of anything else.
    (0..=u8::MAX).for_each(|at| read.put_in(at, br#"":{"S":"#));
}

#[test]
fn what_is_known_is_bounded_and_so_is_what_it_costs() {
    let mut shapes = Shapes::default();
    // Every record has another attribute.
    let mut reads = 0;
    for number in 0..40 {
        let records: Vec<String> = (0..500)
            .map(|of| record(of, &format!(r#""Keys":{{"attribute{number}_{of}":{{"S":"x"}}}},"#)))
            .collect();
        let (read, known) =
            crate::support::shaped::read(page_of(&records).as_bytes(), all(), Some(&mut shapes));
        read.expect("a page");
        reads += known;
    }
    assert_eq!(reads, 0);
    let cost = shapes.cost();
    assert!(cost < 200_000, "{cost}: given up after the first few hundred");
    let mut shapes = Shapes::default();
    // Now attributes that begin with the name of the one before: each is learned, as long as there
    // is room.
    for number in 0..5_000 {
        let digits = format!("{number:05o}");
        let attributes: Vec<String> =
            (1..=5).map(|length| format!(r#""{}":{{"S":"x"}}"#, &digits[..length])).collect();
        let page = page_of(&[record(1, &format!(r#""Keys":{{{}}},"#, attributes.join(",")))]);
        check_with(page.as_bytes(), all(), &mut shapes);
    }
    let cost = shapes.cost();
    assert!(cost > 500_000 && cost < 2 << 20, "{cost}");
}
