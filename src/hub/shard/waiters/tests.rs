//! The waiters against a plain list of them that is walked for every question.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::poll::WaitFor;
use super::super::tests::table;
use super::*;
use crate::model::{Checkpoint, Position, SequenceNumber, Timestamp};

const PATIENCE: Duration = Duration::from_secs(30);

/// One that waits, with all that counts for it written down.
#[derive(Clone, Debug)]
struct Plain {
    id: u64,
    lane: Option<u64>,
    kind: WaiterKind,
    searches: bool,
    since: Instant,
    data_at: Option<Instant>,
    counts: Counts,
}

/// The same as [`Waiters`], by walking.
#[derive(Debug, Default)]
struct Walked {
    all: Vec<Plain>,
    queue: Vec<u64>,
    woken: Vec<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Register { who: usize, lane: Option<u64>, kind: WaiterKind, searches: bool, takes_later: bool },
    Leave { who: usize },
    Seat { lane: u64 },
    Lose { lane: u64 },
    Join { from: u64, to: u64 },
    Page { lane: u64, age: u64, page: CountedPage },
    Pass { millis: u64 },
}

impl Walked {
    fn find(&mut self, id: u64) -> &mut Plain {
        self.all.iter_mut().find(|waiter| waiter.id == id).expect("it waits")
    }

    fn is_waiting(waiter: &Plain, now: Instant) -> bool {
        waiter.data_at.is_none_or(|at| now.saturating_duration_since(at) < PATIENCE)
    }

    fn wants(&self, lane: u64, now: Instant) -> bool {
        self.all.iter().any(|waiter| waiter.lane == Some(lane) && Self::is_waiting(waiter, now))
    }

    fn holds_a_find(&self, lane: u64, now: Instant) -> bool {
        let met = |waiter: &&Plain| waiter.lane == Some(lane) && waiter.data_at.is_some();
        self.all.iter().filter(met).any(|waiter| Self::is_waiting(waiter, now) && waiter.searches)
    }

    fn needs(&self, lane: u64) -> Needs {
        let mut needs = Needs::default();
        for waiter in &self.all {
            if waiter.lane != Some(lane) || waiter.data_at.is_some() {
                continue;
            }
            match waiter.kind {
                WaiterKind::Latest | WaiterKind::Poll(WaitFor::Iterator) => needs.iterator = true,
                WaiterKind::Tip | WaiterKind::Poll(WaitFor::FreshResponse) => {
                    needs.pages = true;
                    needs.response_since = needs.response_since.max(Some(waiter.since));
                }
                WaiterKind::Poll(WaitFor::Data | WaitFor::EveryResponse) => needs.pages = true,
            }
        }
        needs
    }

    fn next_to_give_up(&self, now: Instant) -> Option<Instant> {
        let ends = self.all.iter().filter_map(|waiter| waiter.data_at).map(|at| at + PATIENCE);
        ends.filter(|end| *end > now).min()
    }

    fn page(&mut self, lane: u64, asked: Instant, page: CountedPage, now: Instant) {
        for waiter in &mut self.all {
            if waiter.lane != Some(lane) || asked < waiter.since {
                continue;
            }
            let empty = page == CountedPage::Empty;
            waiter.counts.answers += 1;
            waiter.counts.empties = if empty { waiter.counts.empties + 1 } else { 0 };
            let polls = matches!(waiter.kind, WaiterKind::Poll(_));
            if page == CountedPage::Data && polls {
                waiter.data_at.get_or_insert(now);
            }
            if waiter.counts.empties == 1 || waiter.kind == WaiterKind::Poll(WaitFor::EveryResponse)
            {
                self.woken.push(waiter.id);
            }
        }
    }
}

fn position(searches: bool) -> Option<ReadPosition> {
    let number = SequenceNumber::parse("1").expect("a number");
    let position = match searches {
        true => Position::AtTimestamp(Timestamp::EPOCH),
        false => Position::AfterSequenceNumber(number),
    };
    Some(ReadPosition::restored(Checkpoint::new(position, None)))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop::sample::select(vec![
        WaiterKind::Poll(WaitFor::Data),
        WaiterKind::Poll(WaitFor::EveryResponse),
        WaiterKind::Poll(WaitFor::FreshResponse),
        WaiterKind::Poll(WaitFor::Iterator),
        WaiterKind::Tip,
        WaiterKind::Latest,
    ]);
    let page =
        prop::sample::select(vec![CountedPage::Empty, CountedPage::Dropped, CountedPage::Data]);
    let register = (0usize..6, prop::option::of(1u64..4), kind, any::<bool>(), any::<bool>());
    let step = prop_oneof![
        4 => register.prop_map(|(who, lane, kind, searches, later)| {
            let takes_later = later && lane.is_some() && matches!(kind, WaiterKind::Poll(_));
            Step::Register { who, lane, kind, searches, takes_later }
        }),
        1 => (0usize..6).prop_map(|who| Step::Leave { who }),
        1 => (1u64..4).prop_map(|lane| Step::Seat { lane }),
        1 => (1u64..4).prop_map(|lane| Step::Lose { lane }),
        1 => (1u64..3).prop_map(|from| Step::Join { from, to: 3 }),
        5 => (1u64..4, 0u64..3, page).prop_map(|(lane, age, page)| Step::Page { lane, age, page }),
        3 => (1u64..20_000).prop_map(|millis| Step::Pass { millis }),
    ];
    proptest::collection::vec(step, 0..120)
}

/// Both ways to keep waiters, side by side.
struct Pair {
    waiters: Waiters,
    walked: Walked,
    ids: [Option<u64>; 6],
    /// When each lane was answered last.
    answered: [Instant; 4],
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let now = crate::clock::Clock::system().now().at;
        Self {
            waiters: Waiters::default(),
            walked: Walked::default(),
            ids: [None; 6],
            answered: [now; 4],
            now,
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Pass { millis } => self.now += Duration::from_millis(millis),
            Step::Register { who, lane, kind, searches, takes_later } => {
                let data_at = takes_later.then_some(now);
                self.register(
                    who,
                    Registration { lane, kind, position: position(searches), data_at },
                );
            }
            Step::Leave { who } => {
                if let Some(id) = self.ids[who] {
                    self.walked.all.retain(|waiter| waiter.id != id);
                    self.walked.queue.retain(|queued| *queued != id);
                }
                self.waiters.leave(&mut self.ids[who]);
            }
            Step::Seat { lane } => {
                let first = self.waiters.first_queued();
                assert_eq!(first.as_ref().map(|first| first.0), self.walked.queue.first().copied());
                if let Some((id, ..)) = first {
                    self.waiters.seat(id, lane);
                    self.walked.queue.remove(0);
                    self.walked.find(id).lane = Some(lane);
                }
            }
            Step::Lose { lane } => {
                self.waiters.lose(&[lane]);
                for waiter in self.walked.all.iter_mut().filter(|waiter| waiter.lane == Some(lane))
                {
                    waiter.lane = None;
                    self.walked.queue.extend(waiter.data_at.is_none().then_some(waiter.id));
                }
            }
            Step::Join { from, to } => {
                self.waiters.join(from, to);
                for waiter in self.walked.all.iter_mut().filter(|waiter| waiter.lane == Some(from))
                {
                    waiter.lane = Some(to);
                    self.walked.woken.push(waiter.id);
                }
            }
            Step::Page { lane, age, page } => {
                // A lane has one call under way at a time.
                let before = self.answered[lane as usize];
                let asked = now.checked_sub(Duration::from_secs(age)).unwrap_or(now).max(before);
                self.answered[lane as usize] = now;
                self.waiters.answered(lane, asked, page, now);
                self.walked.page(lane, asked, page, now);
            }
        }
    }

    fn register(&mut self, who: usize, entry: Registration) {
        let is_new = self.ids[who].is_none();
        self.waiters.register(&mut self.ids[who], entry.clone(), self.now);
        let id = self.ids[who].expect("registered");
        self.waiters.set_wakeup(Some(id), Some(id));
        let Registration { lane, kind, position, data_at } = entry;
        if is_new {
            let counts = Counts::default();
            let fresh = Plain { id, lane, kind, searches: false, since: self.now, data_at, counts };
            self.walked.all.push(fresh);
        }
        match lane {
            Some(_) => self.walked.queue.retain(|queued| *queued != id),
            None if !self.walked.queue.contains(&id) => self.walked.queue.push(id),
            None => {}
        }
        let waiter = self.walked.find(id);
        if waiter.lane != lane || waiter.kind != kind {
            waiter.counts = Counts::default();
        }
        (waiter.lane, waiter.kind, waiter.data_at) = (lane, kind, data_at);
        waiter.searches = position.is_some_and(|position| !position.is_numbered());
    }

    fn check(&mut self) {
        let now = self.now;
        assert_eq!(self.waiters.count(), self.walked.all.len());
        assert_eq!(self.waiters.queued(), self.walked.queue.len());
        for waiter in self.walked.all.clone() {
            let Plain { id, lane, kind, since, data_at, counts, .. } = waiter;
            let known = Registered { kind, lane, since, data_at, counts };
            assert_eq!(self.waiters.get(Some(id)), Some(known));
        }
        for lane in 1..4 {
            assert_eq!(self.waiters.needs(lane), self.walked.needs(lane));
            assert_eq!(self.waiters.want(lane, PATIENCE, now), self.walked.wants(lane, now));
            let finds = self.waiters.hold_a_find(lane, PATIENCE, now);
            assert_eq!(finds, self.walked.holds_a_find(lane, now));
        }
        let next = self.waiters.next_to_give_up(PATIENCE, now);
        assert_eq!(next, self.walked.next_to_give_up(now));
        let mut woken = std::mem::take(&mut self.walked.woken);
        woken.sort_unstable();
        woken.dedup();
        assert_eq!(self.waiters.take_wakeups(), Wakeups::These(woken));
        let crowded: usize = self.waiters.crowds.values().map(|crowd| crowd.ids().count()).sum();
        assert_eq!(crowded, self.walked.all.len(), "each in one crowd");
        assert!(self.waiters.crowds.values().all(|crowd| !crowd.is_empty()));
    }
}

/// Where a waiter is, in the words of ARCHITECTURE.md's table.
fn stage(waiters: &Waiters, id: Option<u64>) -> &'static str {
    let Some(waiter) = id.and_then(|id| waiters.all.get(&id)) else { return "absent" };
    match (waiter.place, waiter.data_at) {
        (Place::Lane(_), None) => "on a lane",
        (Place::Lane(_), Some(_)) => "on a lane, with data",
        (Place::Queue(_), None) => "queued",
        (Place::Nowhere, Some(_)) => "nowhere, with data",
        (Place::Queue(_), Some(_)) | (Place::Nowhere, None) => "impossible",
    }
}

/// The same for a step.
fn event(step: &Step) -> &'static str {
    match step {
        Step::Register { takes_later: true, .. } => "finds data, to be taken later",
        Step::Register { lane: Some(_), .. } => "waits at a lane",
        Step::Register { lane: None, .. } => "waits without a lane",
        Step::Leave { .. } => "leaves",
        Step::Seat { .. } => "its turn for a lane",
        Step::Lose { .. } => "its lane ends",
        Step::Join { .. } => "its lane joins another",
        Step::Page { page: CountedPage::Data, .. } => "a page with data",
        Step::Page { .. } => "a page without data",
        Step::Pass { .. } => "time passes",
    }
}

#[test]
fn waiters_do_what_their_table_says_and_nothing_else() {
    let mut seen = BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let tree = steps().new_tree(&mut runner).expect("steps");
        let mut pair = Pair::new();
        for step in tree.current() {
            let before = pair.ids.map(|id| (id, stage(&pair.waiters, id)));
            let event = event(&step);
            pair.step(step);
            for ((old, from), new) in before.into_iter().zip(pair.ids) {
                let to = stage(&pair.waiters, new);
                if old.or(new).is_some() && (from != to || old != new) {
                    seen.insert((from.to_owned(), event.to_owned(), to.to_owned()));
                }
            }
        }
    }
    assert_eq!(seen, table("### Where a waiter is"));
}

proptest! {
    #[test]
    fn what_is_counted_is_what_walking_would_find(steps in steps()) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
            pair.check();
        }
    }
}
