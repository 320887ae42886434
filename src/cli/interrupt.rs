//! Ctrl-C: cancels one token that a command watches, and limits how long the command may take to
//! end.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::failure::Result;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use crate::exit::Exit;
use crate::signals;

/// How long a cancelled command may take to end by itself and print its token.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `work` until it is done; after `cancel`, for `GRACE` at most.
pub(super) async fn unless_told(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<Exit>>,
) -> Result<Exit> {
    // Cancel-safe: work that does not end in time is still connecting or waiting for a response,
    // and has nothing to lose.
    tokio::select! {
        biased;
        done = work => done,
        () = async { cancel.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(Exit::Interrupted),
    }
}

/// A token that is cancelled by Ctrl-C or SIGTERM. A second signal ends the process at once: the
/// command may be blocked printing to a reader that does not read.
pub(super) fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let told = token.clone();
    // The task ends with the process and holds nothing.
    let hearing = async move {
        signals::told().await;
        told.cancel();
        signals::told().await;
        std::process::exit(Exit::Interrupted.code().into());
    };
    TaskTracker::new().spawn(hearing.instrument(info_span!("signals")));
    token
}
