//! Every class of failure, and what the SDK does about it by itself.

use super::*;

const PAGE: &str = r#"{"Records":[],"NextShardIterator":"next"}"#;

async fn fail(server: &ScriptedHttp, upstream: &Both, answer: Answer) -> UpstreamError {
    server.answer("GetRecords", [answer]);
    upstream.records("it", 10).await.expect_err("an error")
}

#[tokio::test]
async fn codes_make_classes() {
    let (server, upstream) = start().await;
    let cases = [
        (ErrorClass::Throttled, 400, "ThrottlingException"),
        (ErrorClass::Throttled, 400, "ProvisionedThroughputExceededException"),
        (ErrorClass::Throttled, 400, "RequestLimitExceeded"),
        (ErrorClass::Throttled, 400, "LimitExceededException"),
        (ErrorClass::Throttled, 400, "TooManyRequestsException"),
        (ErrorClass::Throttled, 429, "SomethingElse"),
        (ErrorClass::Unavailable, 500, "InternalServerError"),
        (ErrorClass::Unavailable, 500, "InternalFailure"),
        (ErrorClass::Unavailable, 503, "SomethingElse"),
        (ErrorClass::ExpiredIterator, 400, "ExpiredIteratorException"),
        (ErrorClass::Trimmed, 400, "TrimmedDataAccessException"),
        (ErrorClass::NotFound, 400, "ResourceNotFoundException"),
        (ErrorClass::AccessDenied, 400, "AccessDeniedException"),
        (ErrorClass::AccessDenied, 400, "UnrecognizedClientException"),
        (ErrorClass::AccessDenied, 400, "InvalidSignatureException"),
        (ErrorClass::AccessDenied, 400, "ExpiredTokenException"),
        (ErrorClass::AccessDenied, 400, "MissingAuthenticationToken"),
        (ErrorClass::AccessDenied, 400, "IncompleteSignature"),
        (ErrorClass::AccessDenied, 403, "OptInRequired"),
        (ErrorClass::AccessDenied, 403, "SomethingElse"),
        (ErrorClass::Invalid, 400, "ValidationException"),
        (ErrorClass::Invalid, 400, "SerializationException"),
        (ErrorClass::Invalid, 400, "InvalidParameterValue"),
        (ErrorClass::Invalid, 400, "SomethingElse"),
    ];
    for (class, status, code) in cases {
        // The words of another error: they must not count.
        let error = fail(
            &server,
            &upstream,
            Answer::error(status, code, "ExpiredIteratorException: throttled"),
        )
        .await;
        assert_eq!(error.class, class, "{status} {code}");
        assert_eq!(error.code.as_deref(), Some(code));
        assert_eq!(error.message, "ExpiredIteratorException: throttled");
    }
}

#[tokio::test]
async fn answers_of_others_make_classes() {
    let (server, upstream) = start().await;
    let html = "<html><body>ThrottlingException</body></html>";
    for (class, status) in [
        (ErrorClass::Unavailable, 500),
        (ErrorClass::Unavailable, 502),
        (ErrorClass::Unavailable, 404),
        (ErrorClass::Unavailable, 408),
        (ErrorClass::Unavailable, 302),
        (ErrorClass::Throttled, 429),
        (ErrorClass::AccessDenied, 403),
    ] {
        let error = fail(&server, &upstream, Answer::new(status, html)).await;
        assert_eq!((error.class, error.code), (class, None), "{status}");
        assert!(
            error.message.contains(&status.to_string()) && !error.message.contains("html"),
            "{}",
            error.message
        );
    }
    let error = fail(&server, &upstream, Answer::new(400, "{\"a\":".repeat(100_000))).await;
    assert_eq!(error.class, ErrorClass::Unavailable);
}

#[tokio::test]
async fn messages_are_kept_short_and_waits_are_passed_on() {
    let (server, upstream) = start().await;
    let long =
        Answer::error(400, "ValidationException", &"ü".repeat(5_000)).header("Retry-After", "7");
    let error = fail(&server, &upstream, long).await;
    assert_eq!(error.message.chars().count(), 300);
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    let empty = fail(&server, &upstream, Answer::error(400, "ExpiredIteratorException", "")).await;
    assert_eq!((empty.class, &*empty.message), (ErrorClass::ExpiredIterator, "HTTP 400"));
}

/// An attempt that no budget knows of would be one too many: whoever calls tries again.
#[tokio::test]
async fn a_call_is_one_request_whatever_comes_of_it() {
    let throttle = || Answer::error(400, "ThrottlingException", "slow down");
    let cases = [
        ("500", Answer::new(500, "<html>"), ErrorClass::Unavailable),
        ("503", Answer::new(503, "<html>"), ErrorClass::Unavailable),
        ("broken off", Answer::broken_off(PAGE), ErrorClass::Unavailable),
        ("throttled", throttle(), ErrorClass::Throttled),
        (
            "expired",
            Answer::error(400, "ExpiredIteratorException", ""),
            ErrorClass::ExpiredIterator,
        ),
        ("denied", Answer::error(400, "ExpiredTokenException", ""), ErrorClass::AccessDenied),
        ("too skewed", Answer::error(400, "RequestTimeTooSkewed", ""), ErrorClass::Invalid),
    ];
    for (name, answer, class) in cases {
        let (server, upstream) = start().await;
        for operation in ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"] {
            server.answer(operation, [answer.clone()]);
        }
        let failed = [
            upstream.list_streams(None, None, 1).await.map(drop),
            upstream.describe_stream(&arn(), None, None).await.map(drop),
            upstream.shard_iterator(&arn(), &shard(), IteratorStart::Latest).await.map(drop),
            upstream.records("it", 10).await.map(drop),
        ];
        for result in failed {
            let error = result.expect_err(name);
            let operation = error.operation.name();
            assert_eq!(
                (error.class, server.requests(operation).len()),
                (class, 1),
                "{name} {operation}"
            );
        }
    }
}

#[tokio::test]
async fn silence_and_closed_doors_are_unavailable() {
    let server = ScriptedHttp::start().await;
    let hasty = AwsOptions { attempt_timeout: Duration::from_millis(50), ..options(&server) };
    let upstream = connect(&server, hasty).await;
    server.answer("GetRecords", [Answer::silence()]);
    let error = upstream.records("it", 10).await.expect_err("silence");
    assert_eq!((error.class, server.requests("GetRecords").len()), (ErrorClass::Unavailable, 1));

    let nobody =
        AwsOptions { endpoint_url: Some("http://127.0.0.1:1".to_owned()), ..options(&server) };
    let upstream = AwsUpstream::connect(nobody).await.expect("a client");
    let error = upstream.records("it", 10).await.expect_err("nobody there");
    assert_eq!(error.class, ErrorClass::Unavailable, "{error}");
}

#[tokio::test]
async fn at_timestamp_is_not_asked_of_those_who_do_not_know_it() {
    let server = ScriptedHttp::start().await;
    let upstream = AwsUpstream::connect(AwsOptions { at_timestamp: None, ..options(&server) })
        .await
        .expect("a client");
    assert!(!upstream.traits().at_timestamp);
    let since = IteratorStart::Position(Position::AtTimestamp(Timestamp::EPOCH));
    let error = upstream.shard_iterator(&arn(), &shard(), since).await.expect_err("not asked");
    assert_eq!((error.class, server.requests("GetShardIterator").len()), (ErrorClass::Invalid, 0));
}
