//! What the server asks of AWS.

use std::collections::HashMap;
use std::time::Duration;

use shardstream::limits::ReadingLimits;
use shardstream::upstream::Operation;

use super::{Guarantee, Violation};
use crate::sim::fake::{Call, ShardRef};

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// GetRecords at one time on one shard.
    pub in_flight: usize,
    /// GetRecords and GetShardIterator a second on one shard.
    pub shard_calls: f64,
    /// DescribeStream a second over all streams.
    pub describe_calls: f64,
    /// ListStreams a second over all tables.
    pub list_calls: f64,
}

impl From<&ReadingLimits> for Budget {
    fn from(limits: &ReadingLimits) -> Self {
        Self {
            in_flight: limits.shard_calls_in_flight,
            shard_calls: limits.shard_calls_per_second,
            describe_calls: limits.describe_calls_per_second,
            list_calls: limits.list_calls_per_second,
        }
    }
}

pub fn in_flight(calls: &[Call], budget: &Budget) -> Result<(), Violation> {
    let reads = calls.iter().filter(|call| call.operation == Operation::GetRecords);
    match reads.into_iter().find(|call| call.in_flight > budget.in_flight) {
        Some(call) => {
            let what =
                format!("{} GetRecords at {:?} on {:?}", call.in_flight, call.started, call.shard);
            Err(Violation::new(Guarantee::Mannered, None, what))
        }
        None => Ok(()),
    }
}

/// In any window of time no more calls begin than the rate gives.
pub fn rates(calls: &[Call], budget: &Budget) -> Result<(), Violation> {
    // By operation and shard: the rate allowed, and when calls began.
    type Started<'a> = HashMap<(&'static str, Option<&'a ShardRef>), (f64, Vec<Duration>)>;
    let mut started = Started::new();
    for call in calls {
        let (name, rate) = match call.operation {
            Operation::GetRecords | Operation::GetShardIterator => ("shard", budget.shard_calls),
            Operation::DescribeStream => ("DescribeStream", budget.describe_calls),
            Operation::ListStreams => ("ListStreams", budget.list_calls),
        };
        let (_, times) = started.entry((name, call.shard.as_ref())).or_insert((rate, Vec::new()));
        times.push(call.started);
    }
    for ((name, shard), (rate, times)) in started {
        for window in [1, 10, 60].map(Duration::from_secs) {
            let allowed = (rate * window.as_secs_f64()).ceil().max(1.0) as usize;
            // As many calls as are too many, inside one window.
            let burst = times.windows(allowed + 1).find(|calls| calls[allowed] - calls[0] < window);
            if let Some(burst) = burst {
                let what = format!(
                    "more than {allowed} {name} calls in {window:?} from {:?} on {shard:?}",
                    burst[0]
                );
                return Err(Violation::new(Guarantee::Mannered, None, what));
            }
        }
    }
    Ok(())
}
