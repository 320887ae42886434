//! What one decision of a shard costs, and one empty answer, while many cursors wait at its tip.
//!
//! `cargo bench --bench waiting`. No upstream and no tasks: the pure state alone. One line a figure.

// A benchmark takes the machine's clock.
#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use shardstream::encode::{ReadLimit, encode};
use shardstream::hub::shard::poll::{Polled, Poller, WaitFor};
use shardstream::hub::shard::position::ReadPosition;
use shardstream::hub::shard::schedule::{Action, ReadPage};
use shardstream::hub::shard::state::ShardState;
use shardstream::hub::shard::upstream_behaviour::UpstreamBehaviour;
use shardstream::limits::ReadingLimits;
use shardstream::model::{Now, Page, PageEntry, Position, Record, SequenceNumber, Timestamp};
use shardstream::upstream::IssuedIterator;

const ROOM: ReadLimit = ReadLimit { records: 1_000, bytes: 1 << 20, before: None };
const ROUNDS: u32 = 200;

/// A shard with so many cursors waiting at its tip.
struct Crowd {
    shard: ShardState,
    now: Now,
}

fn main() {
    for waiting in [10, 1_000, 100_000] {
        let mut crowd = Crowd::new(waiting);
        let (decision, empty) = crowd.idle();
        println!(
            "{waiting} waiting: a decision {} ns, an empty answer {} ns",
            decision.as_nanos(),
            empty.as_nanos()
        );
    }
}

impl Crowd {
    fn new(waiting: u64) -> Self {
        let now = Now {
            at: Instant::now(),
            wall: Timestamp::from_millis(1_717_243_200_250).expect("a time"),
        };
        let behaviour =
            UpstreamBehaviour { at_timestamp: true, shared_numbers: false, is_scylla: false };
        let mut crowd =
            Self { shard: ShardState::new(ReadingLimits::default(), behaviour, 1), now };
        crowd.read_one_record();
        let number = SequenceNumber::parse("100").expect("a number");
        for cursor in 0..waiting {
            let mut position =
                ReadPosition::asked(Position::AfterSequenceNumber(number), None, crowd.now);
            let mut waiter = None;
            let poller = Poller { position: &mut position, waiter: &mut waiter };
            let polled = crowd.shard.poll(poller, ROOM, WaitFor::Data, crowd.now);
            assert!(matches!(polled, Polled::Pending(_)));
            crowd.shard.set_wakeup(waiter, Some(cursor));
        }
        // Until all know that it is the tip.
        for _ in 0..10 {
            crowd.round();
        }
        crowd
    }

    fn read_one_record(&mut self) {
        let mut position = ReadPosition::asked(Position::TrimHorizon, None, self.now);
        let mut waiter = None;
        let poller = Poller { position: &mut position, waiter: &mut waiter };
        self.shard.poll(poller, ROOM, WaitFor::Data, self.now);
        let page = self.page();
        let number = SequenceNumber::parse("100").ok();
        let record = Record { sequence_number: number, ..Record::default() };
        self.answer(page, vec![PageEntry::Record(Box::new(record))]);
        self.shard.leave(&mut waiter);
    }

    /// Waits until a page is due and lets the shard ask for it.
    fn page(&mut self) -> ReadPage {
        loop {
            match self.shard.next(self.now) {
                Action::Open { lane, start: _ } => {
                    let issued = IssuedIterator { iterator: "iterator".into(), date: None };
                    self.shard.opened(lane, self.now, Ok(issued), self.now);
                }
                Action::Read(page) => return page,
                Action::List => unreachable!("nothing is denied"),
                Action::Wait(until) => self.pass(until.expect("they wait") - self.now.at),
            }
        }
    }

    fn answer(&mut self, page: ReadPage, entries: Vec<PageEntry>) {
        let lane = page.lane;
        let answer = Page { entries, next_iterator: Some("next".into()) };
        let read = encode(answer.into(), page.cut, 1 << 20, None).expect("a page");
        self.shard.answered(lane, self.now, Ok(read), self.now);
        black_box(self.shard.take_wakeups());
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { at: self.now.at + time, wall: self.now.wall.plus(time) };
    }

    /// One empty page; how long the decision and the answer took.
    fn round(&mut self) -> (Duration, Duration) {
        self.pass(Duration::from_secs(1));
        let begun = Instant::now();
        let action = black_box(self.shard.next(self.now));
        let decided = begun.elapsed();
        let page = match action {
            Action::Read(page) => page,
            _ => self.page(),
        };
        self.pass(Duration::from_millis(10));
        let begun = Instant::now();
        self.answer(page, vec![]);
        (decided, begun.elapsed())
    }

    fn idle(&mut self) -> (Duration, Duration) {
        let rounds: Vec<_> = (0..ROUNDS).map(|_| self.round()).collect();
        let median = |mut times: Vec<Duration>| {
            times.sort();
            times[times.len() / 2]
        };
        (
            median(rounds.iter().map(|round| round.0).collect()),
            median(rounds.iter().map(|round| round.1).collect()),
        )
    }
}
