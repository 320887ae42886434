//! Who waits in a shard's flow, to be rung for when an answer concerns them and left alone when it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::chime::Chime;
use super::stir::Stirred;

/// How somebody is rung for.
#[derive(Clone, Debug)]
pub enum Ear {
    /// Who follows this shard alone.
    Bell(Arc<Notify>),
    /// Who follows many shards, and at which slot of theirs this one is.
    Chime(Arc<Chime>, u32),
}

/// All who listen at a shard, in the order in which they came; as many as it has cursors.
#[derive(Debug, Default)]
pub struct Ears {
    listening: Mutex<BTreeMap<u64, Ear>>,
}

impl Ear {
    fn ring(&self) {
        match self {
            Self::Bell(bell) => bell.notify_one(),
            Self::Chime(chime, slot) => chime.ring(*slot),
        }
    }
}

impl Ears {
    /// Rings for `ear` from now on until [`Self::remove`] with the number that is given.
    pub fn add(&self, ear: Ear) -> u64 {
        let mut listening = self.listening.lock();
        let id = listening.last_key_value().map_or(0, |(last, _)| last + 1);
        listening.insert(id, ear);
        id
    }

    /// Rings no more.
    pub fn remove(&self, id: u64) {
        self.listening.lock().remove(&id);
    }

    /// How many listen.
    pub fn count(&self) -> usize {
        self.listening.lock().len()
    }

    /// Rings for those who are concerned.
    pub fn ring(&self, stirred: &Stirred) {
        let listening = self.listening.lock();
        match stirred {
            Stirred::All => listening.values().for_each(Ear::ring),
            Stirred::These(ears) => ears.iter().filter_map(|ear| listening.get(ear)).for_each(Ear::ring),
        }
    }
}
