//! What the catalog decides, whatever happens in whatever order.
#![allow(clippy::disallowed_methods)]

use super::responses::MEMORY;
use super::*;
use crate::hub::shard::denial::APART;
use crate::model::{SequenceNumber, StreamArn};
use crate::upstream::{ErrorClass, Operation};
use proptest::prelude::*;
use std::collections::BTreeSet;

const ARN: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2016-10-23T07:26:33.312";

fn id(name: usize) -> ShardId {
    ShardId::parse(&format!("s{name}")).expect("an id")
}

fn row(name: usize, parent: Option<usize>, closed: bool) -> Shard {
    let ending = closed.then(|| SequenceNumber::parse("9").expect("a number"));
    Shard { id: id(name), parent: parent.map(id), starting: None, ending }
}

fn described(status: StreamStatus) -> StreamDescription {
    let arn = StreamArn::parse(ARN).expect("an ARN");
    StreamDescription {
        arn,
        status: Some(status),
        view_type: None,
        key_schema: vec![],
        created: None,
    }
}

fn error(class: ErrorClass) -> UpstreamError {
    let (operation, message) = (Operation::DescribeStream, String::new());
    UpstreamError { operation, class, code: None, message, retry_after: None }
}

/// An upstream, a catalog over it, and the calls between them.
struct Play {
    catalog: Catalog,
    now: Instant,
    /// Shards, when each is listed, and how many children it will have.
    rows: Vec<(Shard, Instant)>,
    status: StreamStatus,
    /// Calls in flight, and what their responses will show.
    running: Vec<(Act, Instant)>,
    looks: HashMap<ShardId, usize>,
    listings: Vec<Instant>,
    failures: usize,
    unreadable: usize,
}

impl Play {
    fn new(filters: bool, shards: usize) -> Self {
        let now = Instant::now();
        Self {
            catalog: Catalog::new(&ReadingLimits::default(), filters, true, 1),
            now,
            rows: (0..shards).map(|name| (row(name, None, false), now)).collect(),
            status: StreamStatus::Enabled,
            running: vec![],
            looks: HashMap::new(),
            listings: vec![],
            failures: 0,
            unreadable: 0,
        }
    }

    /// Closes an open shard; its children are listed that much later.
    fn end(&mut self, name: usize, children: usize, after: Duration) {
        let shard = &mut self.rows[name].0;
        if shard.is_closed() {
            return;
        }
        shard.ending = SequenceNumber::parse("9").ok();
        for _ in 0..children {
            self.rows.push((row(self.rows.len(), Some(name), false), self.now + after));
        }
        self.catalog.ended(&id(name), self.now);
    }

    /// Begins the calls that the catalog wants.
    fn ask(&mut self) {
        for _ in 0..1_000 {
            let act = self.catalog.next(self.now);
            match &act {
                Act::Wait(at) => {
                    assert!(at.is_none_or(|at| at > self.now), "a wait that does not wait");
                    assert!(
                        at.is_some() || !self.running.is_empty(),
                        "nothing under way, and nothing to come"
                    );
                    return;
                }
                Act::Children(shard) => {
                    assert!(
                        self.running.iter().all(|(running, _)| *running != act),
                        "asked for twice at once"
                    );
                    *self.looks.entry(shard.clone()).or_default() += 1;
                }
                Act::List => {
                    assert!(
                        self.running.iter().all(|(running, _)| *running != act),
                        "two listings at once"
                    );
                    self.listings.push(self.now);
                }
            }
            self.running.push((act, self.now));
        }
        panic!("a hot loop");
    }

    /// Answers the oldest call.
    fn answer(&mut self, fails: Option<ErrorClass>) {
        if self.running.is_empty() {
            return;
        }
        let (act, asked) = self.running.remove(0);
        let of = match &act {
            Act::Children(shard) => Some(shard),
            Act::List | Act::Wait(_) => None,
        };
        if let Some(class) = fails {
            self.failures += 1;
            return self.catalog.failed(of, error(class), self.now);
        }
        let listed = self.rows.iter().filter(|(_, from)| *from <= asked).map(|(row, _)| row);
        let shards: Vec<_> = listed
            .filter(|row| of.is_none_or(|of| row.parent.as_ref() == Some(of)))
            .cloned()
            .collect();
        let told = ListedStream {
            description: &described(self.status),
            shards: &shards,
            unreadable: self.unreadable,
            asked,
            wall: Timestamp::EPOCH,
        };
        match of {
            Some(of) => self.catalog.answered_children(of, told, self.now),
            None => self.catalog.answered_listing(told, shards.len().div_ceil(100), self.now),
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.ask();
            while !self.running.is_empty() {
                self.answer(None);
            }
            match self.catalog.next(self.now) {
                Act::Wait(Some(at)) if at <= until => self.now = at,
                Act::Wait(_) => break,
                act => self.running.push((act, self.now)),
            }
        }
        self.now = until;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Answer(Option<ErrorClass>),
    End(usize, usize, u64),
    Want,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = prop_oneof![
        Just(ErrorClass::Throttled),
        Just(ErrorClass::Unavailable),
        Just(ErrorClass::AccessDenied),
        Just(ErrorClass::NotFound),
        Just(ErrorClass::Invalid),
    ];
    let step = prop_oneof![
        4 => prop_oneof![0u64..300, 0u64..90_000].prop_map(Step::Pass),
        4 => Just(Step::Answer(None)),
        1 => class.prop_map(|class| Step::Answer(Some(class))),
        3 => (0usize..40, 0usize..3, prop_oneof![Just(0u64), 0u64..20_000]).prop_map(|(s, c, after)| Step::End(s, c, after)),
        1 => Just(Step::Want),
    ];
    proptest::collection::vec(step, 0..150)
}

proptest! {
    /// Whatever happens in whatever order: never a hot loop, never two calls for one thing, never
    /// stuck, never too many children, and once the upstream is well again everything is found.
    #[test]
    fn every_child_is_found_in_the_end(
        filters in any::<bool>(),
        shards in 1usize..40,
        steps in steps(),
    ) {
        let mut play = Play::new(filters, shards);
        for step in steps {
            play.ask();
            match step {
                Step::Pass(millis) => play.now += Duration::from_millis(millis),
                Step::Answer(fails) => play.answer(fails),
                Step::End(name, children, after) if name < play.rows.len() => {
                    play.end(name, children, Duration::from_millis(after));
                }
                Step::End(..) => {}
                Step::Want => play.catalog.want(play.now),
            }
            for (row, from) in &play.rows {
                let known = play.catalog.children_known(&row.id);
                prop_assert!(known.shards.len() <= 2 && known.shards.iter().all(|child| child.parent.as_ref() == Some(&row.id)));
                prop_assert!(!known.complete || row.is_closed());
                prop_assert!(play.catalog.graph().get(&row.id).is_none() || *from <= play.now);
            }
        }
        play.pass(Duration::from_secs(800));
        let listed: BTreeSet<_> = play.rows.iter().map(|(row, _)| row.id.clone()).collect();
        let known: BTreeSet<_> =
            play.catalog.graph().shards().map(|shard| shard.id.clone()).collect();
        prop_assert_eq!(listed, known);
        for (row, _) in &play.rows {
            let children = play.catalog.children_known(&row.id);
            prop_assert_eq!((children.complete, children.looked), (row.is_closed(), row.is_closed()));
        }
        prop_assert!(play.catalog.outage().is_none() && !play.catalog.is_gone());
        for looks in play.looks.values() {
            prop_assert!(*looks <= 1 + PAUSES_AND_ONE + play.failures, "{} looks for one shard", looks);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// With no children to look for, only the regular listings remain.
    #[test]
    fn the_heartbeat_is_bounded(shards in 1usize..3_000) {
        let mut play = Play::new(true, shards);
        play.pass(Duration::from_secs(3_600));
        let calls = play.listings.len() * shards.div_ceil(100);
        prop_assert!(calls <= 3_600 / 4 + 31 && play.listings.len() <= 61, "{} calls", calls);
    }
}

const PAUSES_AND_ONE: usize = 7;

#[test]
fn looks_are_bounded_when_no_child_comes() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    play.end(0, 0, Duration::ZERO);
    play.pass(Duration::from_secs(250));
    assert_eq!((play.looks[&id(0)], play.listings.len()), (PAUSES_AND_ONE, 5));
    assert!(
        play.catalog.children_known(&id(0)).looked && !play.catalog.children_known(&id(0)).complete
    );
    play.pass(Duration::from_secs(120));
    assert!(play.catalog.children_known(&id(0)).complete, "a listing long after the close says so");
}

#[test]
fn many_ends_are_served_by_one_listing() {
    let mut play = Play::new(true, 40);
    play.pass(Duration::from_secs(1));
    for name in 0..40 {
        play.end(name, 2, Duration::ZERO);
    }
    play.pass(Duration::from_secs(1));
    assert_eq!((play.looks.len(), play.listings.len()), (0, 2));
    assert!((0..40).all(|name| play.catalog.children_known(&id(name)).complete));
}

#[test]
fn an_answer_asked_for_before_the_end_proves_nothing() {
    let mut play = Play::new(true, 1);
    play.ask();
    play.now += Duration::from_secs(1);
    play.end(0, 1, Duration::ZERO);
    play.status = StreamStatus::Disabled;
    play.answer(None);
    let known = play.catalog.children_known(&id(0));
    assert!(!known.looked, "{known:?}");
    play.pass(Duration::from_secs(1));
    assert!(
        play.catalog.children_known(&id(0)).looked && play.catalog.children_known(&id(0)).complete
    );
    assert_eq!(play.looks[&id(0)], 1, "a disabled stream has said all");
}

#[test]
fn a_shard_the_upstream_does_not_know_does_not_end_the_stream() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    play.catalog.ended(&id(77), play.now);
    play.ask();
    play.answer(Some(ErrorClass::NotFound));
    assert!(!play.catalog.is_gone() && play.catalog.outage().is_none());
    play.pass(Duration::from_secs(10));
    assert!(play.catalog.children_known(&id(77)).looked, "the listing has told");
    play.ask();
    // Nor does one listing.
    let begun = play.now;
    while play.now < begun + APART {
        play.catalog.want(play.now);
        play.ask();
        play.answer(Some(ErrorClass::NotFound));
        assert!(!play.catalog.is_gone() && play.catalog.outage().is_some());
        play.now += Duration::from_secs(5);
    }
    play.catalog.want(play.now);
    play.ask();
    play.answer(Some(ErrorClass::NotFound));
    assert!(play.catalog.is_gone());
}

#[test]
fn a_shard_that_was_never_listed_is_known_until_its_children_are() {
    let mut play = Play::new(true, 1);
    play.rows.push((row(1, Some(77), false), play.now));
    play.catalog.ended(&id(77), play.now);
    play.pass(Duration::from_secs(600));
    let known = play.catalog.children_known(&id(77));
    assert!(known.looked && known.complete && known.shards.len() == 1, "{known:?}");
    play.pass(Duration::from_secs(3_600));
    assert!(
        !play.catalog.is_ended(&id(77)),
        "whoever names shards that do not exist fills nothing for long"
    );
}

#[test]
fn any_number_of_names_fills_only_so_much() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    for name in 1_000..2 * STRANGERS {
        play.catalog.ended(&id(name), play.now);
    }
    assert_eq!(
        (play.catalog.notes.len(), play.catalog.strangers.len()),
        (STRANGERS + 1, STRANGERS)
    );
    assert!(play.catalog.is_ended(&id(2 * STRANGERS - 1)) && !play.catalog.is_ended(&id(1_000)));
    play.pass(Duration::from_secs(2 * 3_600));
    assert_eq!((play.catalog.notes.len(), play.catalog.strangers.len()), (1, 0));
    assert_eq!(play.looks.len(), 0, "one listing serves all");
}

#[test]
fn what_is_listed_no_more_is_remembered_two_days() {
    let mut play = Play::new(true, 3);
    play.pass(Duration::from_secs(1));
    play.end(0, 1, Duration::ZERO);
    play.pass(Duration::from_secs(600));
    play.rows.remove(0);
    play.pass(Duration::from_secs(120));
    assert!(
        play.catalog.is_listed(&id(0)) == Some(false)
            && play.catalog.children_known(&id(0)).complete
    );
    play.pass(MEMORY - Duration::from_secs(240));
    assert!(play.catalog.graph().get(&id(0)).is_some());
    play.pass(Duration::from_secs(600));
    assert!(play.catalog.graph().get(&id(0)).is_none() && !play.catalog.is_ended(&id(0)));
    assert_eq!(play.catalog.graph().parent(&id(3)), Some(&id(0)), "its child goes on naming it");
}

#[test]
fn a_shard_is_not_missing_while_it_may_be_a_row_that_is_not_understood() {
    let mut play = Play::new(true, 3);
    play.pass(Duration::from_secs(1));
    play.rows.remove(0);
    play.unreadable = 1;
    play.pass(Duration::from_secs(300));
    assert!(!play.catalog.is_missing(&id(0)) && play.catalog.is_listed(&id(0)).is_none());
    assert!(play.catalog.is_listed(&id(1)) == Some(true));
    play.unreadable = 0;
    let listings = play.listings.len();
    while play.listings.len() < listings + 3 {
        assert!(
            play.listings.len() > listings + 1 || !play.catalog.is_missing(&id(0)),
            "two listings say so"
        );
        play.pass(Duration::from_secs(1));
    }
    assert!(play.catalog.is_missing(&id(0)) && play.catalog.is_listed(&id(0)) == Some(false));
}

#[test]
fn two_children_are_not_all_where_a_shard_may_have_many() {
    let mut play = Play::new(true, 1);
    play.catalog = Catalog::new(&ReadingLimits::default(), true, false, 1);
    play.pass(Duration::from_secs(1));
    play.end(0, 2, Duration::ZERO);
    play.rows.push((row(3, Some(0), false), play.now + Duration::from_secs(3)));
    play.pass(Duration::from_secs(1));
    let known = play.catalog.children_known(&id(0));
    assert!(known.looked && !known.complete && !known.full && known.shards.len() == 2, "{known:?}");
    assert_eq!(play.looks[&id(0)], 2, "one more poll tells whether these are all");
    play.pass(Duration::from_secs(400));
    let known = play.catalog.children_known(&id(0));
    assert!(known.complete && known.shards.len() == 3, "{known:?}");
}

#[test]
fn children_are_not_all_while_a_row_is_not_understood() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    play.end(0, 1, Duration::ZERO);
    play.unreadable = 1;
    play.pass(Duration::from_secs(600));
    let known = play.catalog.children_known(&id(0));
    assert!(known.looked && !known.complete, "the row may be a child: {known:?}");
    play.unreadable = 0;
    play.pass(Duration::from_secs(120));
    assert!(play.catalog.children_known(&id(0)).complete);
}

#[test]
fn a_row_that_is_not_understood_counts_from_a_look_for_children_on() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    (play.status, play.unreadable) = (StreamStatus::Disabled, 1);
    play.end(0, 0, Duration::ZERO);
    play.ask();
    play.answer(None);
    assert_eq!((play.looks[&id(0)], play.listings.len(), play.catalog.unreadable()), (1, 1, 1));
    let known = play.catalog.children_known(&id(0));
    assert!(known.looked && !known.complete, "the row may be a child: {known:?}");
}

/// A look that another caller began is joined, and may have begun before the shard's end.
#[test]
fn a_look_begun_before_the_end_proves_nothing() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    let before = play.now;
    play.now += Duration::from_secs(1);
    play.end(0, 1, Duration::ZERO);
    play.ask();
    let (look, _) = play.running.remove(0);
    assert_eq!(look, Act::Children(id(0)));
    play.running.push((look, before));
    play.answer(None);
    let known = play.catalog.children_known(&id(0));
    assert!(!known.looked && known.shards.is_empty(), "{known:?}");
    play.ask();
    play.answer(None);
    let known = play.catalog.children_known(&id(0));
    assert!(known.looked && known.shards.len() == 1, "asked again at once: {known:?}");
}

#[test]
fn a_look_refused_for_a_shard_that_is_not_listed_says_nothing_of_the_filter() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    play.catalog.ended(&id(77), play.now);
    play.ask();
    play.answer(Some(ErrorClass::Invalid));
    play.pass(Duration::from_secs(10));
    let listings = play.listings.len();
    play.end(0, 2, Duration::ZERO);
    play.pass(Duration::from_secs(1));
    assert_eq!((play.looks.get(&id(0)), play.listings.len()), (Some(&1), listings));
    assert!(play.catalog.children_known(&id(0)).complete);
}

#[test]
fn a_listing_follows_a_denied_look_at_once() {
    for denied in [ErrorClass::NotFound, ErrorClass::Invalid] {
        let mut play = Play::new(true, 1);
        play.pass(Duration::from_secs(1));
        play.rows.push((row(1, Some(77), false), play.now));
        play.catalog.ended(&id(77), play.now);
        play.ask();
        play.answer(Some(denied));
        play.ask();
        play.answer(None);
        let known = play.catalog.children_known(&id(77));
        assert!(known.looked && known.shards.len() == 1, "{denied:?}: {known:?}");
    }
}

#[test]
fn a_look_that_succeeds_ends_no_outage_of_listings() {
    let mut play = Play::new(true, 1);
    play.pass(Duration::from_secs(1));
    let asked = play.now;
    play.catalog.want(asked);
    play.ask();
    play.answer(Some(ErrorClass::AccessDenied));
    play.now += Duration::from_secs(20);
    play.ask();
    play.now += Duration::from_secs(1);
    // Not served by the listing in flight, which began before the end.
    play.end(0, 2, Duration::ZERO);
    play.ask();
    assert!(matches!(&play.running[..], [(Act::List, _), (Act::Children(_), _)]));
    play.running.rotate_left(1);
    play.answer(None);
    assert!(play.catalog.children_known(&id(0)).complete && play.catalog.outage().is_some());
    assert!(matches!(play.catalog.outcome(asked, asked), Some(Err(_))), "who waits is told");
    play.answer(None);
    assert!(play.catalog.outage().is_none() && play.catalog.outcome(asked, asked) == Some(Ok(())));
}
