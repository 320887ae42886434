//! Plans of single shards: one table, and clients that read its shards one by one.

use std::time::Duration;

use super::draw::Draw;
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A shard of which something is trimmed.
const OLDEST: Duration = Duration::from_secs(25 * 3_600);

impl Plan {
    /// Anything may happen.
    pub fn of_shards(seed: u64) -> Self {
        let mut draw = Draw::with_seed(seed);
        // Past a quarter of an hour iterators expire by themselves.
        let minutes = if draw.one_in(8) { 18..32 } else { 2..9 };
        let until = Duration::from_secs(60 * draw.chance.u64(minutes));
        let clients = draw.chance.usize(1..=6);
        let past = draw.past();
        let pages = draw.pages(seed, &[1, 3, 10, 100, 1_000], 2, 3);
        draw.writers(until);
        draw.upstream(until);
        for client in 0..clients {
            let at = draw.within(until / 3);
            draw.client(client, at, until);
        }
        for client in clients..clients + draw.chance.usize(0..=3) {
            // Later ones go on from where others were.
            let at = until / 3 + draw.within(until / 2);
            let what = Do::Resume {
                client,
                of: draw.chance.usize(0..clients),
                back: draw.chance.usize(0..30),
            };
            draw.step(at, what);
        }
        let mut plan =
            Self { steps: draw.steps, ..Self::of_one_root(seed, aged(seed, past), pages, until) };
        plan.widen();
        if seed % 10 == 9 {
            plan.sleep_a_day(clients);
        }
        plan.steps.sort_by_key(|step| step.at);
        plan
    }

    /// Everybody follows the same log from its horizon, nothing fails; some stall.
    pub fn crowd(seed: u64) -> Self {
        let mut draw = Draw::with_seed(seed);
        let until = Duration::from_secs(300);
        let empties = Empties { chance: 0.0, most: 0, between: false };
        let latency = Duration::from_millis(20);
        let pages = Pages {
            records: 1_000,
            empties,
            latency,
            end_alone: false,
            at_timestamp: true,
            shared: None,
            date_ahead: Duration::ZERO,
            behind: Duration::ZERO,
            grain: 1,
        };
        draw.writers(until);
        // One shard: the clients are to be in each other's way.
        draw.steps.retain(|step| matches!(step.what, Do::Write { .. }));
        for client in 0..6 {
            let stalls = client >= 3;
            let habits = Habits {
                pause: Duration::ZERO,
                pass_gaps: true,
                skip_unreadable: true,
                ..draw.habits()
            };
            let at = draw.within(Duration::from_secs(10));
            draw.step(
                at,
                Do::Come { client, shard: 0, way: Way::Stream, place: Spot::Horizon, habits },
            );
            for _ in 0..if stalls { 3 } else { 0 } {
                let at = at + draw.within(until / 2);
                let lasts = Duration::from_secs(draw.chance.u64(5..60));
                draw.step(at, Do::Stall { client, lasts });
            }
        }
        let root = Root { age: OLDEST, past: Vec::new() };
        let mut plan = Self { steps: draw.steps, ..Self::of_one_root(seed, root, pages, until) };
        plan.steps.sort_by_key(|step| step.at);
        plan
    }

    fn of_one_root(seed: u64, root: Root, pages: Pages, until: Duration) -> Self {
        Self {
            seed,
            ids: Ids::Aws,
            age: Duration::ZERO,
            roots: vec![root],
            idle: Duration::from_secs(1),
            servers: if seed % 4 == 3 { 2 } else { 1 },
            pages,
            listings: Listings::USUAL,
            steps: Vec::new(),
            until,
        }
    }

    /// All clients go, a day passes, and others go on from their tokens: much is trimmed by then.
    fn sleep_a_day(&mut self, clients: usize) {
        let middle = self.until / 2;
        for step in self.steps.iter_mut().filter(|step| step.at > middle) {
            step.at += DAY;
        }
        self.until += DAY;
        for client in 0..clients {
            self.steps.push(Step { at: middle, what: Do::Vanish { client } });
            let resume = Do::Resume { client: 100 + client, of: client, back: client };
            self.steps
                .push(Step { at: middle + DAY + Duration::from_secs(client as u64), what: resume });
        }
        // Resumes drawn for the first half would sit through the day.
        let late = |step: &Step| step.at > middle + Duration::from_secs(1);
        self.steps.retain(|step| {
            let reads = matches!(
                step.what,
                Do::Resume { .. } | Do::Come { .. } | Do::Jump { .. } | Do::Seek { .. }
            );
            !reads || late(step) || step.what.client().is_some_and(|client| client < clients)
        });
    }
}

/// How old the first shard of a seed is, and a past that fits in it; drawn apart, so that what a
/// seed draws beside it stays what it was.
fn aged(seed: u64, past: Vec<(usize, Duration)>) -> Root {
    let mut chance = fastrand::Rng::with_seed(seed ^ 0x0061_6765);
    let age = match chance.u8(0..4) {
        0 => Duration::from_secs(chance.u64(60..3_600)),
        1 => Duration::from_secs(chance.u64(3_600..25 * 3_600)),
        _ => OLDEST,
    };
    let part = age.as_secs_f64() / OLDEST.as_secs_f64();
    Root { age, past: past.into_iter().map(|(count, ago)| (count, ago.mul_f64(part))).collect() }
}

impl Draw {
    /// Ages that fall: some are trimmed at the beginning, some while the plan runs, some not.
    fn past(&mut self) -> Vec<(usize, Duration)> {
        let mut ages: Vec<Duration> = (0..self.chance.usize(0..6))
            .map(|_| match self.chance.u32(0..3) {
                0 => DAY - self.within(HOUR / 3),
                1 => DAY + self.within(HOUR / 2),
                _ => self.within(DAY),
            })
            .collect();
        ages.sort_by(|a, b| b.cmp(a));
        ages.into_iter().map(|age| (self.chance.usize(1..60), age)).collect()
    }

    fn writers(&mut self, until: Duration) {
        for _ in 0..self.chance.usize(5..50) {
            let at = self.within(until);
            self.write(at, 4, (8, 50..300), (12, 60_000, 12));
        }
    }

    fn upstream(&mut self, until: Duration) {
        for _ in 0..self.chance.usize(0..3) {
            let (at, shard) = (self.within(until), self.chance.usize(0..4));
            let listed_after = if self.one_in(2) { self.within(HOUR / 30) } else { Duration::ZERO };
            let children = self.chance.usize(0..=2);
            let close = children == 0 || !self.one_in(4);
            self.step(at, Do::Split { shard, children, close, listed_after, loose: true });
        }
        for _ in 0..self.chance.usize(0..3) {
            let (at, shard) = (self.within(until), self.chance.usize(0..3));
            self.step(at, Do::Expire { shard });
        }
        for _ in 0..self.chance.usize(0..3) {
            let (at, shard) = (self.within(until), self.chance.usize(0..3));
            let rates = self.rates(10.0);
            self.step(at, Do::Fail { shard, rates });
            let lasts = self.within(until / 4);
            self.step(at + lasts, Do::Fail { shard, rates: Rates::NONE });
        }
        if self.one_in(6) {
            let (at, shard) = (self.within(until), self.chance.usize(0..2));
            self.step(at, Do::Hang { shard });
        }
        for _ in 0..if self.one_in(3) { self.chance.usize(1..4) } else { 0 } {
            let (at, shard) = (self.within(until), self.chance.usize(0..3));
            let kinds =
                [EntryKind::Unnumbered, EntryKind::Unreadable, EntryKind::UnreadableUnnumbered];
            let kind = kinds[self.chance.usize(0..3)];
            self.step(at, Do::Spoil { shard, kind });
        }
    }

    fn habits(&mut self) -> Habits {
        let pause =
            if self.one_in(4) { self.within(Duration::from_secs(5)) } else { Duration::ZERO };
        Habits {
            pause,
            records: [1, 7, 100, 1_000][self.chance.usize(0..4)],
            bytes: [16 << 10, 64 << 10, 1 << 20][self.chance.usize(0..3)],
            pass_gaps: self.chance.bool(),
            skip_unreadable: self.chance.bool(),
            wait: Duration::from_secs(self.chance.u64(0..20)),
        }
    }

    fn spot(&mut self) -> Spot {
        match self.chance.u32(0..6) {
            0 | 1 => Spot::Horizon,
            2 => Spot::Latest,
            3 => Spot::Ago(self.within(DAY)),
            _ => Spot::Number { into: self.chance.f64(), after: self.chance.bool() },
        }
    }

    fn client(&mut self, client: usize, at: Duration, until: Duration) {
        let way = [Way::Stream, Way::Lease, Way::LeaseStream, Way::Unary][self.chance.usize(0..4)];
        let (shard, place, habits) = (self.chance.usize(0..3), self.spot(), self.habits());
        self.step(at, Do::Come { client, shard, way, place, habits });
        let rest = until - at;
        for _ in 0..self.chance.usize(0..5) {
            let at = at + self.within(rest);
            let what = match self.chance.u32(0..12) {
                0..=2 => Do::Stall { client, lasts: self.within(Duration::from_secs(90)) },
                3..=5 => Do::Jump { client, place: self.spot() },
                6 => {
                    let span = if self.one_in(2) { DAY } else { rest };
                    Do::Seek { client, ago: self.within(span) }
                }
                7..=9 => Do::Lose { client, repeat: self.chance.bool() },
                10 => Do::Resume {
                    client,
                    of: self.chance.usize(0..client + 1),
                    back: self.chance.usize(0..20),
                },
                _ => Do::Vanish { client },
            };
            self.step(at, what);
        }
    }
}
