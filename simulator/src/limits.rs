//! How often readers may come: buckets that fill with time.

use std::collections::HashMap;

use crate::Millis;

/// A bucket of a second's worth.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of what is left.
    left: i64,
    at: Millis,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// ListStreams.
    List,
    /// DescribeStream.
    Describe,
    /// GetRecords of one shard.
    Records(String, u64),
    /// What they answer.
    Bytes(String, u64),
}

/// All buckets. Those of shards that nobody reads are forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buckets {
    buckets: HashMap<Counted, Bucket>,
}

/// How many buckets there are before the full ones are looked for.
const MANY: usize = 4_096;

impl Buckets {
    /// Whether one more may come.
    pub(crate) fn is_open(&mut self, what: &Counted, rate: u32, now: Millis) -> bool {
        self.fill(what, rate, now).left > 0
    }

    /// Takes `amount`, though it may be more than there is: then the next ones wait longer.
    pub(crate) fn take(&mut self, what: Counted, rate: u32, amount: usize, now: Millis) {
        let left = self.fill(&what, rate, now).left;
        let amount = i64::try_from(amount).unwrap_or(i64::MAX).saturating_mul(1_000);
        if self.buckets.len() > MANY {
            self.buckets.retain(|_, bucket| now.saturating_sub(bucket.at) < 2_000);
        }
        self.buckets.insert(what, Bucket { left: left.saturating_sub(amount), at: now });
    }

    fn fill(&self, what: &Counted, rate: u32, now: Millis) -> Bucket {
        let full = i64::from(rate) * 1_000;
        let Some(bucket) = self.buckets.get(what) else { return Bucket { left: full, at: now } };
        let time = i64::try_from(now.saturating_sub(bucket.at)).unwrap_or(i64::MAX);
        let left = bucket.left.saturating_add(time.saturating_mul(i64::from(rate))).min(full);
        Bucket { left, at: now }
    }
}
