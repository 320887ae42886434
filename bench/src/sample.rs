//! What one contender did in one round.

use std::collections::BTreeMap;

use super::spread;

/// The samples of a round, by the contenders' names.
pub type Round = BTreeMap<&'static str, Sample>;

/// One run of one contender.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Records it got, all its subscribers together.
    pub records: usize,
    /// So many read the same.
    pub subscribers: usize,
    /// How long it took, by the clock on the wall.
    pub seconds: f64,
    /// CPU time of the contender itself, in seconds.
    pub cpu: f64,
    /// CPU time of the server in that time, in seconds; `None` for those who read the upstream
    /// themselves.
    pub server_cpu: Option<f64>,
    /// GetRecords calls that the upstream answered in that time.
    pub reads: u64,
    /// From the upstream sending a page to the contender having it, in microseconds, sorted; empty
    /// where not measured.
    pub delays: Vec<f64>,
}

impl Sample {
    /// Records a second.
    pub fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// Nanoseconds of CPU time that a record costs the contender.
    pub fn cost(&self) -> f64 {
        self.cpu * 1e9 / self.records as f64
    }

    /// Nanoseconds of CPU time that a record of the stream costs the server, whoever gets it.
    pub fn server_cost(&self) -> Option<f64> {
        let read = self.records as f64 / self.subscribers as f64;
        Some(self.server_cpu? * 1e9 / read)
    }

    /// Nanoseconds of CPU time that a look at a shard costs: the server's where there is one.
    pub fn look_cost(&self) -> f64 {
        self.server_cpu.unwrap_or(self.cpu) * 1e9 / self.reads as f64
    }

    /// The delay that so great a part of all pages does not pass, in microseconds; `None` where not
    /// measured.
    pub fn delay(&self, part: f64) -> Option<f64> {
        (!self.delays.is_empty()).then(|| spread::at(&self.delays, part))
    }
}
