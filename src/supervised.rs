//! Panics in tasks that are to run as long as the server: a panic is a bug, costs one step, is
//! counted and logged, and the task goes on. Where a task would be gone nobody would notice before
//! it is missed.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use crate::metrics::Metrics;

/// Pause before a panicked task runs again: one that panics at once each time must not keep a
/// processor busy.
pub(crate) const REST: Duration = Duration::from_millis(200);

/// Runs one step of a task; `None` when it panicked, which is counted. What the step works on must
/// be such that the next one can go on with it.
pub(crate) async fn survived<T>(metrics: &Metrics, step: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(step).catch_unwind().await {
        Ok(done) => Some(done),
        Err(panic) => {
            drop(panic);
            metrics.panic();
            None
        }
    }
}

/// Runs `task` until it returns. When it panics, `fallen` repairs what it may have left half done,
/// and it runs again after a pause.
pub(crate) async fn restarted<F: Future<Output = ()>>(
    metrics: &Metrics,
    mut task: impl FnMut() -> F,
    mut fallen: impl FnMut(),
) {
    while survived(metrics, task()).await.is_none() {
        fallen();
        tokio::time::sleep(REST).await;
    }
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
        assert_eq!(survived(&metrics, async { 7 }).await, Some(7));
        assert!(metrics.render().contains("shardstream_panics_total 2\n"));
    }
}
