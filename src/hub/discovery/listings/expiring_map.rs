//! A map that keeps entries for a limited time and in a limited number, dropping the oldest first.
//! Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Entries younger than `lifetime`.
#[derive(Debug)]
pub(super) struct ExpiringMap<K, V> {
    lifetime: Duration,
    most: usize,
    entries: HashMap<K, (Instant, V)>,
    /// Entries in order of arrival; one that was replaced is here twice, and its older occurrence
    /// is ignored.
    order: VecDeque<(Instant, K)>,
}

impl<K: Eq + Hash + Clone, V> ExpiringMap<K, V> {
    /// Keeps each entry for `lifetime`, and at most `most` of them.
    pub(super) fn new(lifetime: Duration, most: usize) -> Self {
        Self { lifetime, most, entries: HashMap::new(), order: VecDeque::new() }
    }

    /// The entry's value, while it is not too old.
    pub(super) fn get(&self, key: &K, now: Instant) -> Option<&V> {
        self.entries
            .get(key)
            .filter(|(at, _)| now.saturating_duration_since(*at) < self.lifetime)
            .map(|(_, value)| value)
    }

    /// Adds or replaces an entry, and drops those that are too old or too many.
    pub(super) fn put(&mut self, key: K, value: V, now: Instant) {
        self.entries.insert(key.clone(), (now, value));
        self.order.push_back((now, key));
        while let Some((at, _)) = self.order.front()
            && (self.order.len() > self.most || now.saturating_duration_since(*at) >= self.lifetime)
        {
            self.drop_oldest();
        }
    }

    /// The number of entries, including expired ones not dropped yet.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Removes an entry.
    pub(super) fn forget(&mut self, key: &K) {
        self.entries.remove(key);
    }

    fn drop_oldest(&mut self) {
        if let Some((at, key)) = self.order.pop_front()
            && self.entries.get(&key).is_some_and(|(newest, _)| *newest == at)
        {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_bounded_and_lasts_no_longer_than_its_life(
            steps in proptest::collection::vec((0u8..40, 0u64..2_000, any::<bool>()), 0..300),
        ) {
            let mut recent = ExpiringMap::new(Duration::from_secs(10), 8);
            let mut now = Instant::now();
            let mut put: HashMap<u8, Instant> = HashMap::new();
            for (key, pause, forget) in steps {
                now += Duration::from_millis(pause);
                if forget {
                    recent.forget(&key);
                    put.remove(&key);
                } else {
                    recent.put(key, now, now);
                    put.insert(key, now);
                }
                prop_assert!(recent.entries.len() <= 8 && recent.order.len() <= 8);
                for key in 0..40 {
                    let found = recent.get(&key, now).copied();
                    prop_assert!(found.is_none() || found == put.get(&key).copied());
                    prop_assert!(found.is_none_or(|at| now - at < Duration::from_secs(10)));
                }
            }
        }
    }

    #[test]
    fn the_oldest_is_given_up_first() {
        let mut recent = ExpiringMap::new(Duration::from_secs(10), 2);
        let now = Instant::now();
        for key in ["a", "b", "c"] {
            recent.put(key, (), now);
        }
        let kept = ["a", "b", "c"].map(|key| recent.get(&key, now).is_some());
        assert_eq!(kept, [false, true, true]);
    }
}
