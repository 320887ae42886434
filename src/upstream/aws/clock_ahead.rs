//! AWS's clock as the `Date` of its responses shows it. Where our clock is ahead, times are clamped
//! to it, because AWS refuses times in the future.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::{Position, Timestamp};
use crate::upstream::IteratorStart;

/// AWS's clock at its last response. A cheap clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockAhead {
    heard: Arc<Mutex<Option<(Instant, Timestamp)>>>,
}

impl ClockAhead {
    /// Records that AWS's clock shows `date` now.
    pub(super) fn heard(&self, date: Timestamp) {
        *self.heard.lock() = Some((Instant::now(), date));
    }

    /// `start`, with a time no later than AWS's clock, as far as that is known.
    pub(super) fn clamped(&self, start: IteratorStart) -> IteratorStart {
        let heard = *self.heard.lock();
        match (start, heard) {
            (IteratorStart::Position(Position::AtTimestamp(time)), Some((at, date))) => {
                IteratorStart::Position(Position::AtTimestamp(
                    time.min(date.plus(at.elapsed()).floor()),
                ))
            }
            (start, _) => start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn times_are_no_later_than_aws_is() {
        let time = |seconds: i64| Timestamp::from_millis(seconds * 1_000).expect("a time");
        let since = |seconds| IteratorStart::Position(Position::AtTimestamp(time(seconds)));
        let ahead = ClockAhead::default();
        assert_eq!(ahead.clamped(since(1_030)), since(1_030), "nothing is known yet");
        ahead.heard(time(1_000));
        assert_eq!(ahead.clamped(since(1_030)), since(1_000));
        assert_eq!(ahead.clamped(since(990)), since(990));
        assert_eq!(ahead.clamped(IteratorStart::Latest), IteratorStart::Latest);
        tokio::time::advance(Duration::from_millis(10_500)).await;
        assert_eq!(ahead.clamped(since(1_030)), since(1_010));
    }
}
