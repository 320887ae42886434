//! The one place that reads a clock. Everything that decides takes the result, [`Now`], as an
//! argument.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::model::{Now, Timestamp};

/// Where *now* comes from.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Option<(Instant, Timestamp)>,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self { start: None }
    }

    /// A wall clock that reads `wall` now and moves with tokio's clock, paused or not.
    pub fn starting_at(wall: Timestamp) -> Self {
        Self { start: Some((Instant::now(), wall)) }
    }

    /// What time it is.
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
        // In a box: most who wait so have nothing to wait for, and a timer is large.
        Some(at) => Box::pin(tokio::time::sleep_until(at)).await,
        None => std::future::pending().await,
    }
}
