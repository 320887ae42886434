//! Panics in calls that others wait for: a panic is counted, reported to the waiters like a failure
//! of the upstream, and the task that made the call goes on. A panic is a bug; clients that wait
//! for ever would be another.

use crate::metrics::Metrics;
use crate::supervised::survived;
use crate::upstream::{Operation, UpstreamError};

/// Runs a call to the upstream that a task makes for all followers; a panic becomes a failed call.
/// A call for one client does not need this: its panic is that client's.
pub(super) async fn caught<T>(
    operation: Operation,
    metrics: &Metrics,
    call: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    // Unwind-safe: the call shares state only behind locks that no panic poisons, held briefly.
    survived(metrics, call).await.unwrap_or_else(|| Err(fault(operation)))
}

/// The error by which a panic is reported.
pub(super) fn fault(operation: Operation) -> UpstreamError {
    UpstreamError::nonsense(operation, "a fault in the server; it was logged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_panics_has_failed_and_is_counted() {
        let metrics = Metrics::new();
        let failed: Result<(), _> =
            caught(Operation::GetRecords, &metrics, async { panic!("on purpose") }).await;
        assert_eq!(failed, Err(fault(Operation::GetRecords)));
        assert!(metrics.render().contains("shardstream_panics_total 1\n"));
    }
}
