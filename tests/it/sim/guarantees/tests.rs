//! A good history passes every check; every kind of bad one is refused by the check it is meant
//! for.

mod listed;
mod moving;

use std::ops::Range;
use std::time::Duration;

use shardstream::model::Position as TokenPosition;
use shardstream::upstream::Operation;

use super::*;
use crate::sim::fake::{Asked, Call, EntryKind, FakeUpstream, Outcome, ShardRef, Writing};
use crate::sim::history::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// A shard whose entries 0..4 are trimmed after one minute, 4..14 stay; entry 9 is unreadable,
/// entry 10 has no number; closed after two minutes. Then a history told by hand.
struct Story {
    truth: Truth,
    shard: ShardRef,
    history: History,
}

impl Story {
    async fn new() -> Self {
        let fake = FakeUpstream::new(4);
        let shard = fake.add_old_shard(&fake.add_stream("Orders"), None, 25 * HOUR);
        let old =
            Writing { count: 4, ago: 24 * HOUR - Duration::from_secs(60), ..Writing::default() };
        fake.write_with(&shard, old);
        fake.write(&shard, 5);
        for kind in [EntryKind::Unreadable, EntryKind::Unnumbered] {
            fake.write_with(&shard, Writing { kind, ..Writing::default() });
        }
        tokio::time::sleep(Duration::from_secs(90)).await;
        fake.write(&shard, 3);
        tokio::time::sleep(Duration::from_secs(30)).await;
        fake.close(&shard);
        tokio::time::sleep(Duration::from_secs(30)).await;
        Self { truth: fake.truth(), shard, history: History::default() }
    }

    fn push(&mut self, second: u64, what: What) -> Point {
        if self.history.clients.is_empty() {
            self.history.clients.push(ClientLog { name: "one".into(), ..ClientLog::default() });
        }
        let items = &mut self.history.clients[0].items;
        let run =
            items.last().map_or(0, |seen| seen.run + usize::from(matches!(what, What::Opened(_))));
        items.push(Seen { run, at: Duration::from_secs(second), what });
        Point { client: 0, item: items.len() - 1 }
    }

    fn open(&mut self, second: u64, origin: Origin) -> Point {
        let room = Room { records: 100, bytes: 16 << 10 };
        let asked = Duration::from_secs(second);
        let opened = Opened { via: Via::Open, shard: self.shard.clone(), origin, asked, room };
        self.push(second, What::Opened(opened))
    }

    fn at(&mut self, second: u64, position: Position) -> Point {
        self.open(second, Origin::Position(position))
    }

    /// What the server should say of these entries.
    fn batch(&self, range: Range<usize>) -> Batch {
        let shard = &self.truth.shards[0];
        let number = |index: usize| shard.entries[index].number;
        let entry = |index: usize| {
            let entry = &shard.entries[index];
            match entry.kind {
                EntryKind::Record => SeenEntry::Record { id: entry.id, number: Some(entry.number) },
                EntryKind::Unnumbered => SeenEntry::Record { id: entry.id, number: None },
                _ => SeenEntry::Bad(BadEntry {
                    number: Some(entry.number),
                    after: Some(number(index - 1)),
                }),
            }
        };
        let token = self.token(range.end);
        Batch { entries: range.map(entry).collect(), bytes: 900, token }
    }

    /// The token before an entry.
    fn token(&self, next: usize) -> Token {
        let entries = &self.truth.shards[0].entries;
        let place = match next {
            0 => (TokenPosition::TrimHorizon, 0),
            11 => (TokenPosition::AfterSequenceNumber(entries[9].number), 1),
            _ => (TokenPosition::AfterSequenceNumber(entries[next - 1].number), 0),
        };
        Token { text: format!("before {next}"), place: Some(place) }
    }

    fn records(&mut self, second: u64, range: Range<usize>) -> Point {
        let batch = self.batch(range);
        self.push(second, What::Records(batch))
    }

    fn lost(&mut self, second: u64, range: Range<usize>) -> Point {
        let batch = self.batch(range);
        self.push(second, What::LostAnswer(batch))
    }

    fn repeat(&mut self, second: u64, of: Point, range: Range<usize>) {
        let batch = self.batch(range);
        self.push(second, What::Repeat { of, batch });
    }

    fn gap(
        &mut self,
        second: u64,
        after: Option<usize>,
        before: Option<usize>,
        certain: bool,
    ) -> Point {
        let number = |index: usize| self.truth.shards[0].entries[index].number;
        let token = match before {
            Some(before) => Token {
                text: "gap".into(),
                place: Some((TokenPosition::AtSequenceNumber(number(before)), 0)),
            },
            None => Token { text: "gap".into(), place: Some((TokenPosition::TrimHorizon, 0)) },
        };
        let gap = Gap {
            after: after.map(number),
            before: before.map(number),
            certain,
            expired: false,
            token,
        };
        self.push(second, What::Gap(gap))
    }

    fn shard_end(&mut self, second: u64) {
        let token = self.token(14);
        self.push(second, What::ShardEnd { token });
    }

    fn end(&mut self, second: u64, reason: EndReason, code: &str) {
        self.push(second, What::End { reason, code: code.into(), token: Token::default() });
    }

    fn failed(&mut self, second: u64, reason: &str, next: Option<usize>) -> Point {
        let token = next.map(|next| self.token(next));
        self.push(second, What::Failed { code: "any".into(), reason: reason.into(), token })
    }

    fn evidence(self) -> Evidence {
        Evidence::of(self.history, self.truth)
    }
}

/// Tells a story and asks for all breaks.
async fn told(tell: impl FnOnce(&mut Story)) -> Vec<Violation> {
    let mut story = Story::new().await;
    tell(&mut story);
    let evidence = story.evidence();
    let found = breaks(&evidence);
    // The functions by themselves say the same.
    let checks = [
        ordered,
        reliable,
        once,
        resumable,
        lineage,
        honest,
        bookmarkable,
        bounded,
        isolated,
        mannered,
    ];
    assert_eq!(found, checks.iter().filter_map(|check| check(&evidence).err()).collect::<Vec<_>>());
    found
}

#[track_caller]
fn assert_good(name: &str, found: Vec<Violation>) {
    assert_eq!(found, [], "{name}");
}

#[track_caller]
fn assert_broken(name: &str, guarantee: Guarantee, found: Vec<Violation>) {
    assert!(found.iter().any(|violation| violation.guarantee == guarantee), "{name}: {found:?}");
}

macro_rules! good {
    ($($name:literal: $tell:expr;)*) => {$(
        assert_good($name, told($tell).await);
    )*};
}

macro_rules! bad {
    ($guarantee:ident: $($name:literal: $tell:expr;)*) => {$(
        assert_broken($name, Guarantee::$guarantee, told($tell).await);
    )*};
}

// Behind the macros that they use.
mod behind;
mod cadence;

#[tokio::test(start_paused = true)]
async fn what_the_api_allows_passes_every_check() {
    good! {
        "everything, to the end": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..9);
            s.records(100, 9..14);
            s.history.clients[0].follows = true;
            s.history.settled = Some(HOUR);
            s.shard_end(125);
            s.end(125, EndReason::ShardEnd, "OK");
        };
        "a horizon that moved before the first page": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(70, 4..8);
        };
        "a number in the middle, and a token from there": |s: &mut Story| {
            let number = s.truth.shards[0].entries[5].number;
            s.at(1, Position::At(number));
            let from = s.records(2, 5..8);
            s.open(3, Origin::Token(from));
            s.records(4, 8..11);
            s.records(100, 11..14);
        };
        "LATEST, with a few from just before": |s: &mut Story| {
            s.at(95, Position::Latest);
            s.records(96, 12..14);
        };
        "a time": |s: &mut Story| {
            let time = s.truth.shards[0].entries[4].created_at;
            s.at(70, Position::Since(time));
            s.records(71, 4..8);
        };
        "a trimmed token, told and passed": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let from = s.records(2, 0..2);
            s.open(70, Origin::Token(from));
            let gap = s.gap(71, Some(1), Some(4), true);
            s.end(71, EndReason::Gap, "OUT_OF_RANGE");
            s.open(72, Origin::Token(gap));
            s.records(73, 4..6);
        };
        "an open gap": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..2);
            s.gap(71, Some(1), None, true);
            s.records(73, 4..6);
        };
        "nothing lost, but nobody can know": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let from = s.records(2, 0..4);
            s.open(70, Origin::Token(from));
            s.gap(71, Some(3), None, false);
            s.records(73, 4..6);
        };
        "a lost answer and its repeat": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let of = s.lost(2, 0..3);
            s.repeat(3, of, 0..3);
            s.records(4, 3..6);
        };
        "an error moves nothing, its token stands behind the loss": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..2);
            let failed = s.failed(70, "RECORDS_TRIMMED", Some(4));
            s.open(71, Origin::Token(failed));
            s.records(72, 4..9);
            let failed = s.failed(73, "RECORD_UNREADABLE", None);
            s.open(74, Origin::Session(failed));
            s.records(75, 9..11);
        };
    }
}

#[tokio::test(start_paused = true)]
async fn disorder_is_found() {
    bad! { Ordered:
        "an older record": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..3);
            s.records(3, 1..2);
        };
        "swapped inside a batch": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let mut batch = s.batch(0..3);
            batch.entries.swap(1, 2);
            s.push(2, What::Records(batch));
        };
    }
}

#[tokio::test(start_paused = true)]
async fn loss_is_found() {
    bad! { Reliable:
        "a skipped record": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..3);
            s.records(3, 4..6);
        };
        "a bad one passed over without a word": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..9);
            s.records(3, 10..11);
        };
        "the last page of a closed shard": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..11);
            s.shard_end(125);
        };
        "what was written after LATEST": |s: &mut Story| {
            s.at(1, Position::Latest);
            s.records(95, 12..14);
        };
        "a time found late": |s: &mut Story| {
            let time = s.truth.shards[0].entries[4].created_at;
            s.at(70, Position::Since(time));
            s.records(71, 5..8);
        };
        "a number begun too early": |s: &mut Story| {
            let number = s.truth.shards[0].entries[5].number;
            s.at(1, Position::After(number));
            s.records(2, 5..8);
        };
        "a gap over records that are there": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..2);
            s.gap(71, Some(1), Some(5), true);
        };
        "what never arrived": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..11);
            s.history.clients[0].follows = true;
            s.history.settled = Some(HOUR);
        };
        "lost with a lost answer": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.lost(2, 0..3);
            s.records(3, 4..6);
        };
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_come_twice_are_found() {
    bad! { Once:
        "in two messages": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..3);
            s.records(3, 2..5);
        };
        "a repeat that is not one": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let of = s.records(2, 0..3);
            s.repeat(3, of, 0..4);
        };
        "a lost answer given again as a new one": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.lost(2, 0..3);
            s.records(3, 0..3);
        };
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_lose_are_found() {
    bad! { Resumable:
        "resumed one too far": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let from = s.records(2, 0..3);
            s.open(3, Origin::Token(from));
            s.records(4, 4..6);
        };
        "resumed from LATEST as if it were a new one": |s: &mut Story| {
            let from = s.at(1, Position::Latest);
            s.open(95, Origin::Token(from));
            s.records(96, 12..14);
        };
        "resumed from nowhere": |s: &mut Story| {
            s.open(1, Origin::Token(Point { client: 3, item: 0 }));
        };
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_false_alarms_are_found() {
    bad! { Honest:
        "a silent jump": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..2);
            s.records(70, 4..6);
        };
        "a certain gap without a loss": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..4);
            s.gap(71, Some(3), None, true);
        };
        "a possible gap at a place known to be readable": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..6);
            s.gap(71, Some(5), None, false);
        };
        "a gap for asking for the horizon": |s: &mut Story| {
            s.at(70, Position::Horizon);
            s.gap(71, None, None, false);
        };
        "a gap that begins elsewhere": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..2);
            s.gap(71, Some(2), Some(4), true);
        };
        "the end of an open shard": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..11);
            s.shard_end(100);
        };
        "a wrong status": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.end(2, EndReason::Gap, "OK");
        };
        "a trimmed place that is not": |s: &mut Story| {
            s.at(1, Position::Horizon);
            s.records(2, 0..6);
            s.failed(71, "RECORDS_TRIMMED", None);
        };
        "an unreadable record that is readable": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let number = s.truth.shards[0].entries[0].number;
            let entry = BadEntry { number: Some(number), after: None };
            s.push(2, What::Unreadable { entry, token: Token::default() });
        };
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_lie_are_found() {
    bad! { Bookmarkable:
        "one that covers more than was sent": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let batch = Batch { token: s.token(4), ..s.batch(0..3) };
            s.push(2, What::Records(batch));
        };
        "one that covers less": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let batch = Batch { token: s.token(2), ..s.batch(0..3) };
            s.push(2, What::Records(batch));
        };
        "one that forgets a record without a number": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let batch = Batch { token: s.token(10), ..s.batch(0..11) };
            s.push(2, What::Records(batch));
        };
        "one that repeats what it covers": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let from = s.records(2, 0..3);
            s.open(3, Origin::Token(from));
            s.records(4, 2..6);
        };
        "none": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let batch = Batch { token: Token::default(), ..s.batch(0..3) };
            s.push(2, What::Records(batch));
        };
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_its_limit_is_found() {
    bad! { Bounded:
        "too many records": |s: &mut Story| {
            s.at(1, Position::Horizon);
            if let What::Opened(opened) = &mut s.history.clients[0].items[0].what {
                opened.room.records = 2;
            }
            s.records(2, 0..3);
        };
        "too many bytes": |s: &mut Story| {
            s.at(1, Position::Horizon);
            let batch = Batch { bytes: 18 << 10, ..s.batch(0..2) };
            s.push(2, What::Records(batch));
        };
    }
    let mut evidence = Story::new().await.evidence();
    for gauge in [
        Gauge { window_bytes: 11, ..Gauge::default() },
        Gauge { shard_window_bytes: 11, ..Gauge::default() },
        Gauge { sessions: 11, ..Gauge::default() },
        Gauge { streams: 11, ..Gauge::default() },
        Gauge { lanes: 11, ..Gauge::default() },
    ] {
        evidence.gauges = vec![Gauge::default(), gauge];
        assert!(bounded(&evidence).is_err(), "{gauge:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stalled_clients_change_is_found() {
    let tell = async |records: &[(u64, Range<usize>)]| {
        let mut story = Story::new().await;
        story.at(1, Position::Horizon);
        for (second, range) in records {
            story.records(*second, range.clone());
        }
        story.evidence()
    };
    let history = tell(&[(2, 0..3), (3, 3..9)]).await.history;
    let unstalled = Some(Unstalled { history, slack: Duration::from_secs(5) });
    let judge = async |records: &[(u64, Range<usize>)]| {
        let unstalled = unstalled.clone();
        isolated(&Evidence { unstalled, ..tell(records).await })
    };
    assert_eq!(judge(&[(4, 0..5), (7, 5..9)]).await, Ok(()), "batches may be cut elsewhere");
    assert!(judge(&[(2, 0..3), (9, 3..9)]).await.is_err(), "late");
    assert!(judge(&[(2, 0..3)]).await.is_err(), "less");
    assert!(judge(&[(2, 0..3), (3, 4..9)]).await.is_err(), "others");
    let nobody = Evidence { history: History::default(), unstalled, ..tell(&[]).await };
    assert!(isolated(&nobody).is_err(), "nobody");
}

#[tokio::test(start_paused = true)]
async fn bad_manners_are_found() {
    let story = Story::new().await;
    let call = |operation, millis: u64, in_flight| Call {
        operation,
        shard: (operation == Operation::GetRecords).then(|| story.shard.clone()),
        asked: Asked::Streams,
        started: Duration::from_millis(millis),
        ended: None,
        outcome: Outcome::Running,
        in_flight,
    };
    let budget = Budget { in_flight: 2, shard_calls: 5.0, describe_calls: 5.0, list_calls: 3.0 };
    let judge = |calls: Vec<Call>| {
        mannered::in_flight(&calls, &budget).and_then(|()| mannered::rates(&calls, &budget))
    };
    let every = |operation, millis: u64, count: u64| {
        (0..count).map(|n| call(operation, n * millis, 1)).collect::<Vec<_>>()
    };
    assert_eq!(judge(every(Operation::GetRecords, 200, 1_000)), Ok(()));
    assert!(judge(vec![call(Operation::GetRecords, 0, 3)]).is_err(), "three at one time");
    assert!(judge(every(Operation::GetRecords, 10, 12)).is_err(), "a hot loop");
    assert!(judge(every(Operation::GetRecords, 170, 400)).is_err(), "a little too fast for long");
    assert!(judge(every(Operation::DescribeStream, 150, 100)).is_err(), "DescribeStream");
    assert!(judge(every(Operation::ListStreams, 250, 60)).is_err(), "ListStreams");
}
