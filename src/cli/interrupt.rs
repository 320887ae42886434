//! Ctrl-C: one token that a command watches, and how long it may take to obey.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::failure::Result;
use tokio_util::task::TaskTracker;

use crate::exit::Exit;
use crate::shutdown;

/// How long a command may take to end by itself, and tell its token, when it is told to.
const GRACE: Duration = Duration::from_secs(1);

/// Does `work` until it is done; when `cancel` is told, it has a moment to end by itself.
pub async fn unless_told(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    // Cancel-safe: work that does not end in time is still connecting or asking, and has nothing to
    // lose.
    tokio::select! {
        biased;
        done = work => done,
        () = async { cancel.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(Exit::Interrupted),
    }
}

/// Cancelled by Ctrl-C, or SIGTERM. A second one ends the process at once: the command may be stuck
/// printing to somebody who does not read.
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let told = token.clone();
    // Ends with the process; it holds nothing.
    TaskTracker::new().spawn(async move {
        shutdown::told().await;
        told.cancel();
        shutdown::told().await;
        std::process::exit(Exit::Interrupted.code().into());
    });
    token
}
