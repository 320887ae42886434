//! Whether stalled clients change anything for the others: the same scenario, with and without
//! them.

use std::time::Duration;

use super::{Guarantee, Unstalled, Violation};
use crate::sim::fake::EntryId;
use crate::sim::history::{ClientLog, History, SeenEntry, What};

/// Every record a client saw, and when.
fn seen(log: &ClientLog) -> Vec<(EntryId, Duration)> {
    let batches = log.items.iter().filter_map(|item| match &item.what {
        What::Records(batch) => Some((item.at, batch)),
        _ => None,
    });
    let entries =
        batches.flat_map(|(at, batch)| batch.entries.iter().map(move |entry| (at, entry)));
    let records = entries.filter_map(|(at, entry)| match entry {
        SeenEntry::Record { id, .. } => Some((*id, at)),
        SeenEntry::Bad(_) => None,
    });
    records.collect()
}

/// Every client of the scenario without stalled clients must have seen the same in the other, and
/// not much later.
pub fn compare(with: &History, without: &Unstalled) -> Result<(), Violation> {
    let broken = |what: String| Err(Violation::new(Guarantee::Isolated, None, what));
    for alone in &without.history.clients {
        let Some(beside) = with.clients.iter().find(|log| log.name == alone.name) else {
            return broken(format!("{} is missing beside stalled clients", alone.name));
        };
        let (alone_saw, beside_saw) = (seen(alone), seen(beside));
        for (number, (&(id, at), other)) in alone_saw.iter().zip(beside_saw.iter()).enumerate() {
            let name = &alone.name;
            if other.0 != id {
                return broken(format!(
                    "record {number} of {name} is {:?} beside stalled clients, else {id:?}",
                    other.0
                ));
            }
            if other.1 > at + without.slack {
                return broken(format!(
                    "{name} got {id:?} at {:?} beside stalled clients, else at {at:?}",
                    other.1
                ));
            }
        }
        if alone_saw.len() != beside_saw.len() {
            let (name, beside, alone) = (&alone.name, beside_saw.len(), alone_saw.len());
            return broken(format!(
                "{name} got {beside} records beside stalled clients, else {alone}"
            ));
        }
    }
    Ok(())
}
