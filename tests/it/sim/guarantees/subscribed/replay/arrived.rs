//! What has not come: nothing may be missing at the tip, at a stream's end, and when everything had
//! time to arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use shardstream::model::Timestamp;

use super::super::Violation;
use super::super::standing::Standing;
use super::{Course, Replay};
use crate::sim::fake::{EntryTruth, HIDDEN};
use crate::sim::guarantees::Guarantee;
use crate::sim::history::subscribed::{ClientLog, Fate, Point, Run, What};

/// A call is answered so soon, or refused.
const OPENING: Duration = Duration::from_secs(30);

/// A shard that was listed for so long is known.
const LISTED: Duration = Duration::from_secs(60);

impl Replay<'_> {
    /// How old a record must be to be known to the server, if nothing fails.
    pub(super) fn slack(&self) -> Duration {
        let reading = self.evidence.reading;
        let hidden = if reading.false_empties { HIDDEN } else { Duration::ZERO };
        2 * reading.idle + 2 * reading.latency + Duration::from_secs(1) + hidden
    }

    /// Something of a stream that was written by `written`, was to come, and neither came nor was
    /// told to be lost.
    pub(super) fn missing(
        &self,
        standing: &Standing,
        stream: usize,
        at: Duration,
        written: Duration,
    ) -> Option<(Guarantee, String)> {
        for shard in self.world.shards_of(stream) {
            let (truth, place) = (self.world.shard(shard), standing.place(self.world, shard));
            let rest = truth.entries.get(place.high_at(truth, at)..).unwrap_or_default();
            let due = |entry: &&EntryTruth| entry.written <= written;
            let Some(entry) = rest.iter().find(due) else { continue };
            if truth.listed_from > written || standing.is_covered(self.world, shard, at) {
                continue;
            }
            let hidden = self.world.is_hidden(shard, at);
            let trimmed = |entry: &EntryTruth| entry.trimmed.is_some_and(|trimmed| trimmed <= at);
            if hidden && (self.world.expired_with(shard, entry) || place.begun) {
                let what = format!(
                    "shard {shard} is gone with entry {} unread, and no gap tells",
                    entry.id.index
                );
                return Some((Guarantee::Honest, what));
            }
            if hidden || !self.is_reachable(shard, written) {
                continue;
            }
            if trimmed(entry) {
                let what = format!(
                    "entry {} of shard {shard} was trimmed unread, and no gap tells",
                    entry.id.index
                );
                return Some((Guarantee::Honest, what));
            }
            return Some((
                Guarantee::Reliable,
                format!("entry {} of shard {shard} never came", entry.id.index),
            ));
        }
        None
    }

    /// All shards above it that can be seen are closed.
    fn is_reachable(&self, shard: usize, at: Duration) -> bool {
        let mut above =
            self.world.ancestors(shard).take_while(|above| !self.world.is_hidden(*above, at));
        above.all(|above| self.world.is_closed(above, at))
    }

    /// Something that the server must know to be there and that was not delivered: of shards that
    /// are begun, or that were listed when the call came.
    pub(super) fn unread(
        &self,
        course: &Course,
        at: Duration,
        written: Duration,
        created_before: Option<Timestamp>,
    ) -> Option<String> {
        let standing = &course.standing;
        for shard in self.world.shards_of(standing.stream) {
            let (truth, place) = (self.world.shard(shard), standing.place(self.world, shard));
            let listed = truth.listed_from + LISTED <= course.run.asked
                || course.opened.contains_key(&shard);
            if self.world.has_vanished(shard, at) || !listed || !self.is_reachable(shard, written) {
                continue;
            }
            let rest = truth.entries.get(place.high_at(truth, at)..).unwrap_or_default();
            let known = |entry: &&EntryTruth| {
                let new = created_before.is_some_and(|time| entry.created_at >= time);
                entry.written <= written && entry.trimmed.is_none_or(|trimmed| trimmed > at) && !new
            };
            // With a time that ends it, nothing behind the first newer record is to come.
            if let Some(entry) = rest.first().filter(known) {
                return Some(format!("entry {} of shard {shard} is there", entry.id.index));
            }
        }
        None
    }

    /// A heartbeat says that nothing is there.
    pub(super) fn tip(&mut self, point: Point, at: Duration, course: &Course) {
        // Whoever takes its time may have got it long after it was said.
        if course.run.slow {
            return;
        }
        if let Some(what) = self.unread(course, at, at.saturating_sub(self.slack()), None) {
            self.broken(Guarantee::Honest, point, format!("at the tip, but {what}"));
        }
    }

    /// Whoever followed to the end has everything that had time to arrive.
    pub(super) fn arrived(&mut self, newest: &BTreeMap<usize, (Point, Course)>) {
        let history = &self.evidence.history;
        let Some(settled) = history.settled else { return };
        let at = self.world.truth.taken;
        for (client, log) in history.subscribers.iter().enumerate().filter(|(_, log)| log.follows) {
            let Some((start, course)) = newest.get(&client) else {
                if self.has_no_stream(log, at) && refused_last(log, at) {
                    continue;
                }
                let what = format!("client {client} was never served");
                self.found.push(Violation::new(Guarantee::Reliable, None, what));
                continue;
            };
            let (standing, point) = (&course.standing, *start);
            let mut stream = standing.stream;
            if !standing.by_name && self.world.truth.streams[stream].deleted.is_some() {
                self.told_of_deletion(point, course, settled);
                continue;
            }
            let none_left =
                !self.world.is_there(stream, at) && self.world.next_after(stream, at).is_none();
            if none_left && course.run.opened.is_none() && refused_last(log, at) {
                // The table has no stream any more, and whoever comes by its name is told so.
                continue;
            }
            for shard in course.opened.keys().filter(|shard| !course.ended.contains(shard)) {
                let gone = self.world.has_vanished(*shard, at);
                if self.world.is_closed(*shard, settled)
                    && self.is_reachable(*shard, settled)
                    && !gone
                {
                    self.broken(
                        Guarantee::Honest,
                        point,
                        format!("the end of shard {shard} was never told"),
                    );
                }
            }
            loop {
                if let Some((guarantee, what)) = self.missing(standing, stream, at, settled) {
                    self.broken(guarantee, point, format!("client {client} is done, but {what}"));
                }
                let fate = &self.world.truth.streams[stream];
                let over =
                    [fate.disabled, fate.deleted].iter().flatten().any(|time| *time <= settled);
                match self.world.next_after(stream, settled).filter(|_| standing.by_name && over) {
                    Some(next) => stream = next,
                    None => break,
                }
            }
            if let Some(run) = log.runs.last() {
                self.ended_quietly(point, run, settled);
                let over =
                    self.world.truth.streams[stream].disabled.is_some_and(|over| over <= settled);
                if !standing.by_name && over && run.fate == Fate::Left && !run.wish.until.at_tip {
                    self.broken(
                        Guarantee::Honest,
                        point,
                        "the stream is over, and the subscription goes on",
                    );
                }
            }
        }
    }

    /// The table that it came for has no stream any more.
    fn has_no_stream(&self, log: &ClientLog, at: Duration) -> bool {
        let last = log.runs.last().filter(|run| run.wish.by_name() && !run.wish.stream.is_empty());
        last.is_some_and(|run| self.world.newest_of(&run.wish.stream, at).is_none())
    }

    /// Whoever reads a stream that is deleted is told, not left waiting.
    fn told_of_deletion(&mut self, start: Point, course: &Course, settled: Duration) {
        let deleted = self.world.truth.streams[course.standing.stream].deleted;
        let news =
            |what: &What| matches!(what, What::Gap(_) | What::StreamEnd { .. } | What::End { .. });
        let told = course.run.messages.iter().any(|message| news(&message.what));
        if course.run.fate == Fate::Left
            && !told
            && deleted.is_some_and(|deleted| deleted <= settled)
        {
            self.broken(Guarantee::Honest, start, "the stream is deleted, and nothing tells");
        }
    }

    /// The last run of a follower is alive and at its tip, or the stream is over.
    fn ended_quietly(&mut self, start: Point, run: &Run, settled: Duration) {
        let point = Point { message: run.messages.len().saturating_sub(1), ..start };
        let beats = run.messages.iter().rev().filter_map(|message| match message.what {
            What::Heartbeat { at_tip, .. } => Some((message.at, at_tip)),
            _ => None,
        });
        let newest = beats.take(1).next();
        match (&run.fate, newest) {
            (Fate::Left, Some((at, at_tip))) if at > settled + Duration::from_secs(60) => {
                if !at_tip && !run.slow {
                    self.broken(
                        Guarantee::Honest,
                        point,
                        "everything came, but the tip is never reached",
                    );
                }
            }
            (Fate::Closed(code), _) if code == "OK" => {}
            _ => self.broken(
                Guarantee::Reliable,
                point,
                format!("a follower ends with {:?}", run.fate),
            ),
        }
    }
}

/// The newest call that was answered was refused; at most one is under way since.
fn refused_last(log: &ClientLog, at: Duration) -> bool {
    let under_way =
        |run: &&Run| run.fate == Fate::Left && run.opened.is_none() && run.asked + OPENING > at;
    let answered = match log.runs.split_last() {
        Some((last, before)) if under_way(&last) => before.last(),
        _ => log.runs.last(),
    };
    answered.is_some_and(|run| matches!(run.fate, Fate::Failed { .. }))
}
