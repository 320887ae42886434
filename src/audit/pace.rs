//! How often the same is told: a storm of denials is some lines and a count. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::event::Event;

/// The most different events that are counted apart. Beyond that each is told until some have had
/// their time; the queue bounds those.
const MOST_SORTS: usize = 1_024;

/// Tells the first few of the same events of a while, and counts the others.
#[derive(Debug)]
pub struct Pace {
    most: u32,
    within: Duration,
    sorts: HashMap<Event, Told>,
}

/// What was told of one sort.
#[derive(Debug)]
struct Told {
    since: Instant,
    times: u32,
    /// How often it was not told, and the newest of those.
    withheld: Option<(u64, Event)>,
}

impl Pace {
    /// Tells `most` of the same `within` a while.
    pub fn new(most: u32, within: Duration) -> Self {
        Self { most, within, sorts: HashMap::new() }
    }

    /// `event` if it is to be told.
    pub fn take(&mut self, event: Event, now: Instant) -> Option<Event> {
        let sort = event.sort();
        if self.sorts.len() >= MOST_SORTS && !self.sorts.contains_key(&sort) {
            return Some(event);
        }
        let told = self.sorts.entry(sort).or_insert(Told { since: now, times: 0, withheld: None });
        if told.times < self.most {
            told.times += 1;
            return Some(event);
        }
        let before = told.withheld.take().map_or(0, |(times, _)| times);
        told.withheld = Some((before + 1, event));
        None
    }

    /// All counts, though their while is not over: nothing is counted any more.
    pub fn rest(&mut self) -> Vec<Event> {
        let all = std::mem::take(&mut self.sorts).into_values().filter_map(|told| told.withheld);
        all.map(|(times, newest)| newest.repeated(times)).collect()
    }

    /// The counts whose while is over, and whether there are others.
    pub fn due(&mut self, now: Instant) -> (Vec<Event>, bool) {
        let within = self.within;
        let over = |told: &Told| now.saturating_duration_since(told.since) >= within;
        let due = self.sorts.extract_if(|_, told| over(told));
        let counted = due.filter_map(|(_, told)| told.withheld);
        let counted = counted.map(|(times, newest)| newest.repeated(times)).collect();
        (counted, !self.sorts.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::CallFacts;
    use crate::clock::Clock;

    fn begun() -> Instant {
        Clock::system().now().at
    }

    fn denied(peer: usize) -> Event {
        let call = CallFacts { peer: Some(peer.to_string()), ..CallFacts::default() };
        Event::denied(&call, "read", "orders")
    }

    #[test]
    fn a_storm_is_ten_lines_and_a_count() {
        let (mut pace, begun) = (Pace::new(10, Duration::from_secs(1)), begun());
        let told = (0..500).filter_map(|_| pace.take(denied(1), begun)).count();
        assert_eq!(told, 10);
        assert_eq!(pace.take(denied(2), begun), Some(denied(2)), "of another, another");
        let early = begun + Duration::from_millis(999);
        assert_eq!(pace.due(early), (vec![], true));
        let later = begun + Duration::from_secs(1);
        assert_eq!(pace.due(later), (vec![denied(1).repeated(490)], false));
        assert_eq!(pace.take(denied(1), later), Some(denied(1)), "the next second");
    }

    #[test]
    fn at_the_end_all_counts_are_told_and_nothing_is_told_twice() {
        let (mut pace, begun) = (Pace::new(1, Duration::from_secs(60)), begun());
        for _ in 0..5 {
            pace.take(denied(1), begun);
        }
        pace.take(denied(2), begun);
        assert_eq!(pace.rest(), [denied(1).repeated(4)]);
        assert_eq!(pace.rest(), []);
    }

    #[test]
    fn whoever_is_always_another_fills_no_memory() {
        let (mut pace, begun) = (Pace::new(10, Duration::from_secs(1)), begun());
        for peer in 0..10 * MOST_SORTS {
            assert!(pace.take(denied(peer), begun).is_some());
        }
        assert_eq!(pace.sorts.len(), MOST_SORTS);
        assert_eq!(pace.due(begun + Duration::from_secs(1)), (vec![], false));
    }
}
