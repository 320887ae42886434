//! Pages of records as DynamoDB Streams sends them, built once and sent as they are. Pure.

use std::fmt::Write;

use bytes::Bytes;

use super::plan::{Kind, World};

/// What every sequence number begins with; eight digits of the record's own follow.
pub const NUMBER_BEGIN: &str = "7000000000000";

/// The records of a page as the end of an answer, behind `{` or `{"NextShardIterator":"...",`.
pub fn build(world: &World) -> Vec<Bytes> {
    (0..world.pages).map(|page| Bytes::from(page_text(world, page))).collect()
}

/// What a page without records ends with.
pub const EMPTY: Bytes = Bytes::from_static(br#""Records":[]}"#);

/// Where in its shard the record of this number lies; `None` when it is none of ours.
pub fn index_of(number: &str) -> Option<usize> {
    number.strip_prefix(NUMBER_BEGIN)?.parse().ok()
}

fn page_text(world: &World, page: usize) -> String {
    let mut text = String::from(r#""Records":["#);
    for index in page * world.page_records..(page + 1) * world.page_records {
        if index % world.page_records > 0 {
            text.push(',');
        }
        record(&mut text, world, index);
    }
    text.push_str("]}");
    text
}

fn record(text: &mut String, world: &World, index: usize) {
    let both = world.kind == Kind::Full && index % 5 < 2;
    let name = if both { "MODIFY" } else { "INSERT" };
    let view = if world.kind == Kind::Keys { "KEYS_ONLY" } else { "NEW_AND_OLD_IMAGES" };
    let seconds = world.created / 1_000;
    let keys = format!(r#""pk":{{"S":"customer#{index:08}"}},"sk":{{"N":"{index}"}}"#);
    let images = match world.kind {
        Kind::Keys => String::new(),
        Kind::Sized(bytes) => {
            format!(r#""NewImage":{{{keys},"data":{{"S":"{}"}}}},"#, "x".repeat(bytes))
        }
        Kind::Full if both => {
            format!(
                r#""NewImage":{{{keys},{}}},"OldImage":{{{keys},{}}},"#,
                image(index),
                image(index + 1)
            )
        }
        Kind::Full => format!(r#""NewImage":{{{keys},{}}},"#, image(index)),
    };
    let id = (index as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"{{"awsRegion":"us-east-1","dynamodb":{{"ApproximateCreationDateTime":{seconds},"Keys":{{{keys}}},{images}"SequenceNumber":"{NUMBER_BEGIN}{index:08}","SizeBytes":{},"StreamViewType":"{view}"}},"eventID":"{id:032x}","eventName":"{name}","eventSource":"aws:dynamodb","eventVersion":"1.1"}}"#,
        200 + index % 100,
    );
}

/// Ten attributes beside the keys, of every common type.
fn image(index: usize) -> String {
    let note = if index.is_multiple_of(4) {
        r#"said \"yes\"\nand left: \u00e9\ud83d\ude00"#
    } else {
        "said yes and left"
    };
    format!(
        concat!(
            r#""name":{{"S":"Maria Gonzalez {index}"}},"email":{{"S":"maria{index}@example.com"}},"#,
            r#""balance":{{"N":"{index}.25"}},"active":{{"BOOL":true}},"middle":{{"NULL":true}},"#,
            r#""address":{{"M":{{"street":{{"S":"1 Main Street"}},"zip":{{"S":"{zip:05}"}}}}}},"#,
            r#""tags":{{"SS":["gold","new"]}},"scores":{{"L":[{{"N":"1"}},{{"N":"2.5"}},{{"N":"{index}"}}]}},"#,
            r#""blob":{{"B":"AAECAwQFBgcICQoLDA0ODw=="}},"note":{{"S":"{note}"}}"#,
        ),
        index = index,
        zip = index % 100_000,
        note = note,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn world(kind: Kind) -> World {
        let created = 1_700_000_000_000;
        World { kind, pages: 3, page_records: 100, full: 1, paced: 0, idle: 0, pace: 0, created }
    }

    fn parsed(page: &Bytes) -> Vec<Value> {
        let text = format!("{{{}", std::str::from_utf8(page).expect("UTF-8"));
        let page: Value = serde_json::from_str(&text).expect("JSON");
        page["Records"].as_array().expect("records").clone()
    }

    #[test]
    fn pages_are_json_and_their_numbers_rise_by_one() {
        for kind in [Kind::Full, Kind::Keys, Kind::Sized(10)] {
            let records: Vec<Value> = build(&world(kind)).iter().flat_map(parsed).collect();
            let numbers: Vec<usize> = records
                .iter()
                .map(|record| {
                    index_of(record["dynamodb"]["SequenceNumber"].as_str().expect("text"))
                        .expect("ours")
                })
                .collect();
            assert_eq!(numbers, (0..300).collect::<Vec<_>>());
        }
        assert!(parsed(&EMPTY).is_empty());
    }

    #[test]
    fn records_have_the_size_that_the_method_says() {
        let size = |kind| build(&world(kind)).iter().map(Bytes::len).sum::<usize>() / 300;
        assert!((900..1_100).contains(&size(Kind::Full)), "{}", size(Kind::Full));
        assert!((300..400).contains(&size(Kind::Keys)), "{}", size(Kind::Keys));
        assert!(size(Kind::Sized(100_000)) > 100_000);
    }
}
