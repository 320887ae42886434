//! What is told beside records.

use std::time::Duration;

use shardstream::model::{SequenceNumber, StreamArn};

use super::super::standing::{Rule, Standing};
use super::{Course, Replay};
use crate::sim::guarantees::Guarantee;
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Cause, Gap, Point, ShardRow};

/// Names of streams are kept so long.
const NAMES_CACHED: Duration = Duration::from_secs(15);

impl Replay<'_> {
    pub(super) fn shard_open(
        &mut self,
        point: Point,
        at: Duration,
        row: &ShardRow,
        course: &mut Course,
    ) {
        let stream = self.world.stream_named(&row.stream);
        let Some(shard) = stream.and_then(|stream| self.world.named(stream, &row.shard)) else {
            return self.broken(Guarantee::Lineage, point, format!("no such shard: {row:?}"));
        };
        let parent = self.world.shard(shard).parent.as_ref().map(|parent| parent.to_string());
        // Who goes on from a token learns a shard's parent from the listing, and from nothing else
        // once that lacks the shard.
        let unknown =
            row.parent.is_none() && course.standing.resumed && self.world.is_hidden(shard, at);
        if parent != row.parent && !unknown {
            self.broken(
                Guarantee::Lineage,
                point,
                format!("the parent of shard {shard} is {parent:?}, not {row:?}"),
            );
        }
        self.enter(point, at, shard, course);
        if course.opened.insert(shard, at).is_some() {
            self.broken(Guarantee::Once, point, format!("shard {shard} is opened a second time"));
        }
    }

    /// A shard by its name in the stream that is followed.
    fn find(
        &mut self,
        point: Point,
        at: Duration,
        name: &str,
        course: &mut Course,
    ) -> Option<usize> {
        let now = course.standing.stream;
        let mut shard = self.world.named(now, name);
        let over = course.standing.replaced.contains(&now) || course.stream_ends.contains_key(&now);
        if let Some(next) = self
            .world
            .next_after(now, at)
            .filter(|_| shard.is_none() && over && course.standing.by_name)
        {
            shard = self.world.named(next, name);
            if let Some(shard) = shard {
                self.enter(point, at, shard, course);
            }
        }
        if shard.is_none() {
            self.broken(Guarantee::Honest, point, format!("an event of {name}, which is no shard"));
        }
        shard
    }

    pub(super) fn shard_end(
        &mut self,
        point: Point,
        at: Duration,
        (name, children, complete): (&str, &[ShardRow], bool),
        course: &mut Course,
    ) {
        let Some(shard) = self.find(point, at, name, course) else { return };
        if !course.ended.insert(shard) {
            self.broken(Guarantee::Once, point, format!("shard {shard} ends a second time"));
        }
        let truth = self.world.shard(shard);
        if !self.world.is_closed(shard, at) && !self.world.has_vanished(shard, at) {
            self.broken(
                Guarantee::Honest,
                point,
                format!("the end of shard {shard}, which is open"),
            );
        }
        let mut place = course.standing.place(self.world, shard);
        let (upper, end) = (place.high_at(truth, at), truth.entries.len());
        if !course.standing.is_covered(self.world, shard, at) {
            self.wrong(point, shard, place.skip(truth, at, upper..end).err());
        }
        place.stand_before(end);
        (place.begun, place.carried) = (true, false);
        course.standing.put(shard, place);
        let known: Vec<_> =
            self.world.children[shard].iter().map(|child| self.world.shard(*child)).collect();
        for told in children {
            let is_it = known
                .iter()
                .any(|child| child.name.shard.as_str() == told.shard && child.listed_from <= at);
            if !is_it || told.parent.as_deref() != Some(name) {
                self.broken(
                    Guarantee::Lineage,
                    point,
                    format!("{told:?} is not known to be a child of shard {shard}"),
                );
            }
        }
        let stream = &self.world.truth.streams[self.world.stream[shard]];
        let over = [stream.disabled, stream.deleted].iter().flatten().any(|over| *over <= at);
        if complete && !over && known.iter().any(|child| child.listed_from > at) {
            self.broken(
                Guarantee::Honest,
                point,
                format!("more children of shard {shard} are still to come"),
            );
        }
    }

    pub(super) fn unreadable(
        &mut self,
        point: Point,
        at: Duration,
        (name, number, after): (&str, Option<SequenceNumber>, Option<SequenceNumber>),
        course: &mut Course,
    ) {
        let Some(shard) = self.find(point, at, name, course) else { return };
        let index = course.standing.place(self.world, shard).unreadable(
            self.world.shard(shard),
            number,
            after,
        );
        match index {
            Some(index) => self.deliver(point, at, shard, index, course),
            None => self.broken(
                Guarantee::Honest,
                point,
                format!("nothing is unreadable at {number:?}"),
            ),
        }
    }

    pub(super) fn gap(&mut self, point: Point, at: Duration, gap: &Gap, course: &mut Course) {
        if gap.cause == Cause::StreamReplaced {
            let stream = course.standing.stream;
            if self.world.is_there(stream, at) {
                self.broken(
                    Guarantee::Honest,
                    point,
                    format!("stream {stream} is said to be gone, but it is there"),
                );
            }
            let lost = match self.world.named(stream, &gap.shard) {
                Some(shard) => {
                    let (truth, place) =
                        (self.world.shard(shard), course.standing.place(self.world, shard));
                    place.low < truth.entries.len()
                }
                None => course.standing.replaced.contains(&stream),
            };
            if gap.certain && !lost && self.missing(&course.standing, stream, at, at).is_none() {
                self.broken(
                    Guarantee::Honest,
                    point,
                    format!("nothing of stream {stream} is certainly lost"),
                );
            }
            course.standing.replaced.insert(stream);
            return;
        }
        let Some(shard) = self.find(point, at, &gap.shard, course) else { return };
        let truth = self.world.shard(shard);
        let mut place = course.standing.place(self.world, shard);
        let vanished = self.world.has_vanished(shard, at);
        // A shard that nobody can name any more is told of with one that is related to it.
        let relative = |other: usize| {
            let truth = self.world.shard(other);
            let place = course.standing.place(self.world, other);
            let loss = place.has_lost(truth, at) || place.high_at(truth, at) < truth.entries.len();
            other != shard
                && self.world.has_vanished(other, at)
                && loss
                && self.world.are_related(other, shard)
        };
        let lost = vanished || self.world.shards_of(self.world.stream[shard]).any(relative);
        let now = self.world.truth.ours(at);
        self.wrong(point, shard, place.gap(truth, at, now, (gap.after, gap.certain), lost));
        if gap.cause == Cause::ShardExpired && !vanished {
            self.broken(
                Guarantee::Honest,
                point,
                format!("shard {shard} is said to be gone, but it is there"),
            );
        }
        match gap.before {
            Some(before) => self.wrong(point, shard, place.pass_to(truth, at, before)),
            None if gap.cause == Cause::ShardExpired => place.stand_before(truth.entries.len()),
            None => {
                place.high = place.low;
                place.float(at);
            }
        }
        (place.given, place.begun, place.carried) = (Some(now), true, false);
        course.standing.put(shard, place);
        course.standing.lost.insert(shard);
    }

    pub(super) fn stream_end(
        &mut self,
        point: Point,
        at: Duration,
        arn: &StreamArn,
        next: Option<&StreamArn>,
        course: &mut Course,
    ) {
        let now = course.standing.stream;
        let Some(stream) = self.world.stream_named(arn).filter(|stream| *stream == now) else {
            return self.broken(
                Guarantee::Honest,
                point,
                format!("the end of {arn}, but stream {now} is followed"),
            );
        };
        // Told again when there is a next one at last.
        let before = course.stream_ends.insert(stream, next.is_some());
        if before.is_some_and(|named| named || next.is_none()) {
            self.broken(Guarantee::Once, point, format!("stream {stream} ends a second time"));
        }
        let fate = &self.world.truth.streams[stream];
        if [fate.disabled, fate.deleted].iter().flatten().all(|time| *time > at) {
            self.broken(
                Guarantee::Honest,
                point,
                format!("the end of stream {stream}, which is not closed"),
            );
        }
        if let Some((guarantee, what)) = self.missing(&course.standing, stream, at, at) {
            self.broken(guarantee, point, format!("stream {stream} ends, but {what}"));
        }
        let silent = course
            .opened
            .keys()
            .find(|shard| self.world.stream[**shard] == stream && !course.ended.contains(shard));
        if let Some(shard) = silent {
            self.broken(
                Guarantee::Honest,
                point,
                format!("stream {stream} ends, but shard {shard} did not"),
            );
        }
        let told = next.map(|next| self.world.stream_named(next));
        let (then, now) = (at.saturating_sub(NAMES_CACHED), at);
        let may = [then, now]
            .map(|time| self.world.next_after(stream, time).filter(|_| course.standing.by_name));
        if !may.iter().any(|may| may.map(Some) == told) {
            let what = format!("after stream {stream} comes {may:?}, not {next:?}");
            self.broken(Guarantee::Honest, point, what);
        }
    }

    /// The fake calls no place malformed but a time in a shard whose records bear none.
    fn may_refuse(&self, standing: &Standing, at: Duration) -> bool {
        let (world, truth) = (self.world, &self.world.truth);
        let time = match standing.rule {
            Rule::Horizon { .. } => return false,
            Rule::Latest { asked, .. } => truth.base.plus(asked),
            Rule::Since { time, .. } => time,
        };
        let by_time = |shard: &usize| {
            standing.stream == standing.first && !standing.place(world, *shard).begun
        };
        let mut waiting = world.shards_of(standing.first).filter(by_time);
        waiting.any(|shard| truth.is_lost(time, world.shard(shard), at))
    }

    pub(super) fn end(&mut self, point: Point, at: Duration, reason: EndReason, course: &Course) {
        let standing = &course.standing;
        if reason == EndReason::StreamEnd && !course.stream_ends.contains_key(&standing.stream) {
            self.broken(Guarantee::Honest, point, "STREAM_END without a stream_end");
        }
        if reason == EndReason::Refused && !self.may_refuse(standing, at) {
            self.broken(Guarantee::Honest, point, "a place is refused that can be found");
        }
        let until = course.run.wish.until;
        let sent = course.delivered.len();
        if reason == EndReason::Limit && until.records.is_none_or(|limit| sent < limit) {
            let slack = self.slack();
            let before = until.time.map(|time| time.floor());
            let early = |time: &_| !until.at_tip && self.world.truth.base.plus(at) < *time;
            if let Some(time) = before.filter(early) {
                let what = format!(
                    "LIMIT, but AWS's clock has not reached {time}: older records may come"
                );
                self.broken(Guarantee::Reliable, point, what);
            }
            match self.unread(course, at, at.saturating_sub(slack), before) {
                Some(what) => self.broken(Guarantee::Reliable, point, format!("LIMIT, but {what}")),
                None if !until.at_tip && until.time.is_none() => {
                    self.broken(Guarantee::Honest, point, "LIMIT where no limit is met");
                }
                None => {}
            }
        }
    }
}
