//! When a subscription's token is due: always while tokens are a small part of what is sent,
//! otherwise from time to time. Pure.

use std::time::{Duration, Instant};

/// Tokens may take one in this many of the bytes sent.
const SHARE: u64 = 20;

/// The most unused token bytes that may be saved up. Sent in one burst, they are still a small part
/// of a minute with 32 MiB.
const SAVINGS: u64 = 64 << 10;

/// Counts the bytes sent and decides whether a token is added.
#[derive(Debug)]
pub(crate) struct TokenPacing {
    interval: Duration,
    /// Bytes that may be spent on tokens; negative after tokens that were sent because they were
    /// late.
    credit: i64,
    last: Instant,
}

impl TokenPacing {
    /// At most `interval` between two tokens while anything is sent.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, credit: 0, last: now }
    }

    /// Counts `bytes` of records as sent.
    pub(crate) fn sends(&mut self, bytes: usize) {
        let most = SAVINGS as i64;
        self.credit = (self.credit + (bytes as u64 / SHARE) as i64).min(most);
    }

    /// Whether a token of about `bytes` is due.
    pub(crate) fn is_due(&self, bytes: usize, now: Instant) -> bool {
        self.credit >= bytes as i64 || self.is_late(now)
    }

    /// Whether the last token is so long ago that one is due whatever its size.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        now >= self.late_at()
    }

    /// When [`Self::is_late`] becomes true, if no token is sent before.
    pub(crate) fn late_at(&self) -> Instant {
        self.last + self.interval
    }

    /// Counts a token of `bytes` as sent.
    pub(crate) fn sent(&mut self, bytes: usize, now: Instant) {
        // Debt from late tokens is not kept for ever: a minute's worth of them is forgiven by the
        // interval itself.
        self.credit = (self.credit - bytes as i64).max(-(SAVINGS as i64));
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tokens_ride_always_and_large_ones_from_time_to_time() {
        let start = tokio::time::Instant::now().into_std();
        let mut small = TokenPacing::new(Duration::from_secs(1), start);
        small.sends(256 << 10);
        assert!(small.is_due(200, start));
        let mut large = TokenPacing::new(Duration::from_secs(1), start);
        large.sends(256 << 10);
        assert!(!large.is_due(26_000, start + Duration::from_millis(999)));
        assert!(large.is_due(26_000, start + Duration::from_secs(1)));
    }

    #[test]
    fn tokens_stay_a_twentieth_of_a_busy_minute() {
        let start = tokio::time::Instant::now().into_std();
        for token in [200usize, 5_000, 26_000] {
            let mut pacing = TokenPacing::new(Duration::from_secs(1), start);
            let (mut tokens, mut bytes) = (0usize, 0usize);
            for step in 0..6_000u64 {
                let now = start + Duration::from_millis(10 * step);
                let message = (40 << 20) / 6_000;
                pacing.sends(message);
                bytes += message;
                if pacing.is_due(token, now) {
                    pacing.sent(token, now);
                    tokens += token;
                }
            }
            assert!(tokens * 20 <= bytes, "{token}: {tokens} of {bytes}");
            assert!(tokens > 0);
        }
    }
}
