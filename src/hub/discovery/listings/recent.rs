//! What is remembered for a while: so long, so many, the oldest given up first. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Answers of the last few seconds.
#[derive(Debug)]
pub struct Recent<K, V> {
    lifetime: Duration,
    most: usize,
    entries: HashMap<K, (Instant, V)>,
    /// In the order in which they came; one that came again is here twice, and its older place
    /// counts for nothing.
    order: VecDeque<(Instant, K)>,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    /// Each is remembered for `lifetime`, and `most` of them at one time.
    pub fn new(lifetime: Duration, most: usize) -> Self {
        Self { lifetime, most, entries: HashMap::new(), order: VecDeque::new() }
    }

    /// What is remembered of it.
    pub fn get(&self, key: &K, now: Instant) -> Option<&V> {
        self.entries
            .get(key)
            .filter(|(at, _)| now.saturating_duration_since(*at) < self.lifetime)
            .map(|(_, value)| value)
    }

    /// Remembers it from now on.
    pub fn put(&mut self, key: K, value: V, now: Instant) {
        self.entries.insert(key.clone(), (now, value));
        self.order.push_back((now, key));
        while let Some((at, _)) = self.order.front()
            && (self.order.len() > self.most || now.saturating_duration_since(*at) >= self.lifetime)
        {
            self.drop_oldest();
        }
    }

    /// How many there are, with those that are only not yet given up.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets it.
    pub fn forget(&mut self, key: &K) {
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
            let mut recent = Recent::new(Duration::from_secs(10), 8);
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
        let mut recent = Recent::new(Duration::from_secs(10), 2);
        let now = Instant::now();
        for key in ["a", "b", "c"] {
            recent.put(key, (), now);
        }
        let kept = ["a", "b", "c"].map(|key| recent.get(&key, now).is_some());
        assert_eq!(kept, [false, true, true]);
    }
}
