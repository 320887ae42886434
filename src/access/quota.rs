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
    /// Connections by which it has called and which are open.
    pub connections: usize,
    /// Shards that are read for it.
    pub shards: usize,
    /// Its positions behind the windows of shards that wait for their turn.
    pub places: usize,
    /// Bytes of answers that it has not taken.
    pub unread_bytes: usize,
}

/// As a policy says it; what is not said is as for everybody.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct QuotaText {
    streams: Option<u32>,
    sessions: Option<u32>,
    calls_per_second: Option<f64>,
    burst: Option<f64>,
    connections: Option<u32>,
    shards: Option<u32>,
    places: Option<u32>,
    unread_bytes: Option<u32>,
}

impl Default for Quota {
    /// That of callers of whom the policy says nothing else.
    fn default() -> Self {
        Self {
            streams: 64,
            sessions: 1_000,
            calls_per_second: 200.0,
            burst: 400.0,
            connections: 256,
            shards: 1_000,
            places: 64,
            unread_bytes: 32 << 20,
        }
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
            connections: self.connections.max(other.connections),
            shards: self.shards.max(other.shards),
            places: self.places.max(other.places),
            unread_bytes: self.unread_bytes.max(other.unread_bytes),
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
            connections: count(self.connections, usual.connections),
            shards: count(self.shards, usual.shards),
            places: count(self.places, usual.places),
            unread_bytes: count(self.unread_bytes, usual.unread_bytes),
        })
    }
}
