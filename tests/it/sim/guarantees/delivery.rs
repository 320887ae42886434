//! What can be seen in a history by itself: order, and that nothing comes twice.

use std::collections::{HashMap, HashSet};

use super::{Guarantee, Violation};
use crate::sim::fake::EntryId;
use crate::sim::history::{Batch, History, Point, SeenEntry, What};

/// The records of a batch.
fn ids(batch: &Batch) -> impl Iterator<Item = EntryId> {
    batch.entries.iter().filter_map(|entry| match entry {
        SeenEntry::Record { id, .. } => Some(*id),
        SeenEntry::Bad(_) => None,
    })
}

/// Every record handed over, with its run; repeats aside.
fn handed_over(history: &History) -> impl Iterator<Item = (Point, usize, EntryId)> {
    history.items().flat_map(|(point, seen)| {
        let batch = match &seen.what {
            What::Records(batch) | What::LostAnswer(batch) => Some(batch),
            _ => None,
        };
        batch.into_iter().flat_map(move |batch| ids(batch).map(move |id| (point, seen.run, id)))
    })
}

pub fn in_order(history: &History) -> Result<(), Violation> {
    let mut newest: HashMap<(usize, usize), EntryId> = HashMap::new();
    for (point, run, id) in handed_over(history) {
        if let Some(before) = newest.insert((point.client, run), id)
            && (before.shard != id.shard || before.index > id.index)
        {
            return Err(Violation::new(
                Guarantee::Ordered,
                point,
                format!("{id:?} comes after {before:?}"),
            ));
        }
    }
    Ok(())
}

pub fn no_record_twice(history: &History) -> Result<(), Violation> {
    let mut seen = HashSet::new();
    for (point, run, id) in handed_over(history) {
        if !seen.insert((point.client, run, id)) {
            return Err(Violation::new(
                Guarantee::Once,
                point,
                format!("{id:?} comes a second time"),
            ));
        }
    }
    Ok(())
}

pub fn repeats_are_the_same(history: &History) -> Result<(), Violation> {
    for (point, seen) in history.items() {
        let What::Repeat { of, batch } = &seen.what else { continue };
        let first = history.at(*of).map(|seen| &seen.what);
        let same = match first {
            Some(What::Records(first) | What::LostAnswer(first)) => first.entries == batch.entries,
            _ => false,
        };
        if !same {
            return Err(Violation::new(Guarantee::Once, point, format!("it is not what {of} was")));
        }
    }
    Ok(())
}
