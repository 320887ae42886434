//! No answer is read without end, whichever call it is of, however it comes.

use super::*;

use tokio::time::Instant;

/// One call of each kind.
async fn ask(upstream: &AwsUpstream, operation: Operation) -> Result<(), UpstreamError> {
    match operation {
        Operation::ListStreams => upstream.list_streams(None, None, 1).await.map(drop),
        Operation::DescribeStream => upstream.describe_stream(&arn(), None, None).await.map(drop),
        Operation::GetShardIterator => {
            upstream.shard_iterator(&arn(), &shard(), IteratorStart::Latest).await.map(drop)
        }
        Operation::GetRecords => upstream.records("it", 10).await.map(drop),
    }
}

const ALL: [Operation; 4] = [
    Operation::ListStreams,
    Operation::DescribeStream,
    Operation::GetShardIterator,
    Operation::GetRecords,
];

/// The most that is read of an answer.
fn most(operation: Operation) -> usize {
    if operation == Operation::GetRecords { 16 << 20 } else { 4 << 20 }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    for operation in ALL {
        let (server, Both(upstream)) = start().await;
        server.answer(operation.name(), [Answer::endless(" ")]);
        let error = ask(&upstream, operation).await.expect_err("no end");
        let told = format!("HTTP 200, and the answer is larger than {} bytes", most(operation));
        assert_eq!((error.class, error.message), (ErrorClass::Unavailable, told), "{operation:?}");
        // What the sender could put on the way before the connection was closed is little more.
        let sent = server.sent();
        assert!(sent < most(operation) + (24 << 20), "{} MiB of {operation:?}", sent >> 20);
    }
}

#[tokio::test]
async fn an_answer_that_says_it_is_too_large_is_not_read() {
    let (server, Both(upstream)) = start().await;
    for operation in ALL {
        server.answer(operation.name(), [Answer::ok(" ".repeat(most(operation) + 1))]);
        let error = ask(&upstream, operation).await.expect_err("too large");
        let told = format!("is larger than {} bytes", most(operation));
        assert!(error.message.ends_with(&told), "{}", error.message);
    }
}

/// Of a refusal the status is known; its words are not waited for.
#[tokio::test]
async fn a_refusal_without_end_is_one_by_its_status() {
    for (status, class) in [
        (400, ErrorClass::Unavailable),
        (403, ErrorClass::AccessDenied),
        (429, ErrorClass::Throttled),
    ] {
        for operation in ALL {
            let (server, Both(upstream)) = start().await;
            server.answer(operation.name(), [Answer::endless("<p>").status(status)]);
            let error = ask(&upstream, operation).await.expect_err("refused");
            assert_eq!(error.class, class, "{operation:?} {status}: {error}");
            assert!(server.sent() < 20 << 20, "{} MiB", server.sent() >> 20);
        }
    }
}

#[tokio::test]
async fn a_refusal_of_usual_size_keeps_its_code() {
    let (server, Both(upstream)) = start().await;
    server.answer(
        "GetRecords",
        [Answer::error(400, "TrimmedDataAccessException", &"x".repeat(60_000))],
    );
    let error = ask(&upstream, Operation::GetRecords).await.expect_err("refused");
    assert_eq!(
        (error.class, error.code.as_deref()),
        (ErrorClass::Trimmed, Some("TrimmedDataAccessException"))
    );
}

#[tokio::test]
async fn an_answer_that_drips_ends_with_its_attempt() {
    let server = ScriptedHttp::start().await;
    let hasty = AwsOptions { attempt_timeout: Duration::from_millis(150), ..options(&server) };
    let upstream = connect(&server, hasty).await;
    for operation in ALL {
        server.answer(operation.name(), [Answer::dripping(" ".repeat(1_000))]);
        let begun = Instant::now();
        let error = ask(&upstream, operation).await.expect_err("too slow");
        assert_eq!(
            (error.class, error.message.as_str()),
            (ErrorClass::Unavailable, "no answer in time")
        );
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{operation:?} took {:?}",
            begun.elapsed()
        );
    }
}
