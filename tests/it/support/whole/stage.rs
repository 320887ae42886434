//! The upstream's side of a plan.

use std::time::Duration;

use shardstream::model::{ShardId, StreamArn, StreamStatus};
use shardstream::upstream::Operation;

use super::super::fake::{
    Answer, EntryKind, FakeUpstream, Fault, Listing, Rates, ShardGlance, ShardRef, Split, Writing,
};
use super::plan::{Do, Plan, Step};

/// No shard has more ancestors.
const DEPTH: usize = 8;

/// No stream has more shards.
const SHARDS: usize = 200;

/// What there is before the beginning.
pub fn set(plan: &Plan, fake: &FakeUpstream) {
    let (pages, (page_shards, order, children)) = (plan.pages, plan.listing);
    fake.set_traits(|traits| {
        (traits.at_timestamp, traits.child_shards) = (pages.at_timestamp, plan.child_shards);
        traits.grain = Duration::from_secs(pages.grain.max(1));
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
    // Empty pages come in the middle of every third.
    let hollow = if plan.seed.is_multiple_of(3) { 0.3 } else { 0.0 };
    fake.listing(|listing| *listing = Listing { page_shards, order, children, hollow, ..Listing::default() });
    fake.name(plan.ids);
    if let Some(shared) = pages.shared {
        fake.share_numbers(shared);
    }
    let oldest = plan.roots.iter().map(|root| root.age).max().unwrap_or_default();
    let stream = fake.add_old_stream("Orders", oldest);
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
            if let Some(shard) = open(fake, shard) {
                fake.write_with(&shard, Writing { count, padding, ..Writing::default() });
            }
        }
        Do::Spoil { shard } => {
            if let Some(shard) = open(fake, shard) {
                fake.write_with(&shard, Writing { kind: EntryKind::Unreadable, ..Writing::default() });
            }
        }
        Do::Split { shard, children, close, listed_after } => split(fake, shard, children, close, listed_after),
        Do::Close { shard } => {
            if let Some(shard) = open(fake, shard) {
                fake.close(&shard);
            }
        }
        Do::CloseParents => {
            let stream = newest(fake);
            let family = fake.glance(&stream);
            let is_parent = |shard: &ShardRef| family.iter().any(|child| child.parent.as_ref() == Some(&shard.shard));
            for shard in fake.open_shards(&stream).iter().filter(|shard| is_parent(shard)) {
                fake.close(shard);
            }
        }
        Do::Orphan { shard } => {
            let closed: Vec<_> = fake.shards().into_iter().filter(|shard| !fake.is_open(shard)).collect();
            if let Some(shard) = shard.checked_rem(closed.len()).map(|number| &closed[number]) {
                fake.set_unlisted(shard, true);
            }
        }
        Do::Expire { shard } => fake.expire_iterators(&any(fake, shard)),
        Do::Fail { listings: true, rates } => fake.listing(|listing| listing.faults = rates),
        Do::Fail { listings: false, rates } => fake.behave_all(|behaviour| behaviour.faults = rates),
        Do::Hang { shard } => {
            let hang = Fault::Timeout(Duration::from_secs(45));
            fake.script(&any(fake, shard), Operation::GetRecords, [Answer::Fail(hang)]);
        }
        Do::Disable => fake.begin_disable(&newest(fake)),
        Do::Disabled => {
            let stream = newest(fake);
            // Nothing is added to a stream that is disabled, nor to its listing.
            fake.list_all(&stream);
            fake.set_status(&stream, StreamStatus::Disabled);
        }
        Do::Delete => fake.delete_stream(&newest(fake)),
        Do::Enable => {
            let stream = fake.add_stream("Orders");
            fake.set_status(&stream, StreamStatus::Enabling);
        }
        Do::Enabled { roots } => {
            let stream = newest(fake);
            fake.set_status(&stream, StreamStatus::Enabled);
            for _ in 0..roots {
                fake.add_shard(&stream, None);
            }
        }
        _ => unreachable!("the driver takes what clients do"),
    }
}

/// Everything works from now on, and no page, of records or of a listing, is so short that the call budget decides when a reader
/// arrives.
pub fn calm(fake: &FakeUpstream) {
    fake.listing(|listing| (listing.faults, listing.hollow, listing.page_shards) = (Rates::NONE, 0.0, 100));
    fake.behave_all(|behaviour| {
        behaviour.faults = Rates::NONE;
        behaviour.empties.chance = 0.0;
        behaviour.page_records = 1_000;
    });
}

fn split(fake: &FakeUpstream, shard: usize, children: usize, close: bool, listed_after: Duration) {
    let Some(shard) = open(fake, shard) else { return };
    let family = fake.glance(&shard.stream);
    // A shard that is open and has children can still be written to, but gets no more of them.
    let has_children = family.iter().any(|other| other.parent.as_ref() == Some(&shard.shard));
    if has_children || depth(&family, &shard) >= DEPTH || family.len() + children > SHARDS {
        return;
    }
    // No child is listed before its parent.
    let parent = family.iter().find(|known| known.name == shard).expect("a shard of the fake").listed_from;
    let listed_after = listed_after.max(parent.saturating_sub(fake.now()));
    fake.split(&shard, Split { children, close, listed_after });
}

fn depth(family: &[ShardGlance], shard: &ShardRef) -> usize {
    let parent = |id: &ShardId| family.iter().find(|known| known.name.shard == *id)?.parent.clone();
    std::iter::successors(Some(shard.shard.clone()), parent).count()
}

fn newest(fake: &FakeUpstream) -> StreamArn {
    fake.newest_stream()
}

fn any(fake: &FakeUpstream, shard: usize) -> ShardRef {
    let shards = fake.shards();
    shards[shard % shards.len()].clone()
}

fn open(fake: &FakeUpstream, shard: usize) -> Option<ShardRef> {
    let stream = newest(fake);
    // What is gone is written to no more.
    fake.status(&stream)?;
    let open = fake.open_shards(&stream);
    open.get(shard.checked_rem(open.len())?).cloned()
}
