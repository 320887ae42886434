//! Reconnecting to a server that went away: when it is worth it, after which pause, and for how
//! long.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::backoff::Backoff;
use super::failure::{Failure, Result};
use super::grpc_status::{is_unheard, may_pass, retry_delay, root};
use super::text::safe;
use super::time;
use crate::exit::Exit;

/// How long to keep trying while nothing, or nothing good, is received.
const PATIENCE: Duration = Duration::from_secs(600);

/// After a response stream has lived this long, its end is not a refusal: the next pause is short
/// again.
const LASTING: Duration = Duration::from_secs(10);

/// A reason to reconnect.
#[derive(Debug)]
pub(super) struct ReconnectReason {
    /// The reason in words, for the person.
    pub why: String,
    /// The least delay that the server asked for; `None` when it did not.
    pub delay: Option<Duration>,
}

impl ReconnectReason {
    /// Reconnect for this reason.
    pub(super) fn new(why: impl Into<String>, delay: Option<Duration>) -> Self {
        Self { why: why.into(), delay }
    }
}

/// What the response streams so far say about the server.
#[derive(Debug)]
pub(super) struct ReconnectPolicy {
    /// Whether any message was received: only then is a failure retried.
    heard: bool,
    /// When the server last was well.
    well: Instant,
    /// When the newest response stream was opened.
    opened: Instant,
    backoff: Backoff,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self {
            heard: false,
            well: Instant::now(),
            opened: Instant::now(),
            backoff: Backoff::default(),
        }
    }
}

impl ReconnectPolicy {
    /// Call when a response stream is being opened.
    pub(super) fn opening(&mut self) {
        self.opened = Instant::now();
    }

    /// Call for every message received.
    pub(super) fn heard(&mut self) {
        self.heard = true;
        if self.opened.elapsed() > LASTING {
            self.backoff.reset();
        }
    }

    /// Call when a message shows that the server is well.
    pub(super) fn well(&mut self) {
        self.well = Instant::now();
    }

    /// Call when a message brought what was requested.
    pub(super) fn served(&mut self) {
        self.well();
        self.backoff.reset();
    }

    /// Before the first message a failure is returned; after it, one that may pass is a reason to
    /// reconnect.
    pub(super) fn refused(&self, status: Status) -> Result<ReconnectReason> {
        if !self.heard || !may_pass(&status) {
            return Err(status.into());
        }
        let why = match (is_unheard(&status), status.message()) {
            (true, _) => format!("the connection broke: {}", safe(&root(&status))),
            (false, "") => "the server is not available".to_owned(),
            (false, message) => format!("the server is not available: {}", safe(message)),
        };
        Ok(ReconnectReason::new(why, retry_delay(&status)))
    }

    /// How long to wait before reconnecting; `Err` after `PATIENCE` without a sign that the
    /// server is well.
    pub(super) fn pause(&mut self, again: &ReconnectReason) -> Result<Duration> {
        if self.well.elapsed() > PATIENCE {
            let what = format!("given up after {}: {}", time::short(PATIENCE), again.why);
            return Err(Failure::new(Exit::Unavailable, what).next("try again later"));
        }
        Ok(self.backoff.next().max(again.delay.unwrap_or_default()))
    }
}

/// Waits; false when cancelled meanwhile.
pub(super) async fn waited(delay: Duration, cancel: &CancellationToken) -> bool {
    // Cancel-safe: nothing is under way.
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(delay) => true,
    }
}
