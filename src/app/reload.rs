//! When files are read again while the server runs: every ten seconds, and at SIGHUP.

use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Waits for the next look at the files: true when `told` to, false after ten seconds, `None` at
/// `stop`.
pub async fn next_look(told: &Notify, stop: &CancellationToken) -> Option<bool> {
    // All are cancel-safe: a token, a permit that is kept, a timer.
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        () = told.notified() => Some(true),
        () = tokio::time::sleep(LOOK) => Some(false),
    }
}
