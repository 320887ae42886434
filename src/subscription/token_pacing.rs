//! When a subscription's token is due: always while tokens are a small part of what is sent,
//! otherwise from time to time. Pure.

use std::time::{Duration, Instant};

/// Of the bytes sent, one in so many may be a token's.
const SHARE: u64 = 20;

/// Bytes of tokens that may be saved up. A burst of them is still a small part of a minute with 32
/// MiB.
const SAVINGS: u64 = 64 << 10;

/// Counts what is sent and decides whether a token rides along.
#[derive(Debug)]
pub struct TokenPacing {
    interval: Duration,
    /// What may be spent on tokens; below zero after tokens that were sent for their own sake.
    credit: i64,
    last: Instant,
}

impl TokenPacing {
    /// At most `interval` between two tokens while anything is sent.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, credit: 0, last: now }
    }

    /// So many bytes of records are sent.
    pub fn sends(&mut self, bytes: usize) {
        let most = SAVINGS as i64;
        self.credit = (self.credit + (bytes as u64 / SHARE) as i64).min(most);
    }

    /// Whether a token of about so many bytes is due.
    pub fn is_due(&self, bytes: usize, now: Instant) -> bool {
        self.credit >= bytes as i64 || self.is_late(now)
    }

    /// Whether it is so long since the last token that one is due whatever it costs.
    pub fn is_late(&self, now: Instant) -> bool {
        now >= self.late_at()
    }

    /// When that will be, if none is sent before.
    pub fn late_at(&self) -> Instant {
        self.last + self.interval
    }

    /// A token was sent.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        // What was sent late is not owed for ever: a minute's worth of late tokens is forgiven by
        // the interval itself.
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
