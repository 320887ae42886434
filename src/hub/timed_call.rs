//! Calls to the upstream: each has a timeout, and is counted by its outcome.

use std::time::Duration;

use crate::metrics::Metrics;
use crate::upstream::{ErrorClass, Operation, UpstreamError};

/// A call without a response for this long counts as failed, whatever the client library's own
/// timeouts are.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a call with the call timeout, and counts it.
pub(super) async fn timed<T>(
    operation: Operation,
    metrics: &Metrics,
    call: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    let result = tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| {
        let message = format!("no answer in {} s", CALL_TIMEOUT.as_secs());
        Err(UpstreamError {
            operation,
            class: ErrorClass::Unavailable,
            code: None,
            message,
            retry_after: None,
        })
    });
    count(metrics, operation, &result);
    result
}

/// Counts a call by its outcome.
fn count<T>(metrics: &Metrics, operation: Operation, result: &Result<T, UpstreamError>) {
    let class = result.as_ref().err().map(|error| error.class);
    metrics.upstream_call(operation.name(), class.map_or("ok", ErrorClass::label));
    match class {
        Some(ErrorClass::Throttled) => metrics.throttled(operation.name()),
        Some(ErrorClass::ExpiredIterator) => metrics.iterator_renewed(),
        Some(_) | None => {}
    }
}
