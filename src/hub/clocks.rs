//! How far the upstream's clock and ours are apart, by the `Date` of its newest answer.

use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

/// Clocks that are further apart are worth a warning.
const MOST_SKEW: Duration = Duration::from_secs(300);

/// Both clocks, for all who ask the upstream.
#[derive(Debug, Default)]
pub struct Clocks {
    apart: Mutex<Apart>,
}

/// By the newest answer.
#[derive(Debug, Default)]
struct Apart {
    /// So far is the upstream's clock behind ours.
    behind: Duration,
    /// So far is it ahead.
    ahead: Duration,
    /// That they are far apart was logged.
    told: bool,
}

impl Clocks {
    /// An answer bore a `Date` when our clock showed `now`. Says once that the clocks are so far
    /// apart that times mean different things to both.
    pub fn heard(&self, date: Option<Timestamp>, now: Timestamp) {
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

    /// What both clocks have passed when ours shows `now`.
    pub fn slower(&self, now: Timestamp) -> Timestamp {
        now.minus(self.apart.lock().behind)
    }

    /// What one of the clocks has passed when ours shows `now`.
    pub fn faster(&self, now: Timestamp) -> Timestamp {
        now.plus(self.apart.lock().ahead)
    }
}
