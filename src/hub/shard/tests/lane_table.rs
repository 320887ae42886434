//! Random shards, whose lanes do what ARCHITECTURE.md's table says, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

use super::super::denial::Listed;
use super::super::lane::{Iter, LaneEnd};
use super::super::poll::{Poller, WaitFor};
use super::super::position::ReadPosition;
use super::super::schedule::Action;
use super::super::state::ShardState;
use super::super::upstream_behaviour::UpstreamBehaviour;
use super::{ROOM, later, table};
use crate::clock::Clock;
use crate::encode::{PageRead, encode};
use crate::limits::ReadingLimits;
use crate::model::{Checkpoint, Now, Page, PageEntry, Position, Record, SequenceNumber, Timestamp};
use crate::upstream::{ErrorClass, IssuedIterator, Operation, UpstreamError};

type Row = (String, String, String);

/// A shard, its cursors, and the calls under way.
struct Driven {
    shard: ShardState,
    now: Now,
    chance: Rng,
    cursors: Vec<(ReadPosition, Option<u64>)>,
    calls: Vec<(Action, Now)>,
    /// Records have times.
    dated: bool,
    written: u64,
    seen: BTreeSet<Row>,
}

fn stage(iter: &Iter) -> &'static str {
    match iter {
        Iter::Needed => "needs an iterator",
        Iter::Opening => "opening",
        Iter::Ready { .. } => "ready",
        Iter::Reading { .. } => "reading",
        Iter::Done(LaneEnd::Closed) => "closed",
        Iter::Done(LaneEnd::Trimmed) => "trimmed",
        Iter::Done(LaneEnd::Refused) => "refused",
        Iter::Done(LaneEnd::Gone) => "gone",
        Iter::Done(LaneEnd::Invalid(_)) => "invalid",
    }
}

fn number(value: u64) -> SequenceNumber {
    SequenceNumber::parse(&value.to_string()).expect("a number")
}

impl Driven {
    fn new(seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        let limits = ReadingLimits { lanes_per_shard: chance.usize(2..5), ..Default::default() };
        let behaviour = UpstreamBehaviour {
            at_timestamp: chance.bool(),
            shared_numbers: chance.bool(),
            is_scylla: false,
        };
        Self {
            shard: ShardState::new(limits, behaviour, seed),
            now: Clock::system().now(),
            cursors: vec![],
            calls: vec![],
            dated: chance.u8(0..4) > 0,
            written: 1_000,
            chance,
            seen: BTreeSet::new(),
        }
    }

    fn stages(&self) -> BTreeMap<u64, &'static str> {
        self.shard.lanes.iter().map(|lane| (lane.id(), stage(lane.iter()))).collect()
    }

    /// Does something, and notes what became of each lane that was there before.
    fn noting(&mut self, event: &str, happens: impl FnOnce(&mut Self)) {
        let before = self.stages();
        happens(self);
        let after = self.stages();
        for (lane, from) in before {
            if let Some(to) = after.get(&lane).filter(|to| **to != from) {
                self.seen.insert((from.to_owned(), event.to_owned(), (*to).to_owned()));
            }
        }
    }

    fn step(&mut self) {
        match self.chance.u8(0..20) {
            0..3 => self.come(),
            3..9 => self.decide(),
            9..16 if !self.calls.is_empty() => {
                let at = self.chance.usize(..self.calls.len());
                let (call, asked) = self.calls.swap_remove(at);
                self.answer(call, asked);
            }
            16 => self.now = later(self.now, self.chance.u64(1_000..1_200_000)),
            17 if !self.cursors.is_empty() => {
                let at = self.chance.usize(..self.cursors.len());
                self.shard.leave(&mut self.cursors.swap_remove(at).1);
            }
            _ => self.now = later(self.now, self.chance.u64(1..2_000)),
        }
    }

    /// A cursor polls: a new one, or one that is there.
    fn come(&mut self) {
        let old = !self.cursors.is_empty() && self.chance.bool();
        let (mut position, mut waiter) = match old {
            true => self.cursors.swap_remove(self.chance.usize(..self.cursors.len())),
            false => (self.position(), None),
        };
        if !old && self.chance.u8(0..5) == 0 {
            let now = self.now;
            self.noting("a poll", |driven| _ = driven.shard.latest(&mut waiter, now));
        } else {
            let now = self.now;
            let poller = Poller { position: &mut position, waiter: &mut waiter };
            self.noting("a poll", |driven| {
                _ = driven.shard.poll(poller, ROOM, WaitFor::Data, now);
            });
        }
        self.cursors.push((position, waiter));
    }

    fn position(&mut self) -> ReadPosition {
        let old = self.now.wall.minus(Duration::from_secs(3_600 * self.chance.u64(0..30)));
        let position = match self.chance.u8(0..4) {
            0 => Position::TrimHorizon,
            1 => Position::AtTimestamp(old),
            2 => Position::AtSequenceNumber(number(self.chance.u64(1_000..=self.written))),
            _ => Position::AfterSequenceNumber(number(self.chance.u64(1_000..=self.written))),
        };
        ReadPosition::restored(Checkpoint::new(position, Some(old)))
    }

    fn decide(&mut self) {
        let now = self.now;
        let mut action = None;
        self.noting("its turn", |driven| action = Some(driven.shard.next(now)));
        match action {
            Some(Action::Wait(until)) => {
                let until = until.filter(|until| *until > now.at);
                let pause = until.map_or(Duration::ZERO, |until| until - now.at);
                self.now = later(now, pause.as_millis() as u64 + 1);
            }
            Some(call) => {
                self.shard.began(now);
                self.calls.push((call, now));
            }
            None => {}
        }
    }

    fn answer(&mut self, call: Action, asked: Now) {
        self.now = later(self.now, 5);
        let now = self.now;
        match call {
            Action::Wait(_) => {}
            Action::List => {
                let listed = if self.chance.u8(0..4) > 0 { Listed::No } else { Listed::Unknown };
                let event = "listings without the shard";
                self.noting(event, |driven| driven.shard.listed(&listed, asked.at, now));
            }
            Action::Open { lane, .. } => match self.failure() {
                None => {
                    let issued = IssuedIterator { iterator: "it".into(), date: Some(now.wall) };
                    let opened = |driven: &mut Self| {
                        driven.shard.opened(lane, asked, Ok(issued), now);
                    };
                    self.noting("an iterator", opened);
                }
                Some((event, error)) => {
                    self.noting(event, |driven| driven.shard.opened(lane, asked, Err(error), now));
                }
            },
            Action::Read(page) => match self.failure() {
                None => {
                    let (event, read) = self.page(page.cut);
                    let lane = page.lane;
                    self.noting(event, |driven| driven.shard.answered(lane, asked, Ok(read), now));
                }
                Some((event, error)) => {
                    let lane = page.lane;
                    self.noting(event, |driven| {
                        driven.shard.answered(lane, asked, Err(error), now);
                    });
                }
            },
        }
    }

    fn page(&mut self, cut: crate::encode::PageFilter) -> (&'static str, PageRead) {
        let searches = cut.drop_before.is_some();
        let first = cut.known.0.and_then(|number| number.as_str().parse().ok()).unwrap_or(900);
        let count = self.chance.u64(0..3);
        let created_at = |driven: &mut Self| {
            let age = Duration::from_secs(driven.chance.u64(0..100_000));
            driven.dated.then(|| driven.now.wall.minus(age))
        };
        let mut entries = vec![];
        for at in 1..=count {
            let created_at: Option<Timestamp> = created_at(self);
            let sequence_number = Some(number(first + at));
            let record = Record { sequence_number, created_at, ..Record::default() };
            entries.push(PageEntry::Record(Box::new(record)));
        }
        self.written = self.written.max(first + count);
        let next_iterator = (self.chance.u8(0..12) > 0).then(|| "next".to_owned());
        let is_last = next_iterator.is_none();
        let page = Page { entries, next_iterator };
        let mut read = encode(page.into(), cut, 1 << 20, None).expect("a page");
        if !is_last && count > 1 && self.chance.u8(0..6) == 0 {
            read.cut_to = Some(1);
        }
        let event = match read.cut_to {
            _ if searches && read.batch.is_timeless() => "a page without times for a search",
            _ if is_last => "the last page",
            Some(_) => "a page that was cut",
            None => "a page",
        };
        (event, read)
    }

    fn failure(&mut self) -> Option<(&'static str, UpstreamError)> {
        let (event, class) = match self.chance.u8(0..30) {
            0 => ("throttled or failing", ErrorClass::Throttled),
            1 => ("throttled or failing", ErrorClass::Unavailable),
            2 => ("throttled or failing", ErrorClass::AccessDenied),
            3 => ("expired", ErrorClass::ExpiredIterator),
            4 => ("trimmed", ErrorClass::Trimmed),
            5..8 => ("not found", ErrorClass::NotFound),
            8 => ("malformed", ErrorClass::Invalid),
            _ => return None,
        };
        let operation = Operation::GetRecords;
        let message = String::new();
        Some((event, UpstreamError { operation, class, code: None, message, retry_after: None }))
    }
}

#[test]
fn lanes_do_what_their_table_says_and_nothing_else() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let mut driven = Driven::new(seed);
        for _ in 0..300 {
            driven.step();
        }
        seen.append(&mut driven.seen);
    }
    assert_eq!(seen, table("### What a lane's iterator is"));
}
