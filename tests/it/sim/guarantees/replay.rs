//! Goes through every client's log again, with the fake's log beside it, and notes where the two
//! part.

use std::collections::HashMap;
use std::time::Duration;

use shardstream::model::Position as TokenPosition;
use shardstream::upstream::{ErrorClass, Operation};

use super::place::{self, Place, Wrong};
use super::standing::Standing;
use super::{Evidence, Guarantee, Violation, cadence, listed};
use crate::sim::fake::{Call, EntryKind, EntryTruth, Outcome, ShardTruth, Truth};
use crate::sim::history::{
    BadEntry, Batch, ClientLog, EndReason, Gap, Opened, Origin, Point, Seen, SeenEntry, Via, What,
};

/// So long lie between two listings that both lack a shard, before what denies it is believed.
const APART: Duration = Duration::from_secs(15);

/// Every break that shows.
pub fn breaks(evidence: &Evidence) -> Vec<Violation> {
    let truth = &evidence.truth;
    let mut replay =
        Replay { evidence, truth, runs: HashMap::new(), left: HashMap::new(), found: Vec::new() };
    replay.run();
    replay.found
}

struct Replay<'a> {
    evidence: &'a Evidence,
    truth: &'a Truth,
    /// Where each run stands now.
    runs: HashMap<(usize, usize), Standing>,
    /// Where the token of an item stands, and where the item left its run.
    left: HashMap<(usize, usize), Left>,
    found: Vec<Violation>,
}

struct Left {
    token: Standing,
    run: Standing,
}

impl<'a> Replay<'a> {
    /// Every client's items in their order; a client that resumes from another's waits for it.
    fn run(&mut self) {
        let clients = &self.evidence.history.clients;
        let mut next = vec![0; clients.len()];
        loop {
            let mut moved = false;
            for (client, log) in clients.iter().enumerate() {
                while let Some(seen) = log.items.get(next[client])
                    && self.can_be_taken(seen)
                {
                    self.take(Point { client, item: next[client] }, seen);
                    next[client] += 1;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        for (client, log) in
            clients.iter().enumerate().filter(|(client, log)| next[*client] < log.items.len())
        {
            let point = Point { client, item: next[client] };
            self.broken(
                Guarantee::Resumable,
                point,
                &format!("{} resumed from what was never seen", log.name),
            );
        }
        self.arrived();
    }

    fn can_be_taken(&self, seen: &Seen) -> bool {
        match &seen.what {
            What::Opened(Opened {
                origin: Origin::Token(from) | Origin::Session(from), ..
            }) => self.left.contains_key(&(from.client, from.item)),
            _ => true,
        }
    }

    fn take(&mut self, point: Point, seen: &Seen) {
        let run = (point.client, seen.run);
        let before = match &seen.what {
            What::Opened(opened) => Some(self.open(seen, opened)),
            _ => self.runs.remove(&run),
        };
        let Some(mut standing) = before else {
            return self.broken(Guarantee::Resumable, point, "a run that was never opened");
        };
        let token = self.step(point, seen, &mut standing);
        self.check_token(point, seen, &token);
        self.left.insert((point.client, point.item), Left { token, run: standing.clone() });
        self.runs.insert(run, standing);
    }

    fn open(&self, seen: &Seen, opened: &Opened) -> Standing {
        match opened.origin {
            Origin::Position(position) => Standing::asked(position, opened, seen.at, self.evidence),
            Origin::Seek(time) => Standing::sought(time, opened, self.truth),
            Origin::Token(from) => {
                let token = &self.left[&(from.client, from.item)].token;
                let place =
                    self.evidence.history.at(from).and_then(|seen| seen.what.token()?.place);
                Standing { gone: false, ..carried(token.as_told(place, self.shard(token))) }
            }
            Origin::Session(from) => carried(self.left[&(from.client, from.item)].run.clone()),
        }
    }

    /// Moves `standing` over one item; answers where its token stands.
    fn step(&mut self, point: Point, seen: &Seen, standing: &mut Standing) -> Standing {
        match &seen.what {
            What::Records(batch) | What::LostAnswer(batch) => {
                self.batch(point, seen.at, batch, standing)
            }
            What::Gap(gap) => self.gap(point, seen.at, gap, standing),
            What::Unreadable { entry, .. } => self.bad(point, seen.at, entry, standing),
            What::ShardEnd { .. } => self.shard_end(point, seen.at, standing),
            What::Heartbeat { at_tip: true, observed, .. } => {
                if let Some(why) = cadence::refute_tip(standing, self.truth, seen.at) {
                    self.broken(Guarantee::Honest, point, &why);
                }
                standing.place.known = standing.place.known.max(*observed);
            }
            What::End { reason, code, .. } => {
                if *reason == EndReason::Refused {
                    self.refused(point, seen.at, standing);
                }
                if code != reason.code() {
                    self.broken(Guarantee::Honest, point, &format!("{reason:?} ends with {code}"));
                }
            }
            What::Failed { reason, token, .. } => {
                let behind = token.as_ref().and_then(|token| token.place);
                return self.failed(point, seen.at, reason, behind, standing);
            }
            What::Opened(_) | What::Repeat { .. } | What::Heartbeat { .. } | What::Left => {}
        }
        standing.clone()
    }

    /// An answer tells its bad entries beside its records: each is put among them where the log has
    /// it.
    fn batch(&mut self, point: Point, at: Duration, batch: &Batch, standing: &mut Standing) {
        if batch.token.text.is_empty() {
            self.broken(Guarantee::Bookmarkable, point, "records without a token");
        }
        let mut bad = batch.entries.iter().filter_map(|entry| match entry {
            SeenEntry::Bad(bad) => Some(bad),
            SeenEntry::Record { .. } => None,
        });
        let mut next_bad = bad.next();
        for entry in &batch.entries {
            let SeenEntry::Record { id, number } = entry else { continue };
            let truth = self.shard(standing);
            if let Err(wrong) = place::known(truth, *id, *number) {
                let is_other = wrong.0 == Guarantee::Ordered;
                self.wrong(point, [wrong]);
                if is_other {
                    continue;
                }
            }
            while let Some(told) = next_bad
                && standing
                    .place
                    .unreadable(truth, told.number, told.after)
                    .is_none_or(|index| (index as u64) < id.index)
            {
                self.bad(point, at, told, standing);
                next_bad = bad.next();
            }
            self.deliver(point, at, id.index as usize, standing);
        }
        for told in next_bad.into_iter().chain(bad) {
            self.bad(point, at, told, standing);
        }
    }

    fn bad(&mut self, point: Point, at: Duration, bad: &BadEntry, standing: &mut Standing) {
        let place = &mut standing.place;
        match place.unreadable(
            self.truth.shard(&standing.shard).expect("a shard of the fake"),
            bad.number,
            bad.after,
        ) {
            // Whether it is old enough nobody can read.
            Some(index) if index < place.low && place.by_time && bad.number.is_none() => {
                place.low = index + 1
            }
            Some(index) => self.deliver(point, at, index, standing),
            None => self.broken(
                Guarantee::Honest,
                point,
                &format!("nothing is unreadable where {bad:?} is said to be"),
            ),
        }
    }

    /// One entry, readable or not.
    fn deliver(&mut self, point: Point, at: Duration, index: usize, standing: &mut Standing) {
        if standing.gone {
            self.broken(Guarantee::Honest, point, "an entry of a shard that is said to be gone");
        }
        let turn = standing.place.deliver(self.shard(standing), at, index);
        self.wrong(point, turn.err());
    }

    fn gap(&mut self, point: Point, at: Duration, gap: &Gap, standing: &mut Standing) {
        let (shard, now) = (self.shard(standing), self.truth.ours(at));
        let lost = gap.expired && self.was_not_found(standing, at);
        self.wrong(point, standing.place.gap(shard, at, now, (gap.after, gap.certain), lost));
        match gap.before {
            Some(before) => self.wrong(point, standing.place.pass_to(shard, at, before)),
            // Should it be there after all, its token repeats nothing and loses nothing.
            None if gap.expired => {
                standing.gone = true;
                return;
            }
            None => standing.place.float(at),
        }
        (standing.place.given, standing.place.carried) = (Some(now), false);
    }

    fn shard_end(&mut self, point: Point, at: Duration, standing: &mut Standing) {
        let shard = self.shard(standing);
        let over =
            shard.closed.is_some_and(|closed| closed <= at) || self.was_not_found(standing, at);
        if !over {
            self.broken(Guarantee::Honest, point, "the end of a shard that is open");
        }
        if standing.gone {
            return;
        }
        let place = &mut standing.place;
        let (upper, end) = (place.high_at(shard, at), shard.entries.len());
        self.wrong(point, place.skip(shard, at, upper..end).err());
        let lost_from = place.lost_from;
        place.stand_before(end);
        (place.lost_from, place.carried) = (lost_from, false);
    }

    /// An error moves nothing; the token that comes with a loss stands behind it.
    fn failed(
        &mut self,
        point: Point,
        at: Duration,
        reason: &str,
        behind: Option<(TokenPosition, u16)>,
        standing: &Standing,
    ) -> Standing {
        let shard = self.shard(standing);
        let now = self.truth.ours(at);
        let mut token = standing.clone();
        match reason {
            "RECORDS_TRIMMED" => {
                let missed = listed::was_missed(&self.evidence.history, point, shard);
                let gone = missed || self.was_not_found(standing, at);
                if !(token.place.has_lost(shard, at) || token.place.may_have_lost(now) || gone) {
                    self.broken(
                        Guarantee::Honest,
                        point,
                        "RECORDS_TRIMMED, but nothing is lost nor can be",
                    );
                }
                match behind {
                    // The record behind the loss was known.
                    Some((TokenPosition::AtSequenceNumber(before), 0)) => {
                        self.wrong(point, token.place.pass_to(shard, at, before));
                    }
                    Some(_) => token.place.float(at),
                    // Behind a whole shard there is no place.
                    None if gone => {}
                    None => self.broken(
                        Guarantee::Bookmarkable,
                        point,
                        "a loss without a token behind it",
                    ),
                }
                token.place.given = Some(now);
            }
            "POSITION_MALFORMED" => self.refused(point, at, standing),
            "RECORD_UNREADABLE" => {
                let bad = |entry: &EntryTruth| {
                    matches!(entry.kind, EntryKind::Unreadable | EntryKind::UnreadableUnnumbered)
                };
                let (low, upper) = (token.place.low, token.place.high_at(shard, at));
                let undated = |entry: &EntryTruth| entry.kind == EntryKind::UnreadableUnnumbered;
                let before = shard
                    .entries
                    .iter()
                    .take(low)
                    .rposition(undated)
                    .filter(|_| token.place.by_time);
                let here = (low..=upper).find(|index| shard.entries.get(*index).is_some_and(bad));
                match here.or(before) {
                    Some(index) => token.place.stand_before(index + 1),
                    None => self.broken(
                        Guarantee::Honest,
                        point,
                        "RECORD_UNREADABLE, but the next one is readable",
                    ),
                }
            }
            _ => {}
        }
        token
    }

    /// Clients name no place that is malformed but a time among records that bear none.
    fn refused(&mut self, point: Point, at: Duration, standing: &Standing) {
        if !standing.time().is_some_and(|time| self.truth.is_lost(time, self.shard(standing), at)) {
            self.broken(Guarantee::Honest, point, "a place is refused that can be found");
        }
    }

    fn check_token(&mut self, point: Point, seen: &Seen, standing: &Standing) {
        let Some(place) = seen.what.token().and_then(|token| token.place) else { return };
        if let Some(why) = standing.refute(place, self.shard(standing), seen.at) {
            self.broken(
                Guarantee::Bookmarkable,
                point,
                &format!("the token covers something else: {why}"),
            );
        }
    }

    /// Whoever followed to the end has everything that had time to arrive.
    fn arrived(&mut self) {
        let Some(settled) = self.evidence.history.settled else { return };
        for (client, log) in self.evidence.history.clients.iter().enumerate() {
            let newest = newest_run(log).and_then(|run| self.runs.get(&(client, run)));
            let Some(standing) = newest.filter(|standing| log.follows && !standing.gone) else {
                continue;
            };
            let shard = self.shard(standing);
            let next = standing.place.high_at(shard, self.truth.taken);
            let due = |entry: &EntryTruth| entry.written <= settled && entry.trimmed.is_none();
            if shard.entries.get(next..).is_some_and(|rest| rest.iter().any(due)) {
                let point = Point { client, item: log.items.len() - 1 };
                let what = format!("{} never got entry {next} and what follows", log.name);
                self.broken(Guarantee::Reliable, point, &what);
            }
        }
    }

    /// AWS said before that time that there is no such shard, and listings had lacked it for a
    /// while: not only in passing.
    fn was_not_found(&self, standing: &Standing, at: Duration) -> bool {
        let refused = |call: &Call| {
            call.shard.as_ref() == Some(&standing.shard)
                && call.operation != Operation::ListStreams
                && call.outcome == Outcome::Failed(ErrorClass::NotFound)
                && call.ended.is_some_and(|ended| ended <= at)
        };
        let shard = self.shard(standing);
        let is_gone = shard.gone && shard.unlisted.is_none_or(|since| since <= at);
        let for_good = shard.unlisted.map(|since| (since, at));
        let mut missed = shard.hidden.iter().copied().chain(for_good);
        let for_a_while = missed.any(|(from, to)| to.min(at).saturating_sub(from) >= APART);
        is_gone || for_a_while && self.truth.calls.iter().any(refused)
    }

    fn shard(&self, standing: &Standing) -> &'a ShardTruth {
        self.truth.shard(&standing.shard).expect("a shard of the fake")
    }

    fn wrong(&mut self, at: Point, wrong: impl IntoIterator<Item = Wrong>) {
        self.found
            .extend(wrong.into_iter().map(|(guarantee, what)| Violation::new(guarantee, at, what)));
    }

    fn broken(&mut self, guarantee: Guarantee, at: Point, what: &str) {
        self.found.push(Violation::new(guarantee, at, what));
    }
}

/// The run a client reads last. That of its last item, unless a later jump or seek has left that
/// behind: what is left of a superseded stream is noted after the answer of whatever superseded it.
fn newest_run(log: &ClientLog) -> Option<usize> {
    let moved = log.items.windows(2).filter_map(|pair| match &pair[0].what {
        // One that was refused is noted at once as failed, and has moved nothing.
        What::Opened(Opened { via: Via::Jump | Via::Seek, .. }) => {
            let refused = pair[1].run == pair[0].run && matches!(pair[1].what, What::Failed { .. });
            (!refused).then_some(pair[0].run)
        }
        _ => None,
    });
    log.items.last().map(|seen| seen.run).max(moved.max())
}

/// The same, of which nothing was seen yet since.
fn carried(standing: Standing) -> Standing {
    Standing { place: Place { carried: true, ..standing.place }, ..standing }
}
