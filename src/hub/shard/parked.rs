//! The positions of parked cursors: they found something and have not polled again. Pure.

use std::collections::BTreeMap;

use super::position::ReadPosition;

/// Positions of parked cursors, for progress reports.
#[derive(Debug, Default)]
pub(super) struct Parked {
    positions: BTreeMap<u64, ReadPosition>,
    ids: u64,
}

impl Parked {
    /// None, after a fault: ids are not used again.
    pub(super) fn after_fault(self) -> Self {
        Self { ids: self.ids, ..Self::default() }
    }

    /// Notes the position of a cursor that has no waiter. `None`: the cursor has a waiter again, or
    /// is dropped.
    pub(super) fn park(&mut self, parked: &mut Option<u64>, position: Option<&ReadPosition>) {
        let Some(position) = position else {
            parked.take().inspect(|id| _ = self.positions.remove(id));
            return;
        };
        let id = *parked.get_or_insert_with(|| {
            self.ids += 1;
            self.ids
        });
        self.positions.insert(id, position.clone());
    }

    pub(super) fn count(&self) -> usize {
        self.positions.len()
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = &ReadPosition> {
        self.positions.values()
    }
}
