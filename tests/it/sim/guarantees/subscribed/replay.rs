//! Goes through every run again, with the fake's log beside it, and notes where the two part.

mod arrived;
mod deliver;
mod events;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::standing::{Rule, Standing};
use super::world::World;
use super::{Evidence, Violation};
use crate::sim::fake::EntryId;
use crate::sim::guarantees::Guarantee;
use crate::sim::guarantees::place::{Wrong, known};
use crate::sim::history::subscribed::{Fate, Message, Origin, Point, Run, SeenRecord, What};

/// Every break that shows.
pub fn breaks(evidence: &Evidence) -> Vec<Violation> {
    let world = World::new(&evidence.truth, evidence.reading);
    let mut wanted = HashSet::new();
    for (_, run) in evidence.history.runs() {
        if let Origin::Token(token, newer) = &run.origin {
            wanted.insert(*token);
            wanted.extend(newer);
        }
    }
    let mut replay =
        Replay { evidence, world: &world, wanted, left: HashMap::new(), found: Vec::new() };
    // A token is older than the call that is made with it.
    let mut runs: Vec<_> = evidence.history.runs().collect();
    runs.sort_by_key(|(_, run)| run.asked);
    let mut newest = BTreeMap::new();
    for (start, run) in runs {
        if let Some(course) = replay.run(start, run) {
            newest.insert(start.client, (start, course));
        }
    }
    replay.arrived(&newest);
    replay.found
}

struct Replay<'a> {
    evidence: &'a Evidence,
    world: &'a World<'a>,
    /// Messages whose tokens somebody went on from.
    wanted: HashSet<Point>,
    /// Where those tokens stand.
    left: HashMap<Point, Standing>,
    found: Vec<Violation>,
}

/// What one run is about.
struct Course<'a> {
    run: &'a Run,
    standing: Standing,
    /// When it told that it begins a shard.
    opened: HashMap<usize, Duration>,
    ended: HashSet<usize>,
    delivered: HashSet<EntryId>,
    /// And whether the next one was named.
    stream_ends: BTreeMap<usize, bool>,
}

impl<'a> Replay<'a> {
    /// One run; answers what came of it.
    fn run(&mut self, start: Point, run: &'a Run) -> Option<Course<'a>> {
        let standing = self.begin(start, run)?;
        let mut course = Course {
            run,
            standing,
            opened: HashMap::new(),
            ended: HashSet::new(),
            delivered: HashSet::new(),
            stream_ends: BTreeMap::new(),
        };
        for (point, message) in run.points(start) {
            self.step(point, message, &mut course);
            if self.wanted.contains(&point) {
                let mut standing = course.standing.clone();
                standing.resume();
                self.left.insert(point, standing);
            }
        }
        Some(course)
    }

    /// Where a run begins.
    fn begin(&mut self, start: Point, run: &Run) -> Option<Standing> {
        let opened = match (&run.fate, run.opened) {
            (_, Some(opened)) => opened,
            // A call that was refused began nowhere; the client stands where it stood.
            (Fate::Failed { .. } | Fate::Left, None) => run.asked,
            (Fate::Closed(_), None) => return None,
        };
        let by_name = run.wish.by_name();
        let rule = match &run.origin {
            Origin::Horizon => Rule::Horizon { asked: run.asked },
            Origin::Latest => Rule::Latest { asked: run.asked, opened },
            Origin::Since(time) => Rule::Since { time: *time, asked: run.asked },
            Origin::Token(token, newer) => return self.resume(start, *token, newer),
        };
        let stream = if by_name {
            self.world.newest_of(&run.wish.stream, opened)
        } else {
            let named = |arn: &str| {
                self.world.truth.streams.iter().position(|stream| stream.arn.as_str() == arn)
            };
            named(&run.wish.stream)
        }?;
        let (places, lost, replaced) = Default::default();
        Some(Standing {
            by_name,
            first: stream,
            stream,
            rule,
            places,
            lost,
            replaced,
            resumed: false,
        })
    }

    /// Shard tokens count where they are further than the stream's.
    fn resume(&mut self, start: Point, token: Point, newer: &[Point]) -> Option<Standing> {
        let Some(mut standing) = self.left.get(&token).cloned() else {
            self.broken(Guarantee::Resumable, start, "it goes on from what was never seen");
            return None;
        };
        let mut newer = newer.to_vec();
        // Of two at the same place the later knows more.
        newer.sort();
        for point in &newer {
            let (Some(message), Some(further)) =
                (self.evidence.history.message_at(*point), self.left.get(point))
            else {
                continue;
            };
            if further.stream > standing.stream {
                // Of the streams before everything was told by then; whether their ends are told
                // again is left open.
                let before = further
                    .places
                    .iter()
                    .filter(|(shard, _)| self.world.stream[**shard] < further.stream);
                standing.places.extend(before.map(|(shard, place)| (*shard, place.clone())));
                standing.replaced.extend(standing.stream..further.stream);
            }
            let Some(shard) = self.shard_of(&message.what, further) else { continue };
            let (old, new) = (standing.place(self.world, shard), further.place(self.world, shard));
            if !old.begun || old.low <= new.low {
                standing.put(shard, new);
            }
            if matches!(message.what, What::Gap(_)) {
                standing.lost.insert(shard);
            }
        }
        Some(standing)
    }

    /// Which shard a message with a shard token is about.
    fn shard_of(&self, what: &What, standing: &Standing) -> Option<usize> {
        match what {
            What::Records { records, .. } => records.first().map(|record| record.id.shard as usize),
            What::Unreadable { shard, .. } => self.world.named(standing.stream, shard),
            What::Gap(gap) => self.world.named(standing.stream, &gap.shard),
            _ => None,
        }
    }

    fn step(&mut self, point: Point, message: &Message, course: &mut Course) {
        let at = message.at;
        match &message.what {
            What::Records { shard, records } => self.records(point, at, shard, records, course),
            What::Heartbeat { at_tip, observed, .. } => {
                if *at_tip {
                    self.tip(point, at, course);
                    if let Some(observed) = observed {
                        for shard in course.opened.keys() {
                            let mut place = course.standing.place(self.world, *shard);
                            if place.begun {
                                place.known = place.known.max(Some(*observed));
                                course.standing.put(*shard, place);
                            }
                        }
                    }
                }
            }
            What::ShardOpen { shard } => self.shard_open(point, at, shard, course),
            What::ShardEnd { shard, children, complete } => {
                self.shard_end(point, at, (shard, children, *complete), course);
            }
            What::Gap(gap) => self.gap(point, at, gap, course),
            What::Unreadable { shard, number, after } => {
                self.unreadable(point, at, (shard, *number, *after), course);
            }
            What::StreamEnd { stream, next } => {
                self.stream_end(point, at, stream, next.as_ref(), course)
            }
            What::End { reason } => self.end(point, at, *reason, course),
        }
    }

    fn records(
        &mut self,
        point: Point,
        at: Duration,
        shard: &str,
        records: &[SeenRecord],
        course: &mut Course,
    ) {
        for SeenRecord { id, number } in records {
            let ordinal = id.shard as usize;
            let truth = self
                .world
                .truth
                .shards
                .get(ordinal)
                .filter(|truth| truth.name.shard.as_str() == shard);
            let Some(truth) = truth.filter(|truth| truth.entries.len() > id.index as usize) else {
                self.broken(Guarantee::Ordered, point, format!("{id:?} is not of {shard}"));
                continue;
            };
            self.wrong(point, ordinal, known(truth, *id, *number).err());
            self.deliver(point, at, ordinal, id.index as usize, course);
        }
    }

    fn wrong(&mut self, point: Point, shard: usize, wrong: impl IntoIterator<Item = Wrong>) {
        for (guarantee, what) in wrong {
            self.broken(guarantee, point, format!("shard {shard}: {what}"));
        }
    }

    fn broken(&mut self, guarantee: Guarantee, point: Point, what: impl Into<String>) {
        self.found.push(Violation::new(guarantee, point, what));
    }
}
