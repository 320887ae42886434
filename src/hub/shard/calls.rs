//! The upstream calls of a shard as such: when they begin and return, what their failures mean, and
//! what remains after a fault. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::ReadingLimits;
use crate::model::Now;
use crate::upstream::UpstreamError;

use super::super::rate_limit::{Backoff, Budget};
use super::poll::Outage;

/// The calls of one shard: what may begin, and how they fare.
#[derive(Debug)]
pub(super) struct Calls {
    budget: Budget,
    backoff: Backoff,
    /// The longest of its pauses.
    longest: Duration,
    /// How often a call is tried before its failure is reported to clients that wait for a single
    /// response.
    attempts: u32,
    paused: Option<Instant>,
    in_flight: usize,
    outage: Option<Arc<Outage>>,
}

impl Calls {
    /// No calls yet. `seed` seeds the jitter of the pauses.
    pub(super) fn new(limits: &ReadingLimits, seed: u64) -> Self {
        Self {
            budget: Budget::new(limits.shard_calls_per_second),
            backoff: Backoff::new(limits.backoff, seed),
            longest: limits.backoff.1,
            attempts: 1,
            paused: None,
            in_flight: 0,
            outage: None,
        }
    }

    /// The same after a fault that lost all calls under way.
    pub(super) fn after_fault(mut self, now: Instant) -> Self {
        self.budget.under_way(0, now);
        Self { in_flight: 0, paused: None, ..self }
    }

    pub(super) fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Calls a second.
    pub(super) fn rate(&self) -> f64 {
        self.budget.rate()
    }

    /// When a call that is due at `due` may begin: not before a pause has ended.
    pub(super) fn not_before(&self, due: Instant) -> Instant {
        due.max(self.paused.unwrap_or(due))
    }

    pub(super) fn outage(&self) -> Option<Arc<Outage>> {
        self.outage.clone()
    }

    /// Takes a call out of the budget; from now on it is under way. Fails with the moment at which
    /// one can be afforded.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let affordable = self.budget.next(now);
        if affordable > now || !self.budget.take(now) {
            return Err(affordable);
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Charges the budget for a call at the moment it is really made.
    pub(super) fn began(&mut self, now: Instant) {
        self.budget.began(now);
    }

    pub(super) fn came_back(&mut self, now: Instant) {
        self.in_flight -= 1;
        self.budget.under_way(self.in_flight, now);
    }

    pub(super) fn end_pause(&mut self) {
        self.paused = None;
    }

    /// A call succeeded. Returns whether that ends an outage.
    pub(super) fn succeeded(&mut self) -> bool {
        self.backoff.succeed();
        self.paused = None;
        self.outage.take().is_some()
    }

    pub(super) fn failed(&mut self, asked: Now, error: UpstreamError, now: Now) {
        let asked_to = error.retry_after.unwrap_or_default().min(self.longest);
        self.paused = Some(now.at + self.backoff.fail().max(asked_to));
        let since = self.outage.as_ref().map_or(asked.wall, |outage| outage.since);
        let lasts = !error.class.may_pass_soon() || self.backoff.failures() >= self.attempts;
        self.outage = Some(Arc::new(Outage { since, asked: asked.at, error, lasts }));
    }
}
