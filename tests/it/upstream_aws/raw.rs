//! The body of a page as it is taken from the SDK: whole, of the last attempt, and of pages alone.

use super::*;
use shardstream::upstream::aws::read_page;

const PAGE: &str = r#"{"Records":[{"dynamodb":{"SequenceNumber":"1"}}],"NextShardIterator":"next"}"#;

async fn body(upstream: &AwsUpstream) -> Vec<u8> {
    match upstream.records("it", 10).await.expect("a page") {
        Fetched::Raw(raw) => raw.body.to_vec(),
        Fetched::Page(page) => panic!("not raw: {page:?}"),
    }
}

#[tokio::test]
async fn a_body_is_what_was_sent() {
    let (server, Both(upstream)) = start().await;
    let large = format!(r#"{{"Records":[{{"eventID":"{}"}}],"NextShardIterator":"n"}}"#, "x".repeat(3 << 20));
    for page in [PAGE, &large, "", "<html>busy</html>"] {
        server.answer("GetRecords", [Answer::ok(page)]);
        assert!(body(&upstream).await == page.as_bytes());
        server.answer("GetRecords", [Answer::in_pieces(page)]);
        assert!(body(&upstream).await == page.as_bytes(), "in pieces");
    }
}

/// An attempt that broke off, or was refused, leaves nothing behind.
#[tokio::test]
async fn a_body_is_that_of_the_last_attempt() {
    let (server, Both(upstream)) = start().await;
    let other = r#"{"Records":[{"eventID":"half"},{"eventID":"gone"}],"NextShardIterator":"other"}"#;
    for failed in [
        Answer::broken_off(other),
        Answer::new(500, other),
        Answer::new(503, "<html>"),
        Answer::error(400, "ProvisionedThroughputExceededException", "slow down"),
    ] {
        server.answer("GetRecords", [failed, Answer::in_pieces(PAGE)]);
        assert_eq!(body(&upstream).await, PAGE.as_bytes());
    }
}

/// Half a page is no page, and one whose length nobody said cannot be known to be half.
#[tokio::test]
async fn half_a_page_is_never_one() {
    let (server, Both(upstream)) = start().await;
    for end in 0..PAGE.len() {
        server.answer("GetRecords", [Answer::ok(&PAGE[..end])]);
        let read = both::fast(&body(&upstream).await, both::all());
        assert_eq!(read.map(both::told).err(), Some("the answer is not a page of records"), "{end}");
    }
    assert!(read_page(PAGE.as_bytes()).is_ok());
}

#[tokio::test]
async fn what_raw_pages_hold_is_not_logged() {
    let (server, Both(upstream)) = start().await;
    server.answer("GetRecords", [Answer::ok(PAGE)]);
    let fetched = upstream.records("it", 10).await.expect("a page");
    assert!(!format!("{fetched:?}").contains("Sequence"), "{fetched:?}");
}
