//! How often something may be done: a budget of calls, and growing pauses after failures. Pure.

use std::time::{Duration, Instant};

/// A budget of calls: so many a second, and up to a second's worth at once.
#[derive(Debug)]
pub struct Budget {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Option<Instant>,
}

/// Pauses that double from the first to the longest, jittered by up to half, until something succeeds.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    rng: fastrand::Rng,
}

impl Budget {
    /// `per_second` calls a second; at least one call may always be made at once.
    pub fn new(per_second: f64) -> Self {
        let burst = per_second.max(1.0);
        Self { per_second, burst, tokens: burst, filled: None }
    }

    /// Calls a second.
    pub fn rate(&self) -> f64 {
        self.per_second
    }

    /// When the next call may be made: now or later.
    pub fn next(&mut self, now: Instant) -> Instant {
        self.fill(now);
        if self.tokens >= 1.0 {
            return now;
        }
        now + Duration::from_secs_f64((1.0 - self.tokens) / self.per_second) + Duration::from_micros(1)
    }

    /// Spends one call, if the budget has one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    fn fill(&mut self, now: Instant) {
        if let Some(filled) = self.filled {
            let gained = now.saturating_duration_since(filled).as_secs_f64() * self.per_second;
            self.tokens = (self.tokens + gained).min(self.burst);
        }
        self.filled = Some(now);
    }
}

impl Backoff {
    /// Pauses from `first` to `longest`, jittered from `seed`.
    pub fn new((first, longest): (Duration, Duration), seed: u64) -> Self {
        Self { first, longest, failures: 0, rng: fastrand::Rng::with_seed(seed) }
    }

    /// The pause after one more failure.
    pub fn fail(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures += 1;
        doubled.mul_f64(0.5 + self.rng.f64() / 2.0)
    }

    /// Something succeeded: the next failure starts over.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_budget_never_grants_more_than_its_rate_and_burst(
            rate in 1.0f64..50.0,
            steps in proptest::collection::vec(0u64..500, 1..200),
        ) {
            let start = Instant::now();
            let mut budget = Budget::new(rate);
            let (mut now, mut granted) = (start, 0u32);
            for step in steps {
                now += Duration::from_millis(step);
                granted += u32::from(budget.take(now));
            }
            let most = rate.max(1.0) + (now - start).as_secs_f64() * rate;
            prop_assert!(f64::from(granted) <= most + 1e-6);
        }

        #[test]
        fn what_next_promises_take_grants(rate in 0.5f64..50.0, calls in 1usize..100) {
            let mut now = Instant::now();
            let mut budget = Budget::new(rate);
            for _ in 0..calls {
                now = budget.next(now);
                prop_assert!(budget.take(now));
            }
        }

        #[test]
        fn pauses_grow_and_stay_inside_their_bounds(seed in any::<u64>()) {
            let (first, longest) = (Duration::from_millis(200), Duration::from_secs(10));
            let mut backoff = Backoff::new((first, longest), seed);
            for _ in 0..40 {
                let pause = backoff.fail();
                prop_assert!(pause >= first / 2 && pause <= longest);
            }
            backoff.succeed();
            prop_assert!(backoff.fail() <= first);
        }
    }
}
