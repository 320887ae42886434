//! A corpus of pages, and ways to damage them.
//!
//! Stands alone: the benchmark uses it too.

/// Bytes that mean something in JSON, base64 or UTF-8, and some that never do.
pub const BYTES: &[u8] = b"\"\\{}[]:,0159-+.eEunltfSNBML=/A \t\n\0\x1f\x7f\x80\xc3\xe2\xf0\xff";

/// What may be put in anywhere.
const PIECES: &[&str] = &[
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "\"\"",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\udc00",
    "\\\"",
    "\\\\",
    "\\/",
    "1e999",
    "-0",
    "007",
    "26.0",
    "1.7E9",
    "99999999999999999999",
    "{\"S\":\"x\"}",
    "{\"M\":{}}",
    "{\"L\":[]}",
    "{\"B\":\"AQ==\"}",
    "{\"NULL\":true}",
    "\"__type\":\"x\",",
    "\"S\":null,",
    "\"more\":[1,{}],",
    "\"Keys\":{},",
    "\"SequenceNumber\":\"9\",",
    "\"NextShardIterator\":null,",
    "{},",
    "7,",
    "é",
    "\u{10ffff}",
];

/// Pages as AWS and emulators write them, and odd ones.
pub fn corpus() -> Vec<String> {
    let record = |number: u32, images: &str| {
        format!(
            r#"{{"eventID":"7de3041dd709b024af6f29e4fa13d34c{number}","eventName":"MODIFY","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-west-2","dynamodb":{{"ApproximateCreationDateTime":17000000{number:02},"Keys":{{"id":{{"S":"k{number}"}},"at":{{"N":"-1.50E+99"}}}},{images}"SequenceNumber":"4421584500000000017450439{number:03}","SizeBytes":{number},"StreamViewType":"NEW_AND_OLD_IMAGES"}}}}"#
        )
    };
    let types = r#""NewImage":{"s":{"S":"a \"b\" \\ \u00fc \ud83d\ude00 \/ \n"},"ü\t":{"N":"3.14"},"b":{"B":"AAEC/w=="},"":{"SS":["b","a",""]},"ns":{"NS":["2","1"]},"bs":{"BS":["AQ==","","AAEC"]},"m":{"M":{"x":{"L":[{"M":{}},{"S":""},{"N":"0"}]}}},"l":{"L":[]},"z":{"NULL":true},"t":{"BOOL":false}},"#;
    let ttl = r#"{"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"},"eventName":"REMOVE","dynamodb":{"SizeBytes":12,"OldImage":{"id":{"S":"1"}},"SequenceNumber":"12","ApproximateCreationDateTime":1.7E9}}"#;
    let long = "x".repeat(200);
    let deep = |levels: usize| {
        format!("{}{{\"S\":\"x\"}}{}", r#"{"M":{"m":"#.repeat(levels), "}}".repeat(levels))
    };
    let page = |records: &[String], next: &str| {
        format!(r#"{{"NextShardIterator":{next},"Records":[{}]}}"#, records.join(","))
    };
    vec![
        page(&[record(1, ""), record(2, types), record(3, r#""OldImage":{},"#)], "\"arn:aws:dynamodb|1|AAA\""),
        page(&[ttl.to_owned(), record(13, &format!(r#""OldImage":{{"{long}":{{"M":{{"{long}":{{"S":"{long}"}}}}}}}},"#))], "null"),
        r#"{ "Records" : [ { "dynamodb" : { "SequenceNumber" : "0007" , "Keys" : { } } } , {} ] , "NextShardIterator" : "n" }"#.into(),
        r#"{"Records":[],"NextShardIterator":"next"}"#.into(),
        r#"{"Records":[{"dynamodb":{"SequenceNumber":"1"}},{"dynamodb":{}},{"dynamodb":null},{"more":{"x":[1,"y"]},"eventID":null}]}"#.into(),
        page(&[record(1, ""), "7".into(), record(2, r#""NewImage":{"x":{"S":"a","N":"1"}},"#), record(3, "")], "\"n\""),
        page(&[format!(r#"{{"dynamodb":{{"SequenceNumber":"3","NewImage":{{"x":{}}}}}}}"#, deep(32)), record(4, "")], "\"n\""),
    ]
}

/// Changes the page in one to four places, as its seed says.
pub fn damage(page: &mut Vec<u8>, others: &[String], chance: &mut fastrand::Rng) {
    for _ in 0..chance.usize(1..=4) {
        let (at, to) = (chance.usize(0..=page.len()), chance.usize(0..=page.len()));
        let (from, to) = (at.min(to), at.max(to).min(at.min(to) + 40));
        match chance.u32(0..10) {
            0 => page.truncate(at),
            1 => drop(page.drain(from..to)),
            2 => {
                let copy = page[from..to].to_vec();
                page.splice(at..at, copy);
            }
            3 => {
                let other = others[chance.usize(0..others.len())].as_bytes();
                let start = chance.usize(0..other.len());
                let piece = &other[start..other.len().min(start + chance.usize(0..60))];
                page.splice(from..to, piece.iter().copied());
            }
            4..6 => drop(page.splice(at..at, PIECES[chance.usize(0..PIECES.len())].bytes())),
            6 if at < page.len() => page[at] ^= 1 << chance.u32(0..8),
            7 => page.insert(at, BYTES[chance.usize(0..BYTES.len())]),
            _ if at < page.len() => page[at] = BYTES[chance.usize(0..BYTES.len())],
            _ => {}
        }
    }
}
