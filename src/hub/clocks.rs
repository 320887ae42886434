//! How far the upstream's clock and ours are apart, by the `Date` of the newest response.

use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

/// A difference above this is logged as a warning.
const MOST_SKEW: Duration = Duration::from_secs(300);

/// The difference between both clocks, shared by all callers of the upstream.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    apart: Mutex<Apart>,
}

/// The difference by the newest response; at least one of the two is zero.
#[derive(Debug, Default)]
struct Apart {
    /// How far the upstream's clock is behind ours.
    behind: Duration,
    /// How far the upstream's clock is ahead of ours.
    ahead: Duration,
    /// The warning was logged.
    told: bool,
}

impl Clocks {
    /// Records the `Date` of a response that came when our clock showed `now`. Logs one warning if
    /// the clocks are so far apart that a time means something else to each of them.
    pub(super) fn heard(&self, date: Option<Timestamp>, now: Timestamp) {
        let Some(date) = date else { return };
        let mut apart = self.apart.lock();
        (apart.behind, apart.ahead) = (now.since(date), date.since(now));
        if apart.behind.max(apart.ahead) > MOST_SKEW && !std::mem::replace(&mut apart.told, true) {
            let seconds = date.apart(now).as_secs();
            tracing::warn!(
                seconds,
                "the upstream's clock and this machine's are apart; places by time go by the slower one"
            );
        }
    }

    /// The slower clock's time when ours shows `now`: both clocks have passed it.
    pub(super) fn slower(&self, now: Timestamp) -> Timestamp {
        now.minus(self.apart.lock().behind)
    }

    /// The faster clock's time when ours shows `now`: at least one clock has passed it.
    pub(super) fn faster(&self, now: Timestamp) -> Timestamp {
        now.plus(self.apart.lock().ahead)
    }
}
