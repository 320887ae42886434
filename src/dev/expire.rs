//! Deletes items whose time to live has passed; their stream records say by whom, as on AWS.
//!
//! dynoxide deletes such items only on request. AWS takes up to days, but nobody who tries this out
//! will wait so long.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::database::SharedDatabase;
use super::folder::Folder;

/// The pause between two sweeps for expired items.
const PAUSE: Duration = Duration::from_secs(1);

/// Deletes expired items until `ended`. Holds `folder`, so that it stays while a sweep reads the
/// database.
pub(super) async fn run(
    database: SharedDatabase,
    folder: Arc<Folder>,
    ended: CancellationToken,
    tracker: TaskTracker,
) {
    let mut failing = false;
    loop {
        // Both are cancel-safe: a token and a timer.
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        // On a blocking thread: a sweep waits for the disk and for other calls.
        let (database, folder) = (database.clone(), Arc::clone(&folder));
        let swept = tracker.spawn_blocking(move || {
            let swept = database.sweep_ttl();
            drop((database, folder));
            swept
        });
        match swept.await {
            Ok(Ok(deleted)) => {
                failing = false;
                if deleted > 0 {
                    tracing::debug!(
                        deleted,
                        "items of the embedded DynamoDB had lived long enough"
                    );
                }
            }
            // Logged once until a sweep succeeds again.
            Ok(Err(error)) if !failing => {
                tracing::warn!(%error, "items of the embedded DynamoDB that have lived long enough stay; trying on");
                failing = true;
            }
            Ok(Err(_)) => {}
            Err(_) => return,
        }
    }
}
