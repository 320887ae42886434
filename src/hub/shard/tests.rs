//! What a decision costs, counted: how many waiters it looks at. And the tables of ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::time::Duration;

use super::poll::{Polled, Poller, WaitFor};
use super::position::ReadPosition;
use super::schedule::{Action, ReadPage};
use super::state::ShardState;
use super::upstream_behaviour::UpstreamBehaviour;
use super::waiters::looks;
use crate::clock::Clock;
use crate::encode::{ReadLimit, encode};
use crate::limits::ReadingLimits;
use crate::model::{Now, Page, Position};
use crate::upstream::IssuedIterator;

mod lane_table;

const ROOM: ReadLimit = ReadLimit { records: 1_000, bytes: 1 << 20, before: None };

fn later(now: Now, millis: u64) -> Now {
    let time = Duration::from_millis(millis);
    Now { at: now.at + time, wall: now.wall.plus(time) }
}

/// What the shard does next that is a page.
fn page(shard: &mut ShardState, now: &mut Now) -> ReadPage {
    loop {
        match shard.next(*now) {
            Action::Open { lane, .. } => {
                let issued = IssuedIterator { iterator: "iterator".into(), date: None };
                shard.opened(lane, *now, Ok(issued), *now);
            }
            Action::Read(page) => return page,
            Action::List => unreachable!("nothing is denied"),
            Action::Wait(_) => *now = later(*now, 50),
        }
    }
}

fn answer(shard: &mut ShardState, page: ReadPage, now: Now) {
    let empty = Page { entries: vec![], next_iterator: Some("next".into()) };
    let lane = page.lane;
    let read = encode(empty.into(), page.cut, 1 << 20, None).expect("a page");
    shard.answered(lane, now, Ok(read), now);
}

/// How often waiters are looked at in an idle minute of a shard at whose tip so many wait, in
/// decisions and in empty answers; a few of them asked for pages by other ways.
fn looks_in_a_minute(waiting: usize) -> (u64, u64) {
    let behaviour =
        UpstreamBehaviour { at_timestamp: true, shared_numbers: false, is_scylla: false };
    let mut shard = ShardState::new(ReadingLimits::default(), behaviour, 1);
    let mut now = Clock::system().now();
    for _ in 0..waiting {
        let mut position = ReadPosition::asked(Position::TrimHorizon, Some(now.wall), now);
        let poller = Poller { position: &mut position, waiter: &mut None };
        let polled = shard.poll(poller, ROOM, WaitFor::Data, now);
        assert!(matches!(polled, Polled::Pending(_)));
    }
    for _ in 0..8 {
        let page = page(&mut shard, &mut now);
        answer(&mut shard, page, now);
    }
    let (mut deciding, mut answering) = (0, 0);
    for _ in 0..60 {
        let before = looks();
        let page = page(&mut shard, &mut now);
        deciding += looks() - before;
        let before = looks();
        answer(&mut shard, page, now);
        answering += looks() - before;
    }
    (deciding, answering)
}

#[test]
fn neither_a_decision_nor_an_empty_answer_looks_at_any_waiter() {
    assert_eq!(looks_in_a_minute(10), (0, 0));
    assert_eq!(looks_in_a_minute(10_000), (0, 0));
}

/// The rows of the table below a heading of ARCHITECTURE.md.
pub(super) fn table(heading: &str) -> BTreeSet<(String, String, String)> {
    let text = include_str!("../../../ARCHITECTURE.md");
    let (_, below) = text.split_once(heading).expect("the heading");
    let rows = below.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| -> Vec<String> {
        row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let triple = |row| match <[String; 3]>::try_from(cells(row)) {
        Ok([from, event, to]) => (from, event, to),
        Err(other) => panic!("no three cells: {other:?}"),
    };
    rows.map(triple).collect()
}
