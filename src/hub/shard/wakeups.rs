//! Which waiters an upstream response wakes: those for whom another poll may find something else.
//! Pure.
//!
//! An idle shard is read again and again, thousands may wait at its tip, and most responses change
//! nothing for any of them.

/// Which waiters have to poll again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wakeups {
    /// All waiters.
    All,
    /// The waiters with these wake handle ids.
    These(Vec<u64>),
}

impl Default for Wakeups {
    fn default() -> Self {
        Self::These(vec![])
    }
}

impl Wakeups {
    pub(super) fn add(&mut self, id: Option<u64>) {
        if let (Self::These(ids), Some(id)) = (self, id) {
            ids.push(id);
        }
    }

    pub(super) fn each_once(mut self) -> Self {
        if let Self::These(ids) = &mut self {
            ids.sort_unstable();
            ids.dedup();
        }
        self
    }
}
