//! Pauses between attempts: each twice the one before, jittered so that the many clients of one
//! server do not reconnect at once.

use std::time::Duration;

/// The first and the longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Computes the next pause.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSES.0 }
    }
}

impl Backoff {
    /// The time to wait now: between half the pause and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(PAUSES.1);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// After a success: the next pause is the first again.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            assert!(backoff.next() <= PAUSES.1);
        }
        assert!(backoff.next() >= PAUSES.1 / 2);
        backoff.reset();
        assert!(backoff.next() <= PAUSES.0);
    }
}
