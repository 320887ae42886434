//! What of AWS's behaviour is a matter of size and time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// The model's settings; the default is AWS's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What chance is derived from.
    pub seed: u64,
    /// How long a shard lives on average: each lives three to five quarters of it.
    pub rollover: Duration,
    /// How long a record can be read, and a closed shard or a stream is listed.
    pub retention: Duration,
    /// How many shards a new stream begins with.
    pub shards: u32,
    /// Changes a second, over a minute, at which a shard splits.
    pub split_rate: u32,
    /// How often readers may come; `None`: as often as they like.
    pub limits: Option<Limits>,
    /// Bytes of records kept in all; past it the oldest of all are trimmed early, but for what no
    /// listing shows yet.
    pub max_bytes: usize,
    /// The region in ARNs and records.
    pub region: String,
    /// The account in ARNs.
    pub account: String,
}

/// How often readers may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// GetRecords calls a second on one shard, of all its readers together.
    pub records_per_shard: u32,
    /// Bytes a second of one shard, for all its readers together.
    pub bytes_per_shard: u32,
    /// DescribeStream calls a second.
    pub describe: u32,
    /// ListStreams calls a second.
    pub list: u32,
}

/// Ten thousand years: for ever.
const AGES: Millis = 10_000 * 365 * 24 * 3_600 * 1_000;

/// How many shards may end at one time, so that nobody waits for long.
const ENDS: u32 = 200_000;

impl Settings {
    /// The longest time that may pass at once.
    pub fn longest_step(&self) -> Duration {
        self.rollover.saturating_mul(ENDS / self.shards.clamp(1, ENDS))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            rollover: Duration::from_secs(4 * 3_600),
            retention: Duration::from_secs(24 * 3_600),
            shards: 4,
            split_rate: 1_000,
            limits: Some(Limits::default()),
            max_bytes: 1 << 30,
            region: "us-east-1".into(),
            account: "000000000000".into(),
        }
    }
}

impl Default for Limits {
    /// Two readers of five calls and 2 MB each.
    fn default() -> Self {
        Self { records_per_shard: 10, bytes_per_shard: 4 << 20, describe: 10, list: 5 }
    }
}

/// A duration as the model counts: never nothing, for nothing happens twice at one time, and no
/// longer than can be added to any time of day.
pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, AGES)
}
