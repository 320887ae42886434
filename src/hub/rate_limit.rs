//! Rate limits: a budget of calls per second, and growing pauses after failures. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The slowest rate in calls a second: one call in eleven days.
const SLOWEST: f64 = 1e-6;

/// A budget of calls: within any one second no more begin than the rate allows, however they are
/// bunched.
///
/// A call takes a slot when it is granted and keeps it until a second after it began, so that a
/// call delayed after its grant cannot bunch up with others.
#[derive(Debug)]
pub(super) struct Budget {
    /// How long a call keeps its slot after it began.
    keeps: Duration,
    /// Slots are freed no closer together than this, so that a burst is not repeated every second.
    apart: Duration,
    /// The number of slots.
    positions: usize,
    /// Slots that can be taken at once.
    fresh: usize,
    /// When the slots of begun calls are freed, the soonest first. Slots in neither `fresh` nor
    /// `back` are granted to calls that have not begun.
    back: VecDeque<Instant>,
}

/// Pauses that double from the first to the longest, jittered by up to half, until a success.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    rng: fastrand::Rng,
}

impl Budget {
    /// A budget of `per_second` calls a second. Below one, the single slot is kept that much
    /// longer.
    pub(super) fn new(per_second: f64) -> Self {
        let per_second = per_second.max(SLOWEST);
        let positions = per_second.ceil() as usize;
        let apart = Duration::from_secs_f64(per_second.recip());
        let keeps = Duration::from_secs_f64(positions as f64 / per_second);
        Self { keeps, apart, positions, fresh: positions, back: VecDeque::new() }
    }

    /// Calls a second.
    pub(super) fn rate(&self) -> f64 {
        self.apart.as_secs_f64().recip()
    }

    /// When the next call may be made: now or later.
    pub(super) fn next(&self, now: Instant) -> Instant {
        match (self.fresh, self.back.front()) {
            (0, Some(&soonest)) => soonest.max(now),
            // Every slot is granted to a call that has not begun.
            (0, None) => now + self.apart,
            (_, _) => now,
        }
    }

    /// Grants one call, if the budget has one. [`Self::began`] must follow.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.back.pop_front_if(|back| *back <= now).is_some() {
            self.fresh += 1;
        }
        let granted = self.fresh > 0;
        self.fresh -= usize::from(granted);
        granted
    }

    /// Grants one call that begins at once, if the budget has one.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let granted = self.take(now);
        if granted {
            self.began(now);
        }
        granted
    }

    /// Only `calls` granted calls are still under way: the others vanished without a report and
    /// count as begun now.
    pub(super) fn under_way(&mut self, calls: usize, now: Instant) {
        while self.fresh + self.back.len() + calls < self.positions {
            self.began(now);
        }
    }

    /// A granted call begins.
    pub(super) fn began(&mut self, now: Instant) {
        let newest = self.back.back().map(|newest| *newest + self.apart);
        self.back.push_back(newest.map_or(now + self.keeps, |newest| newest.max(now + self.keeps)));
    }
}

impl Backoff {
    /// Pauses from `first` to `longest`, jittered from `seed`.
    pub(super) fn new((first, longest): (Duration, Duration), seed: u64) -> Self {
        Self { first, longest, failures: 0, rng: fastrand::Rng::with_seed(seed) }
    }

    /// The pause after one more failure.
    pub(super) fn fail(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures += 1;
        doubled.mul_f64(0.5 + self.rng.f64() / 2.0)
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Something succeeded: the next failure starts over.
    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Calls requested at odd moments that begin at once or later, as calls do that wait for
        /// room.
        #[test]
        fn in_no_second_more_calls_begin_than_the_rate_says(
            rate in 0.2f64..50.0,
            steps in proptest::collection::vec((0u64..300, 0u64..4_000), 1..300),
        ) {
            let (start, mut budget) = (Instant::now(), Budget::new(rate));
            let (mut now, mut waiting, mut begun) = (start, Vec::new(), Vec::new());
            for (step, late) in steps {
                now += Duration::from_millis(step);
                waiting.sort_unstable();
                while waiting.first().is_some_and(|due| *due <= now) {
                    let due = waiting.remove(0);
                    budget.began(due);
                    begun.push(due);
                }
                if budget.take(now) {
                    waiting.push(now + Duration::from_millis(if late < 3_000 { 0 } else { late }));
                }
            }
            begun.sort_unstable();
            let (most, window) =
                (rate.ceil() as usize, Duration::from_secs_f64(rate.ceil() / rate));
            let crowded = begun.windows(most + 1).find(|calls| calls[most] - calls[0] < window);
            prop_assert!(crowded.is_none(), "{most} in {window:?}: {crowded:?}");
        }

        #[test]
        fn what_next_promises_take_grants(rate in 0.5f64..50.0, calls in 1usize..100) {
            let (mut now, mut budget) = (Instant::now(), Budget::new(rate));
            let start = now;
            for _ in 0..calls {
                now = budget.next(now);
                prop_assert!(budget.spend(now));
            }
            // A caller that always has a call to make gets the whole rate.
            let longest = Duration::from_secs_f64(calls as f64 / rate) + Duration::from_millis(1);
            prop_assert!(now - start <= longest, "{calls} in {:?}", now - start);
        }

        #[test]
        fn a_burst_is_not_repeated(rate in 2u32..20) {
            let (mut now, mut budget) = (Instant::now(), Budget::new(f64::from(rate)));
            let mut last = None;
            for call in 0..rate * 3 {
                now = budget.next(now);
                prop_assert!(budget.spend(now));
                if call > rate && let Some(last) = last {
                    prop_assert!(now - last >= Duration::from_secs(1) / (rate + 1));
                }
                last = Some(now);
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
