//! The body of a page as it is taken from the SDK: whole, of its own call, and of pages alone.

use super::*;
use shardstream::upstream::aws::read_page;

const PAGE: &str =
    r#"{"Records":[{"dynamodb":{"SequenceNumber":"1"}}],"NextShardIterator":"next"}"#;

async fn body(upstream: &AwsUpstream) -> Vec<u8> {
    match upstream.records("it", 10).await.expect("a page") {
        Fetched::Raw(raw) => raw.body.to_vec(),
        Fetched::Page(page, _) => panic!("not raw: {page:?}"),
    }
}

#[tokio::test]
async fn a_body_is_what_was_sent() {
    let (server, Both(upstream)) = start().await;
    let large = format!(
        r#"{{"Records":[{{"eventID":"{}"}}],"NextShardIterator":"n"}}"#,
        "x".repeat(3 << 20)
    );
    for page in [PAGE, &large, "", "<html>busy</html>"] {
        server.answer("GetRecords", [Answer::ok(page)]);
        assert!(body(&upstream).await == page.as_bytes());
        server.answer("GetRecords", [Answer::in_pieces(page)]);
        assert!(body(&upstream).await == page.as_bytes(), "in pieces");
    }
}

/// A call that broke off, or was refused, leaves nothing behind.
#[tokio::test]
async fn a_body_is_that_of_its_own_call() {
    let (server, Both(upstream)) = start().await;
    let other =
        r#"{"Records":[{"eventID":"half"},{"eventID":"gone"}],"NextShardIterator":"other"}"#;
    for failed in [
        Answer::broken_off(other),
        Answer::new(500, other),
        Answer::new(503, "<html>"),
        Answer::error(400, "ProvisionedThroughputExceededException", "slow down"),
    ] {
        second_counts(failed, &upstream, &server).await;
    }
}

/// Where the first answer fails its call, the next call has the second.
async fn second_counts(first: Answer, upstream: &AwsUpstream, server: &ScriptedHttp) {
    let before = server.requests("GetRecords").len();
    server.answer("GetRecords", [first, Answer::in_pieces(PAGE)]);
    let error = upstream.records("it", 10).await.expect_err("the first answer");
    assert!(error.class.may_pass_soon(), "{error}");
    assert_eq!(body(upstream).await, PAGE.as_bytes());
    assert_eq!(server.requests("GetRecords").len() - before, 2);
}

#[tokio::test]
async fn a_body_that_stalls_fails_its_call_in_time() {
    let server = ScriptedHttp::start().await;
    let hasty = AwsOptions { attempt_timeout: Duration::from_millis(200), ..options(&server) };
    let upstream = connect(&server, hasty).await;
    second_counts(Answer::stalled(PAGE), &upstream, &server).await;
}

#[tokio::test]
async fn a_body_is_what_its_checksum_says() {
    let (server, Both(upstream)) = start().await;
    let summed = |sum: &str| Answer::ok(PAGE).header("x-amz-crc32", sum);
    let right = crc32fast::hash(PAGE.as_bytes());
    second_counts(summed(&(right ^ 1).to_string()), &upstream, &server).await;
    for taken in [summed(&right.to_string()), summed("none")] {
        server.answer("GetRecords", [taken, Answer::error(400, "AskedTwice", "")]);
        assert_eq!(body(&upstream).await, PAGE.as_bytes());
    }
}

/// What is told is what was wrong: a body that came whole did not break off.
#[tokio::test]
async fn why_a_body_was_not_taken_is_told() {
    let (server, Both(upstream)) = start().await;
    for (answer, why) in [
        (Answer::ok(PAGE).header("x-amz-crc32", "0"), "is not what its checksum says"),
        (Answer::ok(" ".repeat((16 << 20) + 1)), "is larger than 16777216 bytes"),
        (Answer::broken_off(PAGE), "broke off"),
    ] {
        server.answer("GetRecords", [answer]);
        let error = upstream.records("it", 10).await.expect_err(why);
        let told = format!("HTTP 200, and the answer {why}");
        assert_eq!((error.class, error.message), (ErrorClass::Unavailable, told));
    }
}

/// Twice as much as DynamoDB could ever need for a page, and no more.
#[tokio::test]
async fn a_body_larger_than_any_page_is_not_read() {
    let (server, Both(upstream)) = start().await;
    let most = " ".repeat(16 << 20);
    for kind in [Answer::ok as fn(String) -> Answer, Answer::unannounced] {
        server.answer("GetRecords", [kind(most.clone())]);
        assert_eq!(body(&upstream).await.len(), most.len());
        second_counts(kind(most.clone() + " "), &upstream, &server).await;
    }
}

/// No page comes with another status, however good it looks.
#[tokio::test]
async fn only_200_brings_a_page() {
    let (server, Both(upstream)) = start().await;
    for status in [201, 202, 203, 206, 299, 302, 400, 404, 500] {
        server.answer("GetRecords", [Answer::new(status, PAGE)]);
        let error = upstream.records("it", 10).await.expect_err("no page");
        assert_eq!(error.class, ErrorClass::Unavailable, "{status}");
    }
}

/// Half a page is no page, and one whose length nobody said cannot be known to be half.
#[tokio::test]
async fn half_a_page_is_never_one() {
    let (server, Both(upstream)) = start().await;
    for end in 0..PAGE.len() {
        server.answer("GetRecords", [Answer::ok(&PAGE[..end])]);
        let read = both::fast(&body(&upstream).await, both::all());
        assert_eq!(
            read.map(both::told).err(),
            Some("the answer is not a page of records"),
            "{end}"
        );
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
