//! GetRecords has two ways: by the SDK, and a path of our own. Whatever comes of a call is the same
//! by both, and what fails on the path is repeated by the SDK, when the caller repeats it.

mod credentials;
mod signed;

use super::*;

const PAGE: &str =
    r#"{"Records":[{"dynamodb":{"SequenceNumber":"1"}}],"NextShardIterator":"next"}"#;

/// A server, and an upstream of it that goes one way alone or may go both.
async fn one_way(sdk_only: bool, attempt: Duration) -> (ScriptedHttp, AwsUpstream) {
    let server = ScriptedHttp::start().await;
    let options = AwsOptions { sdk_only, attempt_timeout: attempt, ..options(&server) };
    let upstream = connect(&server, options).await;
    (server, upstream)
}

/// A page's body and date, or why there is none.
type Came = Result<(Vec<u8>, Option<Timestamp>), UpstreamError>;

async fn ask(upstream: &AwsUpstream, iterator: &str) -> Came {
    match upstream.records(iterator, 10).await? {
        Fetched::Raw(raw) => Ok((raw.body.to_vec(), raw.date)),
        Fetched::Page(page, _) => panic!("not raw: {page:?}"),
    }
}

/// Whether each request for records so far was the SDK's.
fn by_sdk(server: &ScriptedHttp) -> Vec<bool> {
    server.asked("GetRecords").iter().map(|asked| asked.is_by_sdk()).collect()
}

/// What fails because its time is over.
fn too_late() -> Vec<(&'static str, Answer)> {
    vec![
        ("stalled", Answer::stalled(PAGE)),
        ("silent", Answer::silence()),
        ("dripping", Answer::dripping(" ".repeat(1_000))),
    ]
}

/// All else that is no page.
fn failures() -> Vec<(&'static str, Answer)> {
    let sum = |sum: u32| Answer::ok(PAGE).header("x-amz-crc32", sum.to_string());
    let mut all = vec![
        ("500", Answer::new(500, "<html>")),
        ("503 with a page", Answer::new(503, PAGE)),
        ("redirect", Answer::new(302, "").header("location", "http://127.0.0.1:1/")),
        ("no content", Answer::new(204, "")),
        ("another page", Answer::new(206, PAGE)),
        ("no words", Answer::new(400, "{}")),
        ("deep", Answer::new(400, "{\"a\":".repeat(1_000))),
        ("asked to wait", Answer::error(400, "ThrottlingException", "").header("Retry-After", "7")),
        ("endless refusal", Answer::endless("<p>").status(503)),
        ("checksum", sum(crc32fast::hash(PAGE.as_bytes()) ^ 1)),
        ("broken off", Answer::broken_off(PAGE)),
        ("100 MB", Answer::ok(" ".repeat(100 << 20))),
        ("endless", Answer::endless(" ")),
    ];
    for code in [
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
        "InternalServerError",
        "ExpiredIteratorException",
        "TrimmedDataAccessException",
        "ResourceNotFoundException",
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "RequestTimeTooSkewed",
        "ValidationException",
        "LimitExceededException",
    ] {
        all.push((code, Answer::error(400, code, "in words")));
    }
    all
}

#[tokio::test]
async fn what_fails_is_told_the_same_by_both_and_asked_once() {
    let late = too_late().into_iter().map(|(name, answer)| (name, answer, 500));
    let others = failures().into_iter().map(|(name, answer)| (name, answer, 10_000));
    for (name, answer, millis) in late.chain(others) {
        let mut told = vec![];
        for sdk_only in [true, false] {
            let (server, upstream) = one_way(sdk_only, Duration::from_millis(millis)).await;
            server.answer("GetRecords", [answer.clone(), Answer::ok(PAGE)]);
            told.push(ask(&upstream, "it").await.expect_err(name));
            assert_eq!(by_sdk(&server), [sdk_only], "{name}");
            // The same call again is the SDK's, and the one after it is not.
            assert_eq!(ask(&upstream, "it").await.expect(name).0, PAGE.as_bytes());
            assert_eq!(ask(&upstream, "next").await.expect(name).0, PAGE.as_bytes());
            assert_eq!(by_sdk(&server), [sdk_only, true, sdk_only], "{name}");
        }
        assert_eq!(told[0], told[1], "{name}");
    }
}

/// What is whole and right is a page. What is whole and looks like none is what it was before: the
/// encoder says what it is; but the SDK has the next try.
#[tokio::test]
async fn what_comes_whole_is_the_same_by_both() {
    let dated = |answer: Answer| answer.header("date", "Tue, 14 Nov 2023 22:13:20 GMT");
    let json = |answer: Answer| answer.header("content-type", "application/x-amz-json-1.0");
    let sum = crc32fast::hash(PAGE.as_bytes()).to_string();
    let large = format!(r#"{{"Records":[{{"eventID":"{}"}}]}}"#, "x".repeat(3 << 20));
    for (name, answer, good) in [
        ("plain", Answer::ok(PAGE), true),
        ("AWS's", dated(json(Answer::ok(PAGE).header("x-amz-crc32", sum))), true),
        ("in pieces", Answer::in_pieces(PAGE), true),
        ("unannounced", Answer::unannounced(PAGE), true),
        ("large", Answer::ok(large), true),
        ("another kind", Answer::ok(PAGE).header("content-type", "text/html"), false),
        ("empty", Answer::ok(""), false),
        ("no page", Answer::ok("<html>busy</html>"), false),
        ("half", Answer::ok(&PAGE[..PAGE.len() / 2]), false),
        ("a list", Answer::ok("[]"), false),
    ] {
        let mut came = vec![];
        for sdk_only in [true, false] {
            let (server, upstream) = one_way(sdk_only, Duration::from_secs(10)).await;
            server.answer("GetRecords", [answer.clone()]);
            came.push(ask(&upstream, "it").await.expect(name));
            ask(&upstream, "it").await.expect(name);
            assert_eq!(by_sdk(&server), [sdk_only, sdk_only || !good], "{name}");
        }
        assert!(came[0] == came[1], "{name}");
    }
}

#[tokio::test]
async fn a_path_that_only_fails_is_left_to_the_sdk() {
    let (server, upstream) = one_way(false, Duration::from_secs(10)).await;
    server.answer("GetRecords", [Answer::new(500, "<html>")]);
    for call in 0..60 {
        ask(&upstream, &call.to_string()).await.expect_err("it fails");
    }
    let direct = by_sdk(&server).iter().filter(|by_sdk| !**by_sdk).count();
    assert!((8..16).contains(&direct), "{direct}");
    server.answer("GetRecords", [Answer::ok(PAGE)]);
    for call in 0..100 {
        ask(&upstream, &call.to_string()).await.expect("a page");
    }
    assert_eq!(by_sdk(&server).last(), Some(&false), "it is taken again");
}

#[tokio::test]
async fn connections_are_used_again_by_both() {
    let (server, upstream) = one_way(false, Duration::from_secs(10)).await;
    server.answer("GetRecords", [Answer::ok(PAGE)]);
    server.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    for call in 0..20 {
        ask(&upstream, &call.to_string()).await.expect("a page");
        upstream.list_streams(None, None, 1).await.expect("a page");
    }
    // A connection comes back a moment after its answer was read.
    assert!(server.connections() <= 4, "{}", server.connections());
}

/// The server closes a connection that is kept, and says nothing: at most one call fails of it.
#[tokio::test]
async fn a_connection_closed_between_calls_costs_one_try() {
    for sdk_only in [true, false] {
        let (server, upstream) = one_way(sdk_only, Duration::from_secs(10)).await;
        server.answer("GetRecords", [Answer::closing(PAGE)]);
        let mut failed = 0;
        for call in 0..20 {
            let iterator = call.to_string();
            if let Err(error) = ask(&upstream, &iterator).await {
                assert_eq!(error.class, ErrorClass::Unavailable);
                failed += 1;
                ask(&upstream, &iterator).await.expect("the SDK has it");
            }
        }
        assert!(failed < 20, "{failed}");
    }
}

/// A clock that is wrong is learned from the answer that says so, whichever way it came.
#[tokio::test]
async fn a_clock_that_is_wrong_is_corrected_by_both() {
    let (far, near) = ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:21 GMT");
    for sdk_only in [true, false] {
        let (server, upstream) = one_way(sdk_only, Duration::from_secs(10)).await;
        let skewed = Answer::error(400, "InvalidSignatureException", "Signature expired");
        server.answer(
            "GetRecords",
            [skewed.header("date", far), Answer::ok(PAGE).header("date", near)],
        );
        ask(&upstream, "it").await.expect_err("the clock is wrong");
        for _ in 0..2 {
            ask(&upstream, "it").await.expect("a page");
        }
        // The SDK knows nothing of an answer that it has not seen.
        assert_eq!(by_sdk(&server), [sdk_only; 3]);
        let asked = server.asked("GetRecords");
        let signed = |at: usize| asked[at].header("x-amz-date").expect("a time").to_owned();
        assert!(!signed(0).starts_with("2023"), "{}", signed(0));
        for at in [1, 2] {
            assert!(signed(at).starts_with("20231114T2213"), "{}", signed(at));
        }
    }
}

/// A call that nobody waits for any more closes its connection, and the next is none the worse.
#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing() {
    let (server, upstream) = one_way(false, Duration::from_secs(10)).await;
    server.answer("GetRecords", [Answer::silence(), Answer::ok(PAGE)]);
    tokio::select! {
        biased;
        // Cancelled below, as a reader is that nobody follows.
        _ = upstream.records("it", 10) => panic!("there is no answer"),
        () = async {
            while server.asked("GetRecords").is_empty() {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert_eq!(ask(&upstream, "it").await.expect("a page").0, PAGE.as_bytes());
    assert_eq!(by_sdk(&server), [false, false]);
    assert_eq!(server.connections(), 2);
}
