//! The only place that reads a clock. Everything that decides by time takes the result, [`Now`], as
//! an argument.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::model::{Now, Timestamp};

/// The source of the current time.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Option<(Instant, Timestamp)>,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self { start: None }
    }

    /// A clock whose wall time is `wall` now and advances with tokio's clock, paused or not.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { start: Some((Instant::now(), wall)) }
    }

    /// The current time.
    pub fn now(&self) -> Now {
        let instant = Instant::now();
        let wall = match self.start {
            Some((start, wall)) => wall.plus(instant - start),
            None => {
                let since =
                    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::EPOCH.plus(since)
            }
        };
        Now { at: instant.into_std(), wall }
    }
}

/// Resolves at `at`; `None`: never. Cancel-safe.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        // Boxed: a `Sleep` is large and most callers pass `None`.
        Some(at) => Box::pin(tokio::time::sleep_until(at)).await,
        None => std::future::pending().await,
    }
}
