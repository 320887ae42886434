//! The upstream calls of a shard as such: when they begin and return, what their failures mean, and
//! what remains after a fault. Pure.

use std::sync::Arc;

use crate::model::Now;
use crate::upstream::{ErrorClass, UpstreamError};

use super::poll::Outage;
use super::state::ShardState;

impl ShardState {
    /// Resets the shard after a fault that may have left any state half changed: lanes and waiters
    /// are dropped. Each waiter polls again and finds this error as its outage. Ids are not reused,
    /// so that no cursor takes another's waiter for its own.
    pub fn restart(&mut self, error: UpstreamError, now: Now) {
        let fresh = Self::new(self.limits.clone(), self.behaviour, self.ids)
            .stamped(self.grain)
            .with_attempts(self.attempts);
        let old = std::mem::replace(self, fresh);
        (self.ids, self.budget, self.backoff) = (old.ids, old.budget, old.backoff);
        self.waiters = old.waiters.after_fault();
        self.budget.under_way(0, now.at);
        (self.outage, self.newest, self.lost) = (old.outage, old.newest, old.lost);
        self.failed(now, error, now);
    }

    /// Sets how many consecutive failures it takes until an error that may pass soon is reported.
    pub fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Charges the budget for a call at the moment it is really made, however long it was held
    /// back.
    pub fn began(&mut self, now: Now) {
        self.budget.began(now.at);
    }

    /// Whether the newest call failed.
    pub fn is_troubled(&self) -> bool {
        self.outage.is_some()
    }

    pub(super) fn came_back(&mut self, now: Now) {
        self.in_flight -= 1;
        self.budget.under_way(self.in_flight, now.at);
    }

    pub(super) fn failed(&mut self, asked: Now, error: UpstreamError, now: Now) {
        if error.class != ErrorClass::NotFound {
            self.fails_otherwise();
        }
        let pause = self
            .backoff
            .fail()
            .max(error.retry_after.unwrap_or_default().min(self.limits.backoff.1));
        self.paused = Some(now.at + pause);
        let since = self.outage.as_ref().map_or(asked.wall, |outage| outage.since);
        let lasts = !error.class.may_pass_soon() || self.backoff.failures() >= self.attempts;
        self.outage = Some(Arc::new(Outage { since, asked: asked.at, error, lasts }));
    }

    pub(super) fn succeeded(&mut self) {
        self.backoff.succeed();
        self.denial = None;
        if self.outage.take().is_some() {
            self.waiters.wake_all();
        }
        self.paused = None;
    }
}
