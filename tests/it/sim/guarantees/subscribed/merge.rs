//! BY_TIME: of the heads that can be seen the oldest comes first.

use std::collections::HashMap;
use std::time::Duration;

use super::Evidence;
use super::standing::Standing;
use super::world::World;
use crate::sim::fake::{Asked, HIDDEN, Outcome};
use crate::sim::history::subscribed::Wish;

/// A merge that waits less long may overtake a shard that is being read.
const PATIENT: Duration = Duration::from_secs(5);

/// As much of a run as the order depends on.
pub struct Merge<'a> {
    pub wish: &'a Wish,
    pub standing: &'a Standing,
    pub opened: &'a HashMap<usize, Duration>,
}

/// Whether an entry is delivered before an older one that the server must have known to be another
/// shard's next.
pub fn in_turn(
    evidence: &Evidence,
    world: &World,
    at: Duration,
    (shard, index): (usize, usize),
    merge: Merge,
) -> Result<(), String> {
    let reading = evidence.reading;
    if !merge.wish.by_time || merge.wish.merge_wait < PATIENT || !reading.calm {
        return Ok(());
    }
    let created = world.shard(shard).entries[index].stamp;
    // What was written later than the last look at a shard that was at its tip is not known yet.
    let hidden = if reading.false_empties { HIDDEN } else { Duration::ZERO };
    let known =
        at.saturating_sub(2 * reading.idle + 4 * reading.latency + Duration::from_secs(1) + hidden);
    for other in merge.opened.keys().copied().filter(|other| *other != shard) {
        let truth = world.shard(other);
        let Some(next) = merge.standing.place(world, other).next(truth, at) else { continue };
        let Some(head) = truth.entries.get(next) else { continue };
        let read = head.written <= known && head.trimmed.is_none_or(|trimmed| trimmed > at);
        let waits = || {
            has_waited(evidence, other, next, at, &merge)
                || has_no_turn(evidence, other, at, &merge)
        };
        if read && head.stamp < created && !waits() {
            return Err(format!(
                "entry {index} of shard {shard} of {created:?} comes before entry {} of shard {other} of {:?}",
                head.id.index, head.stamp
            ));
        }
    }
    Ok(())
}

/// The shard has held the merge for as long as it may: all that time something before its next
/// entry was still being read, and nobody got as far as that.
fn has_waited(evidence: &Evidence, shard: usize, next: usize, at: Duration, merge: &Merge) -> bool {
    let truth = &evidence.truth.shards[shard];
    let since = at.saturating_sub(merge.wish.merge_wait);
    let mut behind = false;
    for call in evidence.truth.calls.iter().filter(|call| call.shard.as_ref() == Some(&truth.name))
    {
        let (Asked::Records { index, .. }, Outcome::Page { entries, .. }) =
            (&call.asked, &call.outcome)
        else {
            continue;
        };
        let Some(ended) = call.ended.filter(|ended| *ended <= at) else { continue };
        if (*index..index + entries).contains(&next) {
            return false;
        }
        behind |= ended >= since && *entries > 0 && *index < next;
    }
    behind && merge.opened.get(&shard).is_some_and(|opened| *opened <= since)
}

/// More clients read the shard than it has lanes, and for all the time that the merge may be held
/// it was read for others: whoever lost its page to them waits for its turn longer than that.
fn has_no_turn(evidence: &Evidence, shard: usize, at: Duration, merge: &Merge) -> bool {
    let name = &evidence.truth.shards[shard].name;
    let since = at.saturating_sub(merge.wish.merge_wait);
    let calls = evidence.truth.calls.iter().filter(|call| call.shard.as_ref() == Some(name));
    let calls = calls.filter(|call| (since..=at).contains(&call.started)).count();
    // Nobody looks at a shard that has nothing new so often.
    let busy = calls as u64 >= 2 * merge.wish.merge_wait.as_secs();
    busy && evidence.history.subscribers.len() > evidence.bounds.lanes
}
