//! The upstream's side of a plan.

use std::time::Duration;

use shardstream::upstream::Operation;

use super::super::fake::{Answer, FakeUpstream, Fault, Rates, ShardRef, Split, Writing};
use super::super::seeds::{Do, Plan, Step};

/// What there is before the beginning.
pub fn set(plan: &Plan, fake: &FakeUpstream) {
    let pages = plan.pages;
    fake.set_traits(|traits| traits.at_timestamp = pages.at_timestamp);
    fake.behave_all(|behaviour| {
        behaviour.page_records = pages.records;
        behaviour.empties = pages.empties;
        behaviour.latency = (Duration::from_millis(5), pages.latency);
        behaviour.end_alone = pages.end_alone;
    });
    let stream = fake.add_stream("Orders");
    let shard = fake.add_old_shard(&stream, None, Duration::from_secs(25 * 3_600));
    for &(count, ago) in &plan.past {
        fake.write_with(&shard, Writing { count, ago, ..Writing::default() });
    }
}

/// One step upstream.
pub fn take(fake: &FakeUpstream, step: &Step) {
    match step.what {
        Do::Write { shard, count, padding } => {
            if let Some(shard) = open(fake, shard) {
                fake.write_with(&shard, Writing { count, padding, ..Writing::default() });
            }
        }
        Do::Spoil { shard, kind } => {
            if let Some(shard) = open(fake, shard) {
                fake.write_with(&shard, Writing { kind, ..Writing::default() });
            }
        }
        Do::Split { shard, children, close, listed_after } => {
            if let Some(shard) = open(fake, shard) {
                fake.split(&shard, Split { children, close, listed_after });
            }
        }
        Do::Expire { shard } => fake.expire_iterators(&any(fake, shard)),
        Do::Fail { shard, rates } => fake.behave(&any(fake, shard), |behaviour| behaviour.faults = rates),
        Do::Hang { shard } => {
            // A hanging call is given up by the transport in the end, as the SDK does.
            let hang = Fault::Timeout(Duration::from_secs(45));
            fake.script(&any(fake, shard), Operation::GetRecords, [Answer::Fail(hang)]);
        }
        _ => unreachable!("the driver takes what clients do"),
    }
}

/// Everything works from now on, and no page is so short that the call budget decides when a reader arrives.
pub fn calm(fake: &FakeUpstream) {
    fake.behave_all(|behaviour| {
        behaviour.faults = Rates::NONE;
        behaviour.empties.chance = 0.0;
        behaviour.page_records = 1_000;
    });
}

fn any(fake: &FakeUpstream, shard: usize) -> ShardRef {
    let shards = fake.shards();
    shards[shard % shards.len()].clone()
}

fn open(fake: &FakeUpstream, shard: usize) -> Option<ShardRef> {
    let open: Vec<_> = fake.shards().into_iter().filter(|shard| fake.is_open(shard)).collect();
    open.get(shard.checked_rem(open.len())?).cloned()
}
