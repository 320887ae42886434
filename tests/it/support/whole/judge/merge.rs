//! BY_TIME: of the heads that can be seen the oldest comes first.

use std::collections::HashMap;
use std::time::Duration;

use super::super::history::Wish;
use super::Evidence;
use super::standing::Standing;
use super::world::World;

/// A merge that waits less long may overtake a shard that is being read.
const PATIENT: Duration = Duration::from_secs(5);

/// As much of a run as the order depends on.
pub struct Merge<'a> {
    pub wish: &'a Wish,
    pub standing: &'a Standing,
    pub opened: &'a HashMap<usize, Duration>,
}

/// Whether an entry is delivered before an older one that the server must have known to be another shard's next.
pub fn in_turn(
    evidence: &Evidence,
    world: &World,
    at: Duration,
    (shard, index): (usize, usize),
    merge: Merge,
) -> Result<(), String> {
    let reading = evidence.reading;
    if !merge.wish.by_time || merge.wish.merge_wait < PATIENT || !reading.calm || reading.false_empties {
        return Ok(());
    }
    let created = world.shard(shard).entries[index].created_at;
    // What was written later than the last look at a shard that was at its tip is not known yet.
    let known = at.saturating_sub(2 * reading.idle + 4 * reading.latency + Duration::from_secs(1));
    for other in merge.opened.keys().copied().filter(|other| *other != shard) {
        let truth = world.shard(other);
        let Some(head) = merge.standing.place(world, other).next(truth, at).and_then(|next| truth.entries.get(next))
        else {
            continue;
        };
        let read = head.written <= known && head.trimmed.is_none_or(|trimmed| trimmed > at);
        if read && head.created_at < created && !truth.false_tip {
            return Err(format!(
                "entry {index} of shard {shard} of {created} comes before entry {} of shard {other} of {}",
                head.id.index, head.created_at
            ));
        }
    }
    Ok(())
}
