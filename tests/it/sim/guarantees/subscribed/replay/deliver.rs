//! One entry is delivered: was it its turn, in its shard, in its lineage, in its stream?

use std::time::Duration;

use super::super::merge;
use super::{Course, Replay};
use crate::sim::guarantees::Guarantee;
use crate::sim::history::subscribed::Point;

impl Replay<'_> {
    /// One entry, readable or not.
    pub(super) fn deliver(
        &mut self,
        point: Point,
        at: Duration,
        shard: usize,
        index: usize,
        course: &mut Course,
    ) {
        self.enter(point, at, shard, course);
        let opened = course.opened.len();
        course.opened.entry(shard).or_insert(at);
        if course.opened.len() > opened {
            self.broken(
                Guarantee::Lineage,
                point,
                format!("records of shard {shard}, which was not opened"),
            );
        }
        self.lineage(point, at, shard, course);
        let mut place = course.standing.place(self.world, shard);
        let truth = self.world.shard(shard);
        let in_turn = index >= place.low;
        let turn = place.deliver(truth, at, index);
        if !course.delivered.insert(truth.entries[index].id) {
            self.broken(
                Guarantee::Once,
                point,
                format!("entry {index} of shard {shard} comes a second time"),
            );
        } else {
            self.wrong(point, shard, turn.err());
            let merge = merge::Merge {
                wish: &course.run.wish,
                standing: &course.standing,
                opened: &course.opened,
            };
            if in_turn
                && let Err(what) =
                    merge::in_turn(self.evidence, self.world, at, (shard, index), merge)
            {
                self.broken(Guarantee::Ordered, point, what);
            }
        }
        course.standing.put(shard, place);
    }

    /// The shard's stream must be the one that is followed, or the next after all of it.
    pub(super) fn enter(&mut self, point: Point, at: Duration, shard: usize, course: &mut Course) {
        let (now, next) = (course.standing.stream, self.world.stream[shard]);
        if now == next {
            return;
        }
        if !course.standing.by_name {
            self.broken(
                Guarantee::Lineage,
                point,
                format!("stream {next} where stream {now} was named by its ARN"),
            );
        } else if next < now || (now + 1..next).any(|between| self.world.is_there(between, at)) {
            self.broken(
                Guarantee::Lineage,
                point,
                format!("stream {next} after stream {now}, which is not the next"),
            );
        } else if let Some((guarantee, what)) = self.missing(&course.standing, now, at, at) {
            let guarantee =
                if guarantee == Guarantee::Reliable { Guarantee::Lineage } else { guarantee };
            self.broken(guarantee, point, format!("stream {next} is begun, but {what}"));
        }
        course.standing.stream = next;
    }

    /// No record of a child before its parents were delivered to their end, or their loss was told.
    fn lineage(&mut self, point: Point, at: Duration, shard: usize, course: &Course) {
        let standing = &course.standing;
        for above in self.world.ancestors(shard) {
            let (truth, place) = (self.world.shard(above), standing.place(self.world, above));
            let rest = truth.entries.get(place.high_at(truth, at)..).unwrap_or_default();
            let is_trimmed =
                |trimmed: Option<Duration>| trimmed.is_some_and(|trimmed| trimmed <= at);
            let hidden = self.world.is_hidden(above, at);
            if !place.begun && self.world.is_hidden(above, standing.rule.asked()) {
                // Nobody who came then could see whose child it is, and what was trimmed of it
                // since.
                return;
            }
            if rest.iter().any(|entry| is_trimmed(entry.trimmed))
                && !standing.is_covered(self.world, above, at)
            {
                let what = format!(
                    "shard {above} lost records unread and in silence before shard {shard} was begun"
                );
                return self.broken(Guarantee::Honest, point, what);
            }
            if hidden && (!place.begun || rest.is_empty()) {
                // Nobody can see any more whose child it is.
                return;
            }
            let open = !self.world.is_closed(above, at) && !hidden;
            let left = rest.iter().any(|entry| !is_trimmed(entry.trimmed));
            if open || (left && !standing.is_covered(self.world, above, at)) {
                let why = if open { "is open" } else { "was not delivered to its end" };
                return self.broken(
                    Guarantee::Lineage,
                    point,
                    format!("shard {shard}, but its ancestor {above} {why}"),
                );
            }
        }
    }
}
