//! What becomes of a panic in a task that others wait for: it is counted, it is told to them as a
//! failure of the upstream would be, and the task goes on. A panic is a bug; that clients wait for
//! ever would be another.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use crate::metrics::Metrics;
use crate::upstream::{Operation, UpstreamError};

/// How long a task that panicked rests: what fails at once each time must not keep a processor
/// busy.
const REST: Duration = Duration::from_millis(200);

/// A call to the upstream that a task makes for all who follow; one that panics has failed. A call
/// for one client panics as that client's.
pub(super) async fn caught<T>(
    operation: Operation,
    metrics: &Metrics,
    call: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    // What the call shares with others it shares behind locks that no panic poisons, and for looks.
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|panic| {
        drop(panic);
        metrics.panic();
        Err(fault(operation))
    })
}

/// Runs `task` until it ends by itself. When it panics, `fallen` puts right what it may have left
/// half done, and it runs again after a rest.
pub async fn restarted<F: Future<Output = ()>>(
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

/// How a panic is told.
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
