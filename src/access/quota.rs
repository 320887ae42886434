//! How much of a server one caller may take at a time. Pure.

use serde::Deserialize;

/// The most calls at once, and a second, that a policy may say: more is as good as no limit.
const MOST: f64 = 1e9;

/// What one caller may have open, and how often it may call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Response streams.
    pub streams: usize,
    /// Sessions.
    pub sessions: usize,
    /// Calls a second, in the long run.
    pub calls_per_second: f64,
    /// Calls at once, by who has made none for long.
    pub burst: f64,
}

/// As a policy says it; what is not said is as for everybody.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct QuotaText {
    streams: Option<u32>,
    sessions: Option<u32>,
    calls_per_second: Option<f64>,
    burst: Option<f64>,
}

impl Default for Quota {
    /// That of callers of whom the policy says nothing else.
    fn default() -> Self {
        Self { streams: 64, sessions: 1_000, calls_per_second: 200.0, burst: 400.0 }
    }
}

impl Quota {
    /// Of each the larger.
    pub(super) fn widest(self, other: Self) -> Self {
        Self {
            streams: self.streams.max(other.streams),
            sessions: self.sessions.max(other.sessions),
            calls_per_second: self.calls_per_second.max(other.calls_per_second),
            burst: self.burst.max(other.burst),
        }
    }
}

impl QuotaText {
    /// The quota; `None` if it lets nobody call.
    pub(super) fn quota(&self) -> Option<Quota> {
        let usual = Quota::default();
        let count = |said: Option<u32>, usual| said.map_or(usual, |said| said as usize);
        let calls_per_second = self.calls_per_second.unwrap_or(usual.calls_per_second);
        let twice = self.calls_per_second.map_or(usual.burst, |rate| (2.0 * rate).max(1.0));
        let burst = self.burst.unwrap_or(twice);
        let fits = |rate: f64, least: f64| (least..=MOST).contains(&rate);
        (fits(calls_per_second, 0.001) && fits(burst, 1.0)).then_some(Quota {
            streams: count(self.streams, usual.streams),
            sessions: count(self.sessions, usual.sessions),
            calls_per_second,
            burst,
        })
    }
}
