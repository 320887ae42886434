//! Plans of whole streams: shards that split and age, streams that end, and subscribers.

use std::time::Duration;

use super::draw::Draw;
use super::*;
use crate::sim::history::subscribed::Until;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A stretch of a plan: it begins, lasts, and then the next one begins.
#[derive(Clone, Copy)]
struct Era {
    begins: Duration,
    lasts: Duration,
}

impl Plan {
    /// Anything may happen.
    pub fn of_streams(seed: u64) -> Self {
        let mut draw = Draw::with_seed(seed ^ 0x0073_7472_6561_6d73);
        let large = seed % 50 == 49;
        let roots = if large { draw.chance.usize(20..80) } else { draw.chance.usize(1..=6) };
        // Shards with a past, so old that some of it is trimmed; then clients; then perhaps days
        // asleep.
        let past = if draw.one_in(2) { HOUR * draw.chance.u32(1..40) } else { draw.within(MINUTE) };
        let past = Era { begins: Duration::ZERO, lasts: past };
        let first = past.next(MINUTE + draw.within(MINUTE * if large { 1 } else { 4 }));
        let asleep = first.next(if draw.one_in(4) { draw.long_sleep() } else { Duration::ZERO });
        let last = asleep.next(MINUTE / 2 + draw.within(MINUTE * 2));
        let busy = if large { 60 } else { 14 };
        draw.stream_writers(past, busy, large);
        draw.stream_writers(first, busy, large);
        draw.stream_writers(asleep, busy, large);
        draw.stream_writers(last, busy / 2, large);
        if draw.one_in(5) {
            for _ in 0..draw.chance.usize(1..4) {
                let at = past.begins + draw.within(past.lasts);
                let shard = draw.chance.usize(0..8);
                draw.step(at, Do::Orphan { shard });
            }
        }
        if draw.one_in(2) {
            draw.trouble(first);
            draw.trouble(last);
        }
        if draw.one_in(4) {
            let era = [first, first, asleep, last][draw.chance.usize(0..4)];
            draw.next_stream(era);
        }
        for client in 0..draw.chance.usize(1..=3) {
            draw.subscriber(client, first, asleep, last);
        }
        let mut pages = draw.pages(seed, &[2, 10, 100, 1_000], 3, 4);
        let orders = [ListingOrder::ById, ListingOrder::Reversed, ListingOrder::Mixed];
        let children = [ChildShards::Known, ChildShards::Ignored, ChildShards::Itself];
        let mut listings = Listings {
            shards: [100, 100, 3, 10][draw.chance.usize(0..4)],
            order: orders[draw.chance.usize(0..3)],
            children: Some(children[draw.chance.usize(0..3)]),
        };
        draw.kills(seed, [first, asleep, last]);
        draw.steps.sort_by_key(|step| step.at);
        let mut ids = if draw.one_in(4) { Ids::Emulator } else { Ids::Aws };
        // Drawn apart, so that what the other seeds are stays what it was.
        if fastrand::Rng::with_seed(seed ^ 0x5c_711a).u8(0..8) == 0 {
            (ids, pages.shared) = (Ids::Alternator, Some(Shared::Blocking));
        }
        if draw.one_in(3) {
            listings.children = None;
        }
        let roots = aged(seed, roots);
        Self {
            seed,
            ids,
            age: roots.iter().map(|root| root.age).max().unwrap_or_default(),
            pages,
            listings,
            idle: Duration::from_secs(if large || draw.one_in(3) { 4 } else { 1 }),
            roots,
            servers: if draw.one_in(4) { 2 } else { 1 },
            steps: draw.steps,
            until: last.begins + last.lasts,
        }
    }
}

/// How old the shards of a seed are at its beginning, and what they hold by then; drawn apart, so
/// that what a seed draws beside them stays what it was.
fn aged(seed: u64, roots: usize) -> Vec<Root> {
    let mut draw = Draw::with_seed(seed ^ 0x0061_6765);
    let young = draw.one_in(2);
    let mut root = || {
        if young || draw.one_in(4) {
            return Root { age: Duration::ZERO, past: Vec::new() };
        }
        let age =
            if draw.one_in(2) { MINUTE + draw.within(HOUR) } else { HOUR + draw.within(HOUR * 24) };
        let mut ages: Vec<_> = (0..draw.chance.usize(0..4)).map(|_| draw.within(age)).collect();
        if age > HOUR * 24 && draw.one_in(2) {
            // Some of it is trimmed soon.
            ages.push(HOUR * 24 - draw.within(MINUTE * 10));
        }
        ages.sort_by(|a, b| b.cmp(a));
        Root { age, past: ages.into_iter().map(|ago| (draw.chance.usize(1..30), ago)).collect() }
    };
    (0..roots).map(|_| root()).collect()
}

impl Era {
    fn next(self, lasts: Duration) -> Self {
        Self { begins: self.begins + self.lasts, lasts }
    }
}

impl Draw {
    /// Less than the time for which a finished shard is remembered.
    fn long_sleep(&mut self) -> Duration {
        if self.one_in(3) { self.within(HOUR * 12) } else { HOUR * 20 + self.within(HOUR * 24) }
    }

    /// Servers that are killed. Drawn apart, so that what a seed draws beside them stays what it
    /// was.
    fn kills(&mut self, seed: u64, eras: [Era; 3]) {
        let mut chance = fastrand::Rng::with_seed(seed ^ 0x006b_696c_6c73);
        if chance.u8(0..3) > 0 {
            return;
        }
        for _ in 0..chance.u8(1..=4) {
            let era = eras[chance.usize(0..3)];
            let at =
                era.begins + Duration::from_millis(chance.u64(0..=era.lasts.as_millis() as u64));
            self.step(at, Do::Kill { server: chance.usize(0..2) });
        }
    }

    fn stream_writers(&mut self, era: Era, busy: usize, large: bool) {
        if era.lasts.is_zero() {
            return;
        }
        for _ in 0..self.chance.usize(1..=busy * 3) {
            let at = era.begins + self.within(era.lasts);
            self.write(at, 200, (10, 30..200), (15, 30_000, 10));
        }
        for _ in 0..self.chance.usize(0..=busy / if large { 2 } else { 3 }) {
            let at = era.begins + self.within(era.lasts);
            let shard = self.chance.usize(0..200);
            let listed_after =
                if self.one_in(3) { self.within(MINUTE + MINUTE / 2) } else { Duration::ZERO };
            let children = if self.one_in(2) { 2 } else { 1 };
            let close = !self.one_in(6);
            self.step(at, Do::Split { shard, children, close, listed_after, loose: false });
            if !close {
                let closes = at + self.within(MINUTE);
                self.step(closes, Do::CloseParents);
            }
        }
        if self.one_in(3) {
            let at = era.begins + self.within(era.lasts);
            let shard = self.chance.usize(0..200);
            self.step(at, Do::Close { shard });
        }
        if self.one_in(5) {
            let at = era.begins + self.within(era.lasts);
            let shard = self.chance.usize(0..200);
            self.step(at, Do::Spoil { shard, kind: EntryKind::Unreadable });
        }
    }

    fn trouble(&mut self, era: Era) {
        for _ in 0..self.chance.usize(0..3) {
            let (at, shard) = (era.begins + self.within(era.lasts), self.chance.usize(0..20));
            self.step(at, Do::Expire { shard });
        }
        for _ in 0..self.chance.usize(0..3) {
            let at = era.begins + self.within(era.lasts);
            let rates = self.rates(20.0);
            let listings = self.one_in(2);
            let fail = |rates: Rates| match listings {
                true => Do::FailListings { rates: Rates { not_found: 0.0, ..rates } },
                false => Do::FailAll { rates },
            };
            self.step(at, fail(rates));
            let lasts = self.within(era.lasts / 3);
            self.step(at + lasts, fail(Rates::NONE));
        }
        if self.one_in(5) {
            let (at, shard) = (era.begins + self.within(era.lasts), self.chance.usize(0..10));
            self.step(at, Do::Hang { shard });
        }
    }

    /// The stream is disabled, or gone with its table; another may come.
    fn next_stream(&mut self, era: Era) {
        let at = era.begins + self.within(era.lasts);
        let over = if self.one_in(3) {
            self.step(at, Do::Delete);
            at
        } else {
            self.step(at, Do::Disable);
            let over = at + self.within(MINUTE / 3);
            self.step(over, Do::Disabled);
            over
        };
        if self.one_in(4) {
            return;
        }
        let enable = over + Duration::from_secs(1) + self.within(MINUTE / 2);
        let enabled = enable + self.within(MINUTE / 6);
        self.step(enable, Do::Enable);
        let roots = self.chance.usize(1..4);
        self.step(enabled, Do::Enabled { roots });
        for _ in 0..self.chance.usize(0..6) {
            let (at, shard, count) =
                (enabled + self.within(MINUTE), self.chance.usize(0..4), self.chance.usize(1..20));
            self.step(at, Do::Write { shard, count, padding: 40 });
        }
    }

    fn subscriber(&mut self, client: usize, first: Era, asleep: Era, last: Era) {
        let at = first.begins + self.within(first.lasts / 3);
        let begin = match self.chance.u32(0..6) {
            0..=2 => Begin::Horizon,
            3 => Begin::Latest,
            _ => {
                let span = if self.one_in(2) { first.begins } else { MINUTE * 5 };
                Begin::Ago(self.within(span))
            }
        };
        let habits = self.subscriber_habits(last.begins + last.lasts);
        self.step(at, Do::Subscribe { client, begin, habits });
        if !asleep.lasts.is_zero() {
            // Everybody sleeps: a stream that is open would be read for all that time.
            let wakes = last.begins + self.within(Duration::from_secs(5));
            self.step(asleep.begins, Do::Sleep { client, lasts: wakes - asleep.begins });
        }
        for era in [first, last] {
            for _ in 0..self.chance.usize(0..4) {
                let at = era.begins + self.within(era.lasts);
                let what = match self.chance.u32(0..12) {
                    0..=2 => Do::Stall { client, lasts: self.within(MINUTE) },
                    3..=8 => {
                        let back = if self.one_in(2) { 0 } else { self.chance.usize(0..60) };
                        Do::Restart { client, back, newer: self.chance.bool() }
                    }
                    9 | 10 => Do::Sleep { client, lasts: self.within(MINUTE) },
                    _ => Do::Vanish { client },
                };
                self.step(at, what);
            }
        }
    }

    fn subscriber_habits(&mut self, until: Duration) -> SubscriberHabits {
        let pause =
            if self.one_in(4) { self.within(Duration::from_secs(3)) } else { Duration::ZERO };
        let by_time = self.one_in(4);
        let merge_wait = Duration::from_secs([0, 2, 10][self.chance.usize(0..3)]);
        let (mut ends, mut until_time) = (Until::default(), None);
        match self.chance.u32(0..12) {
            0 => ends.records = Some(self.chance.usize(1..50)),
            1 => ends.at_tip = true,
            2 => until_time = Some(self.within(until)),
            _ => {}
        }
        let wish = Wish {
            pass_gaps: self.chance.bool(),
            skip_unreadable: self.chance.bool(),
            by_time,
            merge_wait,
            heartbeat: Duration::from_secs([1, 5, 10, 30][self.chance.usize(0..4)]),
            checkpoint: Duration::from_millis([100, 1_000, 1_000, 10_000][self.chance.usize(0..4)]),
            records: [1, 7, 100, 1_000][self.chance.usize(0..4)],
            bytes: [16 << 10, 64 << 10, 1 << 20][self.chance.usize(0..3)],
            until: ends,
            ..Wish::default()
        };
        SubscriberHabits {
            pause,
            by_name: !self.one_in(3),
            nameless: self.one_in(3),
            until_time,
            wish,
        }
    }
}
