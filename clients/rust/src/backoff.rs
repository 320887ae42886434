//! When to come again after a failed call.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// How long the client waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// The first pause between attempts. Each is twice the one before, half of it drawn by lot.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// Give up when attempts have failed for so long, with no sign in between that the server is
    /// well.
    pub patience: Duration,
    /// After a stream has lived so long the next pause is the first again.
    pub lasting: Duration,
    /// The shortest heartbeat interval that the server grants; three of them without a message
    /// count as silence.
    pub least_heartbeat: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            patience: Duration::from_secs(600),
            lasting: Duration::from_secs(10),
            least_heartbeat: Duration::from_secs(1),
        }
    }
}

/// The pauses of one subscription or call.
#[derive(Debug)]
pub(crate) struct Backoff {
    timing: Timing,
    next: Duration,
    opened: Instant,
    failing_since: Option<Instant>,
}

impl Backoff {
    /// Nothing has failed yet.
    pub(crate) fn new(timing: Timing, now: Instant) -> Self {
        Self { timing, next: timing.first_pause, opened: now, failing_since: None }
    }

    /// A stream is being opened.
    pub(crate) fn opening(&mut self, now: Instant) {
        self.opened = now;
    }

    /// A message came; `served`: it shows that the server is well.
    pub(crate) fn heard(&mut self, served: bool, now: Instant) {
        if served {
            self.failing_since = None;
        }
        if served || now - self.opened > self.timing.lasting {
            self.next = self.timing.first_pause;
        }
    }

    /// How long to wait before the next attempt; the error itself where it must not be repeated,
    /// or was for too long.
    pub(crate) fn pause(&mut self, error: Error, now: Instant) -> Result<(Duration, Error), Error> {
        let asked = error.retry_delay.unwrap_or_default();
        let since = *self.failing_since.get_or_insert(now);
        if !error.may_pass() || now - since + asked >= self.timing.patience {
            return Err(error);
        }
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.timing.longest_pause);
        Ok((pause.max(asked), error))
    }
}
