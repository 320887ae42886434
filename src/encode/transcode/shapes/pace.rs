//! Whether shapes pay: where records are seldom known, or searched for long, they are let be for a
//! while.
//!
//! Counted in records, so that it holds for pages of one record as for pages of a thousand.

/// After how many records that were tried it is decided again.
const TRIAL: u32 = 256;

/// How long shapes that did not pay are let be, at first and at most, in records.
const FIRST_PAUSE: u64 = 16_384;
const LONGEST_PAUSE: u64 = 1 << 20;

/// How many records may be learned at first; and one more for so many records that were known.
const FIRST_LESSONS: u32 = 256;
const KNOWN_FOR_A_LESSON: u32 = 1_024;

/// How many may be learned after a pause.
const LESSONS_AFTER_PAUSE: u32 = 32;

/// How well it goes.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// So many records are let be from now on.
    pause: u64,
    /// How long the next pause is.
    next_pause: u64,
    /// Of this trial: records tried, and those of them that were not known.
    tried: u32,
    missed: u32,
    /// Of this trial: steps that fitted, and those that did not.
    fitted: u32,
    failed: u32,
    /// How many records may be learned.
    lessons: u32,
    /// Records known since the last lesson was earned.
    known: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: 0,
            next_pause: FIRST_PAUSE,
            tried: 0,
            missed: 0,
            fitted: 0,
            failed: 0,
            lessons: FIRST_LESSONS,
            known: 0,
        }
    }
}

impl Pace {
    /// Whether the next record is tried.
    #[inline]
    pub(super) fn is_tried(&self) -> bool {
        self.pause == 0
    }

    /// Notes records that were not tried.
    pub(super) fn skip(&mut self, records: usize) {
        self.pause = self.pause.saturating_sub(records as u64);
    }

    /// Notes how many steps of a record fitted, and how many did not.
    #[inline]
    pub(super) fn note(&mut self, fitted: u32, failed: u32) {
        self.fitted += fitted;
        self.failed += failed;
    }

    /// Notes what came of a record.
    #[inline]
    pub(super) fn tried(&mut self, was_known: bool) {
        self.tried += 1;
        self.missed += u32::from(!was_known);
        self.known += u32::from(was_known);
        if self.tried >= TRIAL {
            self.decide();
        }
    }

    /// Whether a record may be learned; counts it as learned.
    pub(super) fn may_learn(&mut self) -> bool {
        let left = self.lessons.checked_sub(1);
        self.lessons = left.unwrap_or(0);
        left.is_some()
    }

    #[cold]
    fn decide(&mut self) {
        let is_missing = self.missed > self.tried / 3;
        // About as long a search as costs what the general transcoder does.
        let is_searching = self.failed > self.fitted;
        if is_missing || is_searching {
            self.pause = self.next_pause;
            self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
            self.lessons = self.lessons.max(LESSONS_AFTER_PAUSE);
        } else {
            self.next_pause = FIRST_PAUSE;
            self.lessons = (self.lessons + self.known / KNOWN_FOR_A_LESSON).min(FIRST_LESSONS);
            self.known %= KNOWN_FOR_A_LESSON;
        }
        (self.tried, self.missed, self.fitted, self.failed) = (0, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries so many records; returns how many of them were let be.
    fn paused(pace: &mut Pace, records: usize, is_known: impl Fn(usize) -> bool) -> usize {
        let mut paused = 0;
        for record in 0..records {
            if pace.is_tried() {
                pace.tried(is_known(record));
            } else {
                pace.skip(1);
                paused += 1;
            }
        }
        paused
    }

    #[test]
    fn what_is_hardly_known_is_let_be_ever_longer_and_tried_again() {
        let mut pace = Pace::default();
        let paused_of = paused(&mut pace, 10_000_000, |_| false);
        // Less than two in a thousand are tried for nothing.
        assert!(paused_of > 9_980_000 && paused_of < 10_000_000, "{paused_of}");
        assert!(!pace.is_tried());
        pace.skip(LONGEST_PAUSE as usize);
        assert_eq!(paused(&mut pace, 10_000, |_| true), 0, "and now it is known");
        assert!(paused(&mut pace, 20_000, |_| false) > 15_000);
    }

    #[test]
    fn long_searches_count_too() {
        let mut pace = Pace::default();
        for _ in 0..TRIAL {
            pace.note(50, 60);
            pace.tried(true);
        }
        assert!(!pace.is_tried());
    }

    #[test]
    fn lessons_are_few() {
        let mut pace = Pace::default();
        let mut learned = 0;
        for _ in 0..100_000 {
            // One in four is not known: tried still.
            (0..3).for_each(|_| pace.tried(true));
            pace.tried(false);
            learned += u32::from(pace.may_learn());
        }
        assert!(learned <= 300_000 / KNOWN_FOR_A_LESSON + FIRST_LESSONS, "{learned}");
        assert!(pace.is_tried());
    }
}
