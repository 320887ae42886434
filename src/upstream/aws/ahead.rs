//! Clocks that are ahead of AWS's, which refuses times that are still to come: what its answers say
//! of its clock.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::{Position, Timestamp};
use crate::upstream::IteratorStart;

/// What AWS's clock showed when it was heard last. A cheap clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    heard: Arc<Mutex<Option<(Instant, Timestamp)>>>,
}

impl Ahead {
    /// AWS's clock shows `date` now.
    pub fn heard(&self, date: Timestamp) {
        *self.heard.lock() = Some((Instant::now(), date));
    }

    /// `start`, but no time that AWS's clock has still to reach, as far as that is known.
    pub fn clamped(&self, start: IteratorStart) -> IteratorStart {
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
        let ahead = Ahead::default();
        assert_eq!(ahead.clamped(since(1_030)), since(1_030), "nothing is known yet");
        ahead.heard(time(1_000));
        assert_eq!(ahead.clamped(since(1_030)), since(1_000));
        assert_eq!(ahead.clamped(since(990)), since(990));
        assert_eq!(ahead.clamped(IteratorStart::Latest), IteratorStart::Latest);
        tokio::time::advance(Duration::from_millis(10_500)).await;
        assert_eq!(ahead.clamped(since(1_030)), since(1_010));
    }
}
