//! Detects the tip of a shard from responses: AWS returns empty pages anywhere, so one empty page
//! proves nothing. Pure.

use std::time::{Duration, Instant};

use crate::model::{Now, Timestamp};

/// Consecutive empty responses after which a new iterator counts as being at the tip (AWS documents
/// no number; bloop measured four to five).
pub const EMPTIES_TO_TIP: u32 = 5;

/// The first pause between polls of a shard that has nothing new; doubles up to the configured
/// interval.
const FIRST_IDLE: Duration = Duration::from_millis(250);

/// A lane that has not read for this long plus a turn, or whose newest record was older than that
/// when its page was requested, is not at the tip but still catching up.
const NEWS: Duration = Duration::from_secs(10);

/// What the newest responses say of the tip. One empty page alone is no tip.
#[derive(Clone, Debug, Default)]
pub struct Tip {
    /// Consecutive empty responses since the last record or since the iterator was opened.
    pub empties: u32,
    /// How many responses in a row were at the tip.
    pub rests: u32,
    /// There were enough empty responses in a row since the iterator was opened, and nothing since
    /// shows that reading fell behind: from now on one empty response is enough.
    pub earned: bool,
    /// The newest response; `None`: none came.
    pub newest: Option<Response>,
}

/// When a page was requested and came.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// When it was requested.
    pub asked: Instant,
    /// When it arrived.
    pub came: Now,
    /// The slower of two clocks for it: ours when it was requested, AWS's when it responded.
    pub clock: Timestamp,
}

/// What one page says of the tip.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// The page was empty.
    pub is_empty: bool,
    /// The newest creation time among its entries that were not dropped.
    pub newest: Option<Timestamp>,
    /// Entries were dropped because of their time: a search is still under way.
    pub dropped: bool,
    /// When the page was requested.
    pub asked: Now,
    /// AWS's clock when it responded, if the response has a `Date`.
    pub date: Option<Timestamp>,
}

impl Tip {
    /// The tip after one more page. `turn`: how long a lane may have to wait for its turn while
    /// other lanes read, too.
    pub fn after(&self, page: Sign, now: Now, turn: Duration) -> Self {
        let pause =
            self.newest.map(|newest| page.asked.at.saturating_duration_since(newest.came.at));
        // After a long pause, or while reading old records, the lane may have fallen behind: there
        // are empty pages in the middle of a shard, too.
        let was_here = pause.is_some_and(|pause| pause < turn + NEWS);
        let is_new = page.newest.is_none_or(|newest| page.asked.wall.since(newest) < turn + NEWS);
        let before = if was_here { self.empties } else { 0 };
        let empties = if page.is_empty { before + 1 } else { 0 };
        let earned =
            empties >= EMPTIES_TO_TIP || self.earned && was_here && is_new && !page.dropped;
        let clock = slower(page.asked.wall, page.date);
        let newest = Some(Response { asked: page.asked.at, came: now, clock });
        let tip = Self { empties, rests: 0, earned, newest };
        let rests = if tip.is_reached() { self.rests + 1 } else { 0 };
        Self { rests, ..tip }
    }

    /// When to ask again: at once, or after a pause if nothing new is expected. `None`: nothing was
    /// asked yet.
    pub fn due(&self, longest: Duration) -> Option<Instant> {
        let answered = self.newest?.came.at;
        if !self.is_reached() {
            return Some(answered);
        }
        let doublings = (self.rests - 1).min(16);
        Some(answered + FIRST_IDLE.saturating_mul(1 << doublings).min(longest))
    }

    /// Whether the newest responses say that nothing newer exists.
    pub fn is_reached(&self) -> bool {
        self.empties >= if self.earned { 1 } else { EMPTIES_TO_TIP }
    }
}

/// The time that had passed by both clocks: ours when a call was made, and AWS's when it responded.
pub fn slower(asked: Timestamp, date: Option<Timestamp>) -> Timestamp {
    date.map_or(asked, |date| date.min(asked))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TURN: Duration = Duration::from_secs(2);

    /// `pages`: the age in seconds of each page's newest record when it was requested (`None`:
    /// empty page), and how many milliseconds after the previous page it was requested. Returns
    /// whether the tip is reached after each.
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
