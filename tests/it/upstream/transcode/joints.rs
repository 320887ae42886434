//! Where steps of different records meet: what was learned of some must not be taken for another
//! that the transcoder would read in another way.

use crate::support::both::all;
use crate::support::shaped::{check_with, read};
use shardstream::encode::Shapes;

fn page_of(records: &[&str]) -> String {
    format!(r#"{{"NextShardIterator":"n","Records":[{}]}}"#, records.join(","))
}

/// Learns these records; then how many of the others are known, which are read the same.
fn known_after(taught: &[&str], others: &[&str]) -> usize {
    let mut shapes = Shapes::default();
    assert_eq!(check_with(page_of(taught).as_bytes(), all(), &mut shapes), 0, "{taught:?}");
    let again = check_with(page_of(taught).as_bytes(), all(), &mut shapes);
    assert_eq!(again, taught.len(), "{taught:?}");
    let read = |other: &&str| check_with(page_of(&[other]).as_bytes(), all(), &mut shapes.clone());
    others.iter().map(read).sum()
}

/// A record of these fields of its change.
fn change(fields: &str) -> String {
    format!(r#"{{"dynamodb":{{{fields}}},"eventID":"7de3041dd709"}}"#)
}

#[test]
fn attributes_that_come_or_not_are_known_in_every_choice() {
    let item = |of: u32| {
        let all = ["a", "b", "c", "d"].iter().enumerate().filter(|(at, _)| of >> at & 1 == 1);
        all.map(|(_, name)| format!(r#""{name}":{{"S":"x"}}"#)).collect::<Vec<_>>().join(",")
    };
    let of = |new: u32, old: u32| {
        change(&format!(
            r#""NewImage":{{{}}},"OldImage":{{{}}},"SequenceNumber":"7""#,
            item(new),
            item(old)
        ))
    };
    let mut shapes = Shapes::default();
    for choice in 0..16 {
        let page = page_of(&[&of(choice, 0), &of(15, choice)]);
        check_with(page.as_bytes(), all(), &mut shapes);
    }
    // Some of what follows the last attribute of the first image was not learned of each.
    let mut known = 0;
    for (new, old) in (0..16).flat_map(|new| (0..16).map(move |old| (new, old))) {
        known += check_with(page_of(&[&of(new, old)]).as_bytes(), all(), &mut shapes.clone());
    }
    assert!(known > 100, "{known} of 256 of which 32 were learned");
}

/// Both end in the same state, but in the middle of JSON longer than a step they are in different
/// ones.
#[test]
fn a_field_that_comes_in_long_json_comes_once() {
    let same = r#""NewImage":{ },"OldImage":{}"#;
    let behind = change(&format!(r#""SequenceNumber":"7",{same},"Keys":{{}},"SizeBytes":1"#));
    let before = change(&format!(r#""Keys":{{}},"SequenceNumber":"7",{same},"SizeBytes":1"#));
    let twice =
        change(&format!(r#""Keys":{{}},"SequenceNumber":"7",{same},"Keys":{{}},"SizeBytes":1"#));
    let never = change(&format!(r#""SequenceNumber":"7",{same},"SizeBytes":1"#));
    assert_eq!(known_after(&[&behind, &before], &[&twice, &never]), 0);
}

#[test]
fn long_names_with_the_same_middle_are_each_themselves() {
    let middle = "the_same_middle_of_names_that_are_longer_than_a_step";
    let item = |name: &str| change(&format!(r#""Keys":{{"{name}":{{"S":"x"}}}}"#));
    let short = item(&format!("a_first_beginning_{middle}_x"));
    let long = item(&format!("another_beginning_{middle}_and_more"));
    let crossed =
        [format!("a_first_beginning_{middle}_and_more"), format!("another_beginning_{middle}_x")];
    known_after(
        &[&short, &long],
        &crossed.each_ref().map(|name| item(name)).each_ref().map(|all| &**all),
    );
}

#[test]
fn what_follows_a_map_is_in_the_image_that_it_is_in() {
    let item = |name: &str| {
        format!(r#""{name}":{{"m":{{"M":{{"x":{{"S":"x"}},"y":{{"S":"y"}}}}}},"z":{{"S":"z"}}}}"#)
    };
    let number = r#""SequenceNumber":"7""#;
    let one = change(&format!("{},{},{number}", item("Keys"), item("NewImage")));
    let other = change(&format!("{},{},{number}", item("NewImage"), item("Keys")));
    assert_eq!(known_after(&[&one, &other], &[&one, &other]), 2);
}

#[test]
fn what_follows_a_map_in_a_map_is_in_the_outer_one() {
    let image = |item: &str| change(&format!(r#""Keys":{{{item}}},"SequenceNumber":"7""#));
    let two = r#""x":{"S":"x"},"y":{"S":"y"}"#;
    let shallow = image(&format!(r#""m":{{"M":{{{two}}}}},"z":{{"S":"z"}}"#));
    let deep = image(&format!(r#""m":{{"M":{{"m":{{"M":{{{two}}}}}}}}}"#));
    let both = image(&format!(r#""m":{{"M":{{"m":{{"M":{{{two}}}}},"z":{{"S":"z"}}}}}}"#));
    // Two brackets are missing, so that it ends like the first.
    let short = both.replacen("}}}}", "}}", 1);
    assert_eq!(short.len(), both.len() - 2);
    known_after(&[&shallow, &deep], &[&both, &short]);
}

#[test]
fn constants_are_those_of_the_record() {
    let record = |name: &str, version: &str| {
        format!(
            r#"{{"eventName":"{name}","eventVersion":"{version}","eventID":"1","dynamodb":{{"SequenceNumber":"7"}}}}"#
        )
    };
    let all = [("INSERT", "1.1"), ("REMOVE", "1.1"), ("REMOVE", "1.0")]
        .map(|(name, version)| record(name, version));
    let all = all.each_ref().map(|record| &**record);
    assert_eq!(known_after(&all, &all), 3);
    known_after(&all, &[&record("INSERT", "1.0")]);
}

#[test]
fn what_the_slow_reader_read_is_not_learned() {
    let twice =
        r#"{"userIdentity":{"Type":"Service","Type":"Other"},"dynamodb":{"SequenceNumber":"7"}}"#;
    let mut shapes = Shapes::default();
    for _ in 0..2 {
        assert_eq!(check_with(page_of(&[twice]).as_bytes(), all(), &mut shapes), 0);
    }
    assert_eq!(shapes.cost(), Shapes::default().cost());
}

#[test]
fn a_time_that_begins_like_the_last_is_known_and_another() {
    let times = ["1.7676", "1.7676E9", "1.76760", "1", "17", "1.5", "1E9", "-1", "-1.5"];
    let records = times.map(|time| {
        change(&format!(r#""ApproximateCreationDateTime":{time},"SequenceNumber":"7""#))
    });
    let records = records.each_ref().map(|record| &**record);
    let mut shapes = Shapes::default();
    let page = page_of(&records);
    assert_eq!(check_with(page.as_bytes(), all(), &mut shapes), times.len() - 1);
    let (page, known) = read(page.as_bytes(), all(), Some(&mut shapes));
    page.expect("a page");
    assert_eq!(known, times.len());
}
