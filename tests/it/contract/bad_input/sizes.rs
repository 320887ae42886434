//! A status that is too large breaks clients: the longest names and texts there can be, and what is
//! refused at the border.

use std::convert::Infallible;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use shardstream::grpc::error::CallError;
use shardstream::grpc::middleware::call_limits::CallLimitsLayer;
use shardstream::grpc::middleware::call_limits::request_body::RequestBody;
use shardstream::held_bytes::HeldBytes;
use shardstream::hub::discovery::ListingError;
use shardstream::hub::{Gap, GapCause};
use shardstream::metrics::Metrics;
use shardstream::model::{Checkpoint, Position, SequenceNumber, ShardId, StreamArn, Timestamp};
use shardstream::token::ShardToken;
use shardstream::upstream::{ErrorClass, Operation, UpstreamError};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer as _, Service as _, service_fn};

use super::fixture::check;

#[test]
fn the_longest_refusals_are_small_enough_to_travel() {
    let head = "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/";
    let stream =
        StreamArn::parse(&format!("{head}{}", "\"".repeat(1_024 - head.len()))).expect("an ARN");
    let shard = ShardId::parse(&"%".repeat(255)).expect("an id");
    let number = SequenceNumber::parse(&"9".repeat(40)).expect("a number");
    let checkpoint = Checkpoint {
        position: Position::AfterSequenceNumber(number),
        skip: u16::MAX,
        time: Timestamp::from_millis(i64::from(i32::MAX)),
    };
    let token = ShardToken { stream: stream.clone(), shard: shard.clone(), checkpoint }.encode();
    let gap = |cause| Gap {
        after: Some(number),
        after_time: Some(Timestamp::EPOCH),
        before: Some(number),
        cause,
        certain: true,
        detected: Timestamp::EPOCH,
    };
    let upstream = |class, operation, letter: &str| {
        let (code, message) = (Some(letter.repeat(300)), letter.repeat(300));
        CallError::Upstream(UpstreamError {
            operation,
            class,
            code,
            message,
            retry_after: Some(Duration::from_secs(1)),
        })
    };
    let trimmed = "RECORDS_TRIMMED";
    let mut all = vec![
        (
            Code::NotFound,
            "STREAM_NOT_FOUND",
            ListingError::StreamNotFound(stream.to_string()).into(),
        ),
        (
            Code::NotFound,
            "SHARD_NOT_FOUND",
            ListingError::ShardNotFound(stream.clone(), shard.clone()).into(),
        ),
        (Code::Unavailable, "STREAM_NOT_READY", ListingError::NotReady(stream).into()),
        (Code::OutOfRange, trimmed, CallError::ShardExpired(shard.to_string())),
        (
            Code::OutOfRange,
            trimmed,
            CallError::Trimmed(Box::new(gap(GapCause::Trimmed)), Some(token.clone())),
        ),
        (
            Code::OutOfRange,
            trimmed,
            CallError::Trimmed(Box::new(gap(GapCause::ShardExpired)), Some(token.clone())),
        ),
    ];
    for letter in ["x", " ", "%", "é", "🦀", "\0", "\n", "\""] {
        let unreadable = CallError::Unreadable(
            Some(number.to_string()),
            letter.repeat(1_000),
            Some(token.clone()),
        );
        all.push((Code::DataLoss, "RECORD_UNREADABLE", unreadable));
        let cases = [
            (ErrorClass::Throttled, Operation::GetRecords, Code::Unavailable, "UPSTREAM_THROTTLED"),
            (
                ErrorClass::Unavailable,
                Operation::GetRecords,
                Code::Unavailable,
                "UPSTREAM_UNAVAILABLE",
            ),
            (
                ErrorClass::AccessDenied,
                Operation::GetRecords,
                Code::FailedPrecondition,
                "UPSTREAM_ACCESS_DENIED",
            ),
            (
                ErrorClass::Invalid,
                Operation::GetShardIterator,
                Code::InvalidArgument,
                "POSITION_MALFORMED",
            ),
            (
                ErrorClass::Invalid,
                Operation::DescribeStream,
                Code::InvalidArgument,
                "STREAM_MALFORMED",
            ),
            (
                ErrorClass::Invalid,
                Operation::ListStreams,
                Code::InvalidArgument,
                "STREAM_MALFORMED",
            ),
            (ErrorClass::Invalid, Operation::GetRecords, Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
            (ErrorClass::Trimmed, Operation::GetRecords, Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
        ];
        for (class, operation, code, reason) in cases {
            all.push((code, reason, upstream(class, operation, letter)));
        }
    }
    for (code, reason, refusal) in all {
        check(&refusal.status(), code, reason);
    }
    // A stream that ended because access is denied may be opened again.
    let denied = upstream(ErrorClass::AccessDenied, Operation::GetRecords, "x");
    check(&denied.status_as(Code::Unavailable), Code::Unavailable, "UPSTREAM_ACCESS_DENIED");
}

/// What the border makes of a service's answer to a request with these headers.
async fn at_the_border(
    answer: impl Future<Output = Response<Body>> + Send + 'static,
    timeout: &str,
) -> HeaderMap {
    let mut answer = Some(answer);
    let service = service_fn(move |_: Request<RequestBody<Body>>| {
        let answer = answer.take().expect("asked once");
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut request = Request::post("/").body(Body::empty()).expect("a request");
    request.headers_mut().insert("content-type", "application/grpc".parse().expect("a header"));
    request.headers_mut().insert("grpc-timeout", timeout.parse().expect("a header"));
    let border =
        CallLimitsLayer::new(HeldBytes::new(1 << 20, Metrics::new()), Duration::from_secs(10));
    let Ok(answer) = border.layer(service).call(request).await;
    answer.headers().clone()
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_kept_whatever_the_upstream_does() {
    for timeout in ["0n", "0S", "1n", "1u", "99999999n", "1m", "3S", "1H"] {
        let told = at_the_border(std::future::pending(), timeout).await;
        let status = Status::from_header_map(&told).expect("a status");
        check(&status, Code::DeadlineExceeded, "DEADLINE");
    }
    // No deadline at all, and an answer: nothing is refused for a header that says nothing.
    for timeout in ["", "1", "n", "-1n", "1d", "123456789n", "1.5S", "99999999999999999999S"] {
        let told = at_the_border(async { Response::new(Body::empty()) }, timeout).await;
        assert!(Status::from_header_map(&told).is_none(), "{timeout}");
    }
}

#[tokio::test]
async fn what_is_refused_before_a_handler_says_why() {
    let of = |status: Status| async move { status.into_http() };
    let large =
        at_the_border(of(Status::out_of_range("decoded message length too large")), "1S").await;
    check(
        &Status::from_header_map(&large).expect("a status"),
        Code::InvalidArgument,
        "SIZE_MALFORMED",
    );
    let garbage =
        at_the_border(of(Status::internal("failed to decode Protobuf message")), "1S").await;
    check(
        &Status::from_header_map(&garbage).expect("a status"),
        Code::InvalidArgument,
        "REQUEST_MALFORMED",
    );
    let ours = at_the_border(of(CallError::ShardExpired("shard".into()).status()), "1S").await;
    check(&Status::from_header_map(&ours).expect("a status"), Code::OutOfRange, "RECORDS_TRIMMED");
    let unknown = at_the_border(of(Status::unimplemented("")), "1S").await;
    assert_eq!(
        Status::from_header_map(&unknown).map(|status| status.code()),
        Some(Code::Unimplemented)
    );
}
