//! Whom an answer concerns: of all who wait in a shard, those who may find something else when they look again. Pure.
//!
//! An idle shard is asked again and again, thousands may wait at its tip, and most answers change nothing for any of them.

use super::shard::{Shard, Want};

/// Who has to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stirred {
    /// Whoever listens.
    All,
    /// Those who listen under these numbers.
    These(Vec<u64>),
}

impl Default for Stirred {
    fn default() -> Self {
        Self::These(vec![])
    }
}

impl Stirred {
    pub(super) fn add(&mut self, ear: Option<u64>) {
        if let (Self::These(ears), Some(ear)) = (self, ear) {
            ears.push(ear);
        }
    }
}

impl Shard {
    /// Who waits under `want` listens under `ear`.
    pub fn hear(&mut self, want: Option<u64>, ear: Option<u64>) {
        if let Some(want) = want.and_then(|id| self.wants.get_mut(&id)) {
            want.ear = ear;
        }
    }

    /// Who has to look again because of what happened since the last call, each named once.
    pub fn take_stirred(&mut self) -> Stirred {
        let mut stirred = std::mem::take(&mut self.stirred);
        if let Stirred::These(ears) = &mut stirred {
            ears.sort_unstable();
            ears.dedup();
        }
        stirred
    }

    pub(super) fn stir_all(&mut self) {
        self.stirred = Stirred::All;
    }

    /// Those who wait at the lane.
    pub(super) fn stir_at(&mut self, lane: u64) {
        self.stir(|want| want.lane == Some(lane));
    }

    /// Records came in the lane: for those who wait there, for those who wait at no lane, and for those at the end of lanes that
    /// are not as far.
    pub(super) fn stir_up_to(&mut self, lane: u64) {
        let Some(tail) = self.lane(lane).map(|lane| lane.tail) else { return };
        let ahead: Vec<u64> =
            self.lanes.iter().filter(|other| other.id != lane && other.tail >= tail).map(|other| other.id).collect();
        self.stir(|want| want.lane.is_none_or(|lane| !ahead.contains(&lane)));
    }

    fn stir(&mut self, concerns: impl Fn(&Want) -> bool) {
        for want in self.wants.values().filter(|want| concerns(want)) {
            self.stirred.add(want.ear);
        }
    }
}
