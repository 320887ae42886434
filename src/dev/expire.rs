//! Items whose time to live has passed are deleted, and their stream records say by whom, as AWS
//! does it.
//!
//! dynoxide deletes them when it is asked to and not by itself. AWS takes up to days; whoever tries
//! it out will not wait.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::embedded::SharedDatabase;
use super::folder::Folder;

/// The pause between two looks for such items.
const PAUSE: Duration = Duration::from_secs(1);

/// Deletes them until `ended`. `folder` stays as long as somebody looks into the database in it.
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
        // Off the runtime's own threads: it waits for the disk, and for whoever is in the database.
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
            // Said once until it works again.
            Ok(Err(error)) if !failing => {
                tracing::warn!(%error, "items of the embedded DynamoDB that have lived long enough stay; trying on");
                failing = true;
            }
            Ok(Err(_)) => {}
            Err(_) => return,
        }
    }
}
