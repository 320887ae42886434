//! Chance, and what both kinds of plans draw with it.

use std::time::Duration;

use super::*;

/// Chance, and the steps it gave so far.
pub(super) struct Draw {
    pub chance: fastrand::Rng,
    pub steps: Vec<Step>,
}

impl Draw {
    pub fn with_seed(seed: u64) -> Self {
        Self { chance: fastrand::Rng::with_seed(seed), steps: Vec::new() }
    }

    pub fn one_in(&mut self, many: u32) -> bool {
        self.chance.u32(0..many) == 0
    }

    pub fn within(&mut self, span: Duration) -> Duration {
        Duration::from_millis(self.chance.u64(0..=span.as_millis() as u64))
    }

    pub fn step(&mut self, at: Duration, what: Do) {
        self.steps.push(Step { at, what });
    }

    /// One of `records` for a page; empty pages in one of so many plans, and between records in
    /// others.
    pub fn pages(&mut self, seed: u64, records: &[usize], empty: u32, between: u32) -> Pages {
        let records = records[self.chance.usize(0..records.len())];
        let chance = if self.one_in(empty) { self.chance.f64() } else { 0.0 };
        let empties =
            Empties { chance, most: self.chance.u8(1..=4), between: self.one_in(between) };
        let latency = Duration::from_millis([15, 100, 900][self.chance.usize(0..3)]);
        let (end_alone, at_timestamp) = (self.one_in(3), !self.one_in(3));
        let (shared, date_ahead) = (Pages::shared_numbers(seed), Pages::date_ahead(seed));
        let (behind, grain) = (Pages::behind(seed), Pages::grain(seed));
        Pages {
            records,
            empties,
            latency,
            end_alone,
            at_timestamp,
            shared,
            date_ahead,
            behind,
            grain,
        }
    }

    /// So much is written, a burst in one of so many writes, and large records in others.
    pub fn write(
        &mut self,
        at: Duration,
        shards: usize,
        bursts: (u32, std::ops::Range<usize>),
        large: (u32, usize, usize),
    ) {
        let shard = self.chance.usize(0..shards);
        let count = if self.one_in(bursts.0) {
            self.chance.usize(bursts.1)
        } else {
            self.chance.usize(1..12)
        };
        let padding =
            if self.one_in(large.0) { large.1 } else { [10, 40, 400][self.chance.usize(0..3)] };
        let count = if padding > 1_000 { count.min(large.2) } else { count };
        self.step(at, Do::Write { shard, count, padding });
    }

    /// Chances to fail that may follow each other in a plan; hanging is so much rarer.
    pub fn rates(&mut self, hang: f64) -> Rates {
        let mut rate = || if self.chance.bool() { self.chance.f64() * 0.3 } else { 0.0 };
        let (throttle, unavailable) = (rate(), rate());
        let (denied, hang) = (rate() / 3.0, rate() / hang);
        Rates { throttle, unavailable, denied, hang, not_found: unavailable / 2.0 }
    }
}
