//! The upstream's side of a plan.

use std::time::Duration;

use shardstream::model::StreamStatus;
use shardstream::upstream::Operation;

use super::super::fake::{Answer, ChildShards, FakeUpstream, Fault, Rates, ShardRef, Split, Writing};
use super::super::seeds::{Do, Plan, Step};

/// What there is before the beginning.
pub fn set(plan: &Plan, fake: &FakeUpstream) {
    let (pages, listings) = (plan.pages, plan.listings);
    fake.set_traits(|traits| {
        traits.at_timestamp = pages.at_timestamp;
        traits.grain = Duration::from_secs(pages.grain.max(1));
        traits.child_shards = listings.children.is_some();
    });
    fake.listing(|listing| {
        listing.page_shards = listings.shards;
        // Empty pages come in the middle of every third.
        listing.hollow = if plan.seed.is_multiple_of(3) { 0.3 } else { 0.0 };
        listing.order = listings.order;
        listing.children = listings.children.unwrap_or(ChildShards::Ignored);
    });
    fake.set_ours_ahead(pages.behind);
    fake.behave_all(|behaviour| {
        behaviour.page_records = pages.records;
        behaviour.empties = pages.empties;
        behaviour.latency = (Duration::from_millis(5), pages.latency);
        behaviour.end_alone = pages.end_alone;
        behaviour.date_ahead = pages.date_ahead;
        behaviour.grain = pages.grain;
    });
    if let Some(shared) = pages.shared {
        fake.share_numbers(shared);
    }
    let stream = fake.add_stream("Orders");
    let shard = fake.add_old_shard(&stream, None, plan.age);
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
                // No shard has more than two, in all.
                let children = children.min(2 - fake.children(&shard).len());
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
        Do::Hide { shard, lasts } => fake.hide(&any(fake, shard), lasts),
        Do::Recreate { same_id } => recreate(fake, same_id),
        Do::Disabled => {
            // One at a time: a later one has begun to close later, and its children may not be listed yet.
            let streams = fake.truth().streams;
            let (_newest, closing) = streams.split_last().expect("a stream");
            if let Some(stream) = closing.iter().find(|stream| stream.disabled.is_none()) {
                fake.set_status(&stream.arn, StreamStatus::Disabled);
            }
        }
        Do::FailListings { rates } => fake.listing(|listing| listing.faults = rates),
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
    fake.listing(|listing| listing.faults = Rates::NONE);
}

/// The newest stream begins to close, and the table gets another.
fn recreate(fake: &FakeUpstream, same_id: bool) {
    let newest = fake.shards().pop().expect("a shard").stream;
    fake.set_status(&newest, StreamStatus::Disabling);
    fake.open_shards(&newest).iter().for_each(|shard| fake.close(shard));
    let first = fake.shards().into_iter().find(|shard| shard.stream == newest).expect("its first shard");
    let stream = fake.add_stream("Orders");
    if same_id {
        fake.add_shard_named(&stream, first.shard.as_str(), None);
    } else {
        fake.add_shard(&stream, None);
    }
}

fn any(fake: &FakeUpstream, shard: usize) -> ShardRef {
    let shards = fake.shards();
    shards[shard % shards.len()].clone()
}

fn open(fake: &FakeUpstream, shard: usize) -> Option<ShardRef> {
    let open: Vec<_> = fake.shards().into_iter().filter(|shard| fake.is_open(shard)).collect();
    open.get(shard.checked_rem(open.len())?).cloned()
}
