//! Panics in tasks that others wait for: a panic is counted, reported to the waiters like a failure
//! of the upstream, and the task goes on. A panic is a bug; clients that wait for ever would be
//! another.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use crate::metrics::Metrics;
use crate::upstream::{Operation, UpstreamError};

/// Pause before a panicked task runs again: one that panics at once each time must not keep a
/// processor busy.
const REST: Duration = Duration::from_millis(200);

/// Runs a call to the upstream that a task makes for all followers; a panic becomes a failed call.
/// A call for one client does not need this: its panic is that client's.
pub(super) async fn caught<T>(
    operation: Operation,
    metrics: &Metrics,
    call: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    // Unwind-safe: the call shares state only behind locks that no panic poisons, held briefly.
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|panic| {
        drop(panic);
        metrics.panic();
        Err(fault(operation))
    })
}

/// Runs `task` until it returns. When it panics, `fallen` repairs what it may have left half done,
/// and it runs again after a pause.
pub(crate) async fn restarted<F: Future<Output = ()>>(
    metrics: &Metrics,
    mut task: impl FnMut() -> F,
    mut fallen: impl FnMut(),
) {
    while let Err(panic) = AssertUnwindSafe(task()).catch_unwind().await {
        drop(panic);
        metrics.panic();
        fallen();
        tokio::time::sleep(REST).await;
    }
}

/// The error by which a panic is reported.
pub(super) fn fault(operation: Operation) -> UpstreamError {
    UpstreamError::nonsense(operation, "a fault in the server; it was logged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_counted_and_runs_again() {
        let metrics = Metrics::new();
        let (mut runs, mut falls) = (0, 0);
        let task = || {
            runs += 1;
            let run = runs;
            async move {
                if run <= 2 {
                    panic!("on purpose");
                }
            }
        };
        restarted(&metrics, task, || falls += 1).await;
        assert_eq!((runs, falls), (3, 2));
        let failed: Result<(), _> =
            caught(Operation::GetRecords, &metrics, async { panic!("on purpose") }).await;
        assert_eq!(failed, Err(fault(Operation::GetRecords)));
        assert!(metrics.render().contains("shardstream_panics_total 3\n"));
    }
}
