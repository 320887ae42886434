//! What has one task of its own for as long as anybody follows it: shards that are read, and
//! streams under discovery.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Something that is followed, and has a task.
pub(super) trait Followed {
    /// Its name.
    type Key: Clone + Eq + Hash;
    /// What a follower holds.
    type Handle;

    /// Its name.
    fn key(&self) -> &Self::Key;

    /// One follower more.
    fn follow(self: &Arc<Self>) -> Self::Handle;

    /// Whether it has followers.
    fn is_followed(&self) -> bool;
}

/// All of one kind, by name.
pub(super) struct Registry<T: Followed> {
    /// Held for lookups only, never across an await.
    followed: Mutex<HashMap<T::Key, Arc<T>>>,
}

impl<T: Followed> Default for Registry<T> {
    fn default() -> Self {
        Self { followed: Mutex::default() }
    }
}

impl<T: Followed> Registry<T> {
    /// Follows what has this name. If there is none, `make`, told how many there are, makes it, and
    /// it is returned beside the handle: its task is to be started.
    pub(super) fn follow<E>(
        &self,
        key: &T::Key,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<(T::Handle, Option<Arc<T>>), E> {
        let mut followed = self.followed.lock();
        if let Some(known) = followed.get(key) {
            return Ok((known.follow(), None));
        }
        let made = Arc::new(make(followed.len())?);
        followed.insert(key.clone(), made.clone());
        Ok((made.follow(), Some(made)))
    }

    /// Forgets one without followers, and does `also` before anybody can follow it anew; `false` if
    /// a new follower came in the meantime.
    pub(super) fn retire(&self, ended: &T, also: impl FnOnce()) -> bool {
        let mut followed = self.followed.lock();
        let retires = !ended.is_followed();
        if retires {
            followed.remove(ended.key());
            also();
        }
        retires
    }

    /// What has this name.
    pub(super) fn get(&self, key: &T::Key) -> Option<Arc<T>> {
        self.followed.lock().get(key).cloned()
    }

    /// A handle on what has this name, if there is any.
    pub(super) fn handle(&self, key: &T::Key) -> Option<T::Handle> {
        self.followed.lock().get(key).map(T::follow)
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.followed.lock().values().cloned().collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.followed.lock().len()
    }
}
