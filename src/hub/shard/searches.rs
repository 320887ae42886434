//! Remembers how far searches for a time have read where AWS does not help (no AT_TIMESTAMP, or too
//! old for it). A later search for the same or a later time skips what an earlier one passed, even
//! if that lane is gone. Pure.

use crate::encode::LogOffset;
use crate::model::Timestamp;

/// How many search times are remembered.
const MOST: usize = 64;

/// Which entries are known to be older than which search time.
#[derive(Debug, Default)]
pub(super) struct Searches {
    /// Pairs of a time and an order: all entries up to the order were created before the time.
    /// Sorted; both rise.
    passed: Vec<(Timestamp, LogOffset)>,
}

impl Searches {
    /// Notes that all entries up to `order` were created before `time`.
    pub(super) fn pass(&mut self, time: Timestamp, order: LogOffset) {
        if self.reached(time) >= Some(order) {
            return;
        }
        self.passed.retain(|(later, further)| *later < time || *further > order);
        let at = self.passed.partition_point(|(earlier, _)| *earlier < time);
        self.passed.insert(at, (time, order));
        if self.passed.len() > MOST {
            // The entry closest to the horizon is the cheapest to read again.
            self.passed.remove(0);
        }
    }

    /// The order up to which all entries are known to be older than `time`; `None`: unknown.
    pub(super) fn reached(&self, time: Timestamp) -> Option<LogOffset> {
        let known = self.passed.partition_point(|(earlier, _)| *earlier <= time);
        self.passed[..known].last().map(|(_, order)| *order)
    }

    /// Forgets orders up to `order`: AWS can no longer continue reading from there.
    pub(super) fn trim(&mut self, order: LogOffset) {
        self.passed.retain(|(_, further)| *further > order);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::SequenceNumber;

    fn time(seconds: u8) -> Timestamp {
        Timestamp::from_millis(i64::from(seconds) * 1_000).expect("a time")
    }

    fn order(number: u8) -> LogOffset {
        (Some(SequenceNumber::parse(&number.to_string()).expect("a number")), 0)
    }

    proptest! {
        #[test]
        fn what_is_reached_is_the_furthest_that_was_passed_for_no_later_a_time(
            steps in proptest::collection::vec((any::<u8>(), any::<u8>(), 0u8..8), 0..200),
            asked in any::<u8>(),
        ) {
            let (mut searches, mut all) = (Searches::default(), vec![]);
            for (at, number, does) in steps {
                if does == 0 {
                    searches.trim(order(number));
                    all.retain(|(_, passed)| *passed > number);
                } else {
                    searches.pass(time(at), order(number));
                    all.push((at, number));
                }
                prop_assert!(searches.passed.len() <= MOST);
                prop_assert!(searches.passed.is_sorted());
            }
            let furthest =
                all.iter().filter(|(at, _)| *at <= asked).map(|(_, number)| order(*number)).max();
            prop_assert!(searches.reached(time(asked)) <= furthest);
            if searches.passed.len() < MOST {
                prop_assert_eq!(searches.reached(time(asked)), furthest);
            }
        }
    }
}
