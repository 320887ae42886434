//! The upstream's side of a plan.

use std::time::Duration;

use shardstream::model::{ShardId, StreamStatus};
use shardstream::upstream::Operation;

use crate::sim::fake::{
    Answer, ChildShards, FakeUpstream, Fault, Listing, Rates, ShardGlance, ShardRef, Split, Writing,
};
use crate::sim::schedules::{Do, Plan, Step};

/// No shard has more ancestors.
const DEPTH: usize = 8;

/// No stream has more shards.
const SHARDS: usize = 200;

/// What there is before the beginning.
pub fn set(plan: &Plan, fake: &FakeUpstream) {
    let (pages, listings) = (plan.pages, plan.listings);
    fake.set_traits(|traits| {
        traits.at_timestamp = pages.at_timestamp;
        traits.grain = Duration::from_secs(pages.grain.max(1));
        traits.child_shards = listings.children.is_some();
    });
    let children = listings.children.unwrap_or(ChildShards::Ignored);
    // Empty pages come in the middle of every third.
    let hollow = if plan.seed.is_multiple_of(3) { 0.3 } else { 0.0 };
    let (page_shards, order) = (listings.shards, listings.order);
    let date_ahead = pages.date_ahead;
    fake.listing(|listing| {
        *listing =
            Listing { page_shards, order, children, hollow, date_ahead, ..Listing::default() };
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
    fake.name(plan.ids);
    if let Some(shared) = pages.shared {
        fake.share_numbers(shared);
    }
    let stream = fake.add_old_stream("Orders", plan.age);
    for root in &plan.roots {
        let shard = fake.add_old_shard(&stream, None, root.age);
        for &(count, ago) in &root.past {
            fake.write_with(&shard, Writing { count, ago, ..Writing::default() });
        }
    }
}

/// One step upstream.
pub fn take(fake: &FakeUpstream, step: &Step) {
    match step.what {
        Do::Write { shard, count, padding } => {
            write(fake, shard, Writing { count, padding, ..Writing::default() });
        }
        Do::Spoil { shard, kind } => write(fake, shard, Writing { kind, ..Writing::default() }),
        Do::Split { shard, children, close, listed_after, loose } => {
            if let Some(shard) = open(fake, shard) {
                split(fake, &shard, Split { children, close, listed_after }, loose);
            }
        }
        Do::Close { shard } => open(fake, shard).iter().for_each(|shard| fake.close(shard)),
        Do::CloseParents => {
            let stream = fake.newest_stream();
            let family = fake.glance(&stream);
            let is_parent = |shard: &ShardRef| {
                family.iter().any(|child| child.parent.as_ref() == Some(&shard.shard))
            };
            for shard in fake.open_shards(&stream).iter().filter(|shard| is_parent(shard)) {
                fake.close(shard);
            }
        }
        Do::Orphan { shard } => {
            let closed: Vec<_> =
                fake.shards().into_iter().filter(|shard| !fake.is_open(shard)).collect();
            if let Some(shard) = shard.checked_rem(closed.len()).map(|number| &closed[number]) {
                fake.set_unlisted(shard, true);
            }
        }
        Do::Expire { shard } => fake.expire_iterators(&any(fake, shard)),
        Do::Fail { shard, rates } => {
            fake.behave(&any(fake, shard), |behaviour| behaviour.faults = rates)
        }
        Do::FailAll { rates } => fake.behave_all(|behaviour| behaviour.faults = rates),
        Do::FailListings { rates } => fake.listing(|listing| listing.faults = rates),
        Do::Hang { shard } => {
            // A hanging call is given up by the transport in the end, as the SDK does.
            let hang = Fault::Timeout(Duration::from_secs(45));
            fake.script(&any(fake, shard), Operation::GetRecords, [Answer::Fail(hang)]);
        }
        Do::Hide { shard, lasts } => fake.hide(&any(fake, shard), lasts),
        Do::Recreate { same_id } => recreate(fake, same_id),
        Do::Disable => fake.begin_disable(&fake.newest_stream()),
        Do::Disabled => {
            // One at a time: a later one has begun to close later, and its children may not be
            // listed yet.
            let streams = fake.truth().streams.into_iter().map(|stream| stream.arn);
            let closing = |stream: &_| fake.status(stream) == Some(StreamStatus::Disabling);
            if let Some(stream) = streams.into_iter().find(closing) {
                // Nothing is added to a stream that is disabled, nor to its listing.
                fake.list_all(&stream);
                fake.set_status(&stream, StreamStatus::Disabled);
            }
        }
        Do::Delete => fake.delete_stream(&fake.newest_stream()),
        Do::Enable => {
            let stream = fake.add_stream("Orders");
            fake.set_status(&stream, StreamStatus::Enabling);
        }
        Do::Enabled { roots } => {
            let stream = fake.newest_stream();
            fake.set_status(&stream, StreamStatus::Enabled);
            for _ in 0..roots {
                fake.add_shard(&stream, None);
            }
        }
        _ => unreachable!("the driver takes what clients do"),
    }
}

/// Everything works from now on, and no page, of records or of a listing, is so short that the call
/// budget decides when a reader arrives.
pub fn calm(fake: &FakeUpstream) {
    fake.listing(|listing| {
        (listing.faults, listing.hollow, listing.page_shards) = (Rates::NONE, 0.0, 100)
    });
    fake.behave_all(|behaviour| {
        behaviour.faults = Rates::NONE;
        behaviour.empties.chance = 0.0;
        behaviour.page_records = 1_000;
    });
}

fn write(fake: &FakeUpstream, shard: usize, writing: Writing) {
    if let Some(shard) = open(fake, shard) {
        fake.write_with(&shard, writing);
    }
}

fn split(fake: &FakeUpstream, shard: &ShardRef, split: Split, loose: bool) {
    if loose {
        // No shard has more than two, in all.
        let children = split.children.min(2 - fake.children(shard).len());
        fake.split(shard, Split { children, ..split });
        return;
    }
    let family = fake.glance(&shard.stream);
    // A shard that is open and has children can still be written to, but gets no more of them.
    let has_children = family.iter().any(|other| other.parent.as_ref() == Some(&shard.shard));
    if has_children || depth(&family, shard) >= DEPTH || family.len() + split.children > SHARDS {
        return;
    }
    // No child is listed before its parent.
    let parent =
        family.iter().find(|known| known.name == *shard).expect("a shard of the fake").listed_from;
    let listed_after = split.listed_after.max(parent.saturating_sub(fake.now()));
    fake.split(shard, Split { listed_after, ..split });
}

fn depth(family: &[ShardGlance], shard: &ShardRef) -> usize {
    let parent = |id: &ShardId| family.iter().find(|known| known.name.shard == *id)?.parent.clone();
    std::iter::successors(Some(shard.shard.clone()), parent).count()
}

/// The newest stream begins to close, and the table gets another.
fn recreate(fake: &FakeUpstream, same_id: bool) {
    let newest = fake.newest_stream();
    fake.begin_disable(&newest);
    let first =
        fake.shards().into_iter().find(|shard| shard.stream == newest).expect("its first shard");
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

/// An open shard of the newest stream; the shards of older ones are closed.
fn open(fake: &FakeUpstream, shard: usize) -> Option<ShardRef> {
    let stream = fake.newest_stream();
    // What is gone is written to no more.
    fake.status(&stream)?;
    let open = fake.open_shards(&stream);
    open.get(shard.checked_rem(open.len())?).cloned()
}
