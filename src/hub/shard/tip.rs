//! Where the end of a shard is, as far as answers can say: AWS answers empty pages anywhere. Pure.

use std::time::{Duration, Instant};

use crate::model::{Now, Timestamp};

/// Empty answers in a row after which a place that is new counts as the tip (AWS documents no
/// number; bloop measured four to five).
pub const EMPTIES_TO_TIP: u32 = 5;

/// Who has not asked for this long and a turn, or reads a record so much older than the question
/// for it, is not at the tip, but on the way to it.
const NEWS: Duration = Duration::from_secs(10);

/// What the newest answers said. One empty page alone is no tip.
#[derive(Clone, Debug, Default)]
pub struct Tip {
    /// Empty answers since the last record or since the iterator was opened.
    pub empties: u32,
    /// How many of them came at the tip.
    pub rests: u32,
    /// Enough came in a row since the iterator was opened, and nothing since then says that reading
    /// fell behind: from now on one is enough.
    pub earned: bool,
    /// When the newest answer was asked for.
    pub asked: Option<Instant>,
    /// When it came.
    pub answered: Option<Now>,
    /// The slower clock of it: ours when it was asked for, or AWS's when it answered.
    pub clock: Option<Timestamp>,
}

/// What a page says of the tip.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// It held nothing.
    pub is_empty: bool,
    /// The newest creation among what it held and was not dropped.
    pub newest: Option<Timestamp>,
    /// It held what was dropped for its time: a search is on its way.
    pub dropped: bool,
    /// When it was asked for.
    pub asked: Now,
    /// AWS's clock when it answered, if the answer says it.
    pub date: Option<Timestamp>,
}

impl Tip {
    /// What is known after one more page. `turn`: how long a turn at reading may take while others
    /// read, too.
    pub fn after(&self, page: Sign, now: Now, turn: Duration) -> Self {
        let pause = self.answered.map(|answer| page.asked.at.saturating_duration_since(answer.at));
        // What was not asked for a while, or reads what is old, may have fallen behind: there are
        // empty pages in the middle of a shard, too.
        let was_here = pause.is_some_and(|pause| pause < turn + NEWS);
        let is_new = page.newest.is_none_or(|newest| page.asked.wall.since(newest) < turn + NEWS);
        let before = if was_here { self.empties } else { 0 };
        let empties = if page.is_empty { before + 1 } else { 0 };
        let earned =
            empties >= EMPTIES_TO_TIP || self.earned && was_here && is_new && !page.dropped;
        let clock = Some(slower(page.asked.wall, page.date));
        let tip = Self {
            empties,
            rests: 0,
            earned,
            asked: Some(page.asked.at),
            answered: Some(now),
            clock,
        };
        let rests = if tip.is_reached() { self.rests + 1 } else { 0 };
        Self { rests, ..tip }
    }

    /// The newest answers say that nothing newer is there.
    pub fn is_reached(&self) -> bool {
        self.empties >= if self.earned { 1 } else { EMPTIES_TO_TIP }
    }
}

/// What both clocks agree is past: ours when a call was made, and AWS's when it answered.
pub fn slower(asked: Timestamp, date: Option<Timestamp>) -> Timestamp {
    date.map_or(asked, |date| date.min(asked))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TURN: Duration = Duration::from_secs(2);

    /// Pages by what they held (`None`: nothing; else how old the newest was when it was asked for)
    /// and how long after the one before they were asked for: whether the tip is reached after
    /// each.
    fn tips(pages: &[(Option<u64>, u64)]) -> Vec<bool> {
        let (start, wall) =
            (Instant::now(), Timestamp::from_millis(1_700_000_000_000).expect("a time"));
        let mut tip = Tip::default();
        let mut at = Duration::ZERO;
        let mut reached = vec![];
        for &(age, pause) in pages {
            at += Duration::from_millis(pause);
            let now = Now { at: start + at, wall: wall.plus(at) };
            let newest = age.map(|age| now.wall.minus(Duration::from_secs(age)));
            tip = tip.after(
                Sign { is_empty: age.is_none(), newest, dropped: false, asked: now, date: None },
                now,
                TURN,
            );
            reached.push(tip.is_reached());
        }
        reached
    }

    #[test]
    fn five_empty_answers_earn_it_and_one_keeps_it() {
        let (nothing, news) = ((None, 200), (Some(1), 200));
        assert_eq!(tips(&[nothing; 6]), [false, false, false, false, true, true]);
        let pages = [[nothing; 5].to_vec(), vec![news, nothing, news, nothing]].concat();
        assert_eq!(tips(&pages)[4..], [true, false, true, false, true]);
        let away = [[nothing; 5].to_vec(), vec![(Some(1), 13_000), nothing]].concat();
        assert_eq!(tips(&away)[5..], [false, false], "not asked for a while");
        let back = [[nothing; 8].to_vec(), vec![(None, 13_000)], [nothing; 4].to_vec()].concat();
        assert_eq!(
            tips(&back)[8..],
            [false, false, false, false, true],
            "nor is what it said before worth anything"
        );
        let behind = [[nothing; 5].to_vec(), vec![(Some(60), 200), nothing]].concat();
        assert_eq!(tips(&behind)[5..], [false, false], "it reads what is old");
    }

    proptest! {
        #[test]
        fn what_reads_the_past_needs_five_in_a_row(
            pages in proptest::collection::vec((proptest::option::of(12u64..90_000), 1u64..20_000), 0..60),
        ) {
            let reached = tips(&pages);
            let mut row = 0;
            for (at, (age, pause)) in pages.iter().enumerate() {
                let before = if *pause < 12_000 { row } else { 0 };
                row = if age.is_none() { before + 1 } else { 0 };
                prop_assert_eq!(reached[at], row >= 5);
            }
        }
    }
}
