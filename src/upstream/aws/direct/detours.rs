//! Which calls go by way of the SDK although the path is open. Pure.

use std::collections::VecDeque;

/// Failed calls that are remembered: more than a server repeats at a time.
const REMEMBERED: usize = 1_024;

/// Failures in a row, of whichever calls, that are no reason to doubt the path.
const IN_A_ROW: u32 = 8;

/// The most calls that the SDK makes before the path is tried again.
const LONGEST: u32 = 1_024;

/// The calls that failed on the path, so that the SDK repeats them, and how often it failed of
/// late.
///
/// When it only ever fails, it is left for ever longer: what is wrong with it then costs one call
/// in a thousand, and it comes back by itself.
#[derive(Debug, Default)]
pub(super) struct Detours {
    /// Checksums of the iterators of failed calls, oldest first. Two that collide cost nothing but
    /// a call by way of the SDK.
    failed: VecDeque<u32>,
    /// Failures since the last page.
    in_a_row: u32,
    /// Calls that the SDK makes still, whatever they are.
    left: u32,
}

impl Detours {
    /// Whether the call goes by way of the SDK.
    pub(super) fn is_due(&mut self, iterator: &str) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        if self.failed.is_empty() {
            return false;
        }
        let mark = mark(iterator);
        let at = self.failed.iter().position(|failed| *failed == mark);
        at.and_then(|at| self.failed.remove(at)).is_some()
    }

    /// The call came to a page.
    pub(super) fn worked(&mut self) {
        self.in_a_row = 0;
    }

    /// The call came to anything else.
    pub(super) fn failed(&mut self, iterator: &str) {
        if self.failed.len() >= REMEMBERED {
            self.failed.pop_front();
        }
        self.failed.push_back(mark(iterator));
        self.in_a_row = self.in_a_row.saturating_add(1);
        if let Some(doublings) = self.in_a_row.checked_sub(IN_A_ROW) {
            self.left = LONGEST.min(1 << doublings.min(LONGEST.ilog2()));
        }
    }
}

fn mark(iterator: &str) -> u32 {
    crc32fast::hash(iterator.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_repeated_once_by_the_sdk() {
        let mut detours = Detours::default();
        detours.failed("a");
        assert!(!detours.is_due("b"), "another call");
        assert!(detours.is_due("a"));
        assert!(!detours.is_due("a"), "the SDK has had its try");
    }

    #[test]
    fn a_path_that_only_fails_is_hardly_taken() {
        let mut detours = Detours::default();
        let mut tried = 0;
        for call in 0..100_000 {
            let iterator = call.to_string();
            if !detours.is_due(&iterator) {
                tried += 1;
                detours.failed(&iterator);
            }
        }
        assert!((100..130).contains(&tried), "{tried}");
        // And once it works again, it is taken again.
        let mut by_sdk = 0;
        while detours.is_due("next") {
            by_sdk += 1;
        }
        assert!(by_sdk <= LONGEST);
        detours.worked();
        detours.failed("once");
        assert!(!detours.is_due("other"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut detours = Detours::default();
        for call in 0..10_000 {
            detours.failed(&call.to_string());
            detours.worked();
        }
        assert_eq!(detours.failed.len(), REMEMBERED);
        assert!(!detours.is_due("0") && detours.is_due("9999"));
    }
}
