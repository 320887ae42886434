//! Coming again to a server that went away: when it is worth it, after which pause, and for how
//! long.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::backoff::Backoff;
use super::failure::{Failure, Result};
use super::status::{is_unheard, may_pass, retry_delay, root};
use super::text::safe;
use super::time;
use crate::exit::Exit;

/// How long it keeps trying when nothing is heard, or nothing good.
const PATIENCE: Duration = Duration::from_secs(600);

/// A response stream that lives so long is not the server's way of refusing: the next pause is
/// short again.
const LASTING: Duration = Duration::from_secs(10);

/// Why to come again.
#[derive(Debug)]
pub struct Again {
    /// For the person.
    pub why: String,
    /// Not before.
    pub delay: Option<Duration>,
}

impl Again {
    /// For this reason.
    pub fn new(why: impl Into<String>, delay: Option<Duration>) -> Self {
        Self { why: why.into(), delay }
    }
}

/// What is known of the server by its response streams so far.
#[derive(Debug)]
pub struct Patience {
    /// Anything was received at all: only then is a failure tried again.
    heard: bool,
    /// When all was well for the last time.
    well: Instant,
    /// When the newest response stream was opened.
    opened: Instant,
    backoff: Backoff,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            heard: false,
            well: Instant::now(),
            opened: Instant::now(),
            backoff: Backoff::default(),
        }
    }
}

impl Patience {
    /// A response stream is being opened.
    pub fn opening(&mut self) {
        self.opened = Instant::now();
    }

    /// A message came.
    pub fn heard(&mut self) {
        self.heard = true;
        if self.opened.elapsed() > LASTING {
            self.backoff.reset();
        }
    }

    /// It said that all is well.
    pub fn well(&mut self) {
        self.well = Instant::now();
    }

    /// It brought what was asked for.
    pub fn served(&mut self) {
        self.well();
        self.backoff.reset();
    }

    /// A first failure is told; later ones that may pass are a reason to come again.
    pub fn refused(&self, status: Status) -> Result<Again> {
        if !self.heard || !may_pass(&status) {
            return Err(status.into());
        }
        let why = match (is_unheard(&status), status.message()) {
            (true, _) => format!("the connection broke: {}", safe(&root(&status))),
            (false, "") => "the server is not available".to_owned(),
            (false, message) => format!("the server is not available: {}", safe(message)),
        };
        Ok(Again::new(why, retry_delay(&status)))
    }

    /// How long to wait first, unless there is no point any more.
    pub fn pause(&mut self, again: &Again) -> Result<Duration> {
        if self.well.elapsed() > PATIENCE {
            let what = format!("given up after {}: {}", time::short(PATIENCE), again.why);
            return Err(Failure::new(Exit::Unavailable, what).next("try again later"));
        }
        Ok(self.backoff.next().max(again.delay.unwrap_or_default()))
    }
}

/// Waits; false: it was told to stop instead.
pub async fn waited(delay: Duration, cancel: &CancellationToken) -> bool {
    // Cancel-safe: nothing is under way.
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(delay) => true,
    }
}
