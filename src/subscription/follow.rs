//! The loop of a subscription: every open shard of a stream, one thing to tell at a time.
//!
//! It is polled by the connection and has no task: while nobody asks for the next thing, nothing moves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::sleep_until;
use crate::encode::{Chunk, Room};
use crate::hub::chart::{Chart, ChildrenKnown, Failure};
use crate::hub::chime::Chime;
use crate::hub::look::{Ask, BadRecord, Gap, GapCause, Look, Trouble};
use crate::hub::spot::Spot;
use crate::hub::survey::Survey;
use crate::hub::{Hub, ShardKey};
use crate::model::{Mark, Now, Shard, ShardId, StreamArn, StreamStatus, Timestamp};
use crate::session::token::stream::StreamToken;
use crate::upstream::UpstreamError;

use super::frontier::{Entry, Frontier, Lost};
use super::merge::{Merge, Turn};
use super::slots::{Slot, Slots};
use super::succession::Succession;

/// How long the children of an ended shard are looked for before the client is told of the end.
const CHILDREN_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long a shard that could not be begun, because so many are read already, waits for its next try.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A subscription under way.
pub struct Follow {
    hub: Hub,
    survey: Survey,
    /// The survey's version that was taken in.
    seen: Option<u64>,
    by_table: bool,
    frontier: Frontier,
    slots: Slots,
    chime: Arc<Chime>,
    /// With an order by time.
    merge: Option<Merge>,
    merge_wait: Option<Duration>,
    /// To be told; at most one for each shard.
    lost: VecDeque<Lost>,
    /// Shards whose end is to be told; at most one for each shard.
    endings: VecDeque<Ending>,
    /// Something changed that [`Told::Quiet`] was not returned for.
    stirred: bool,
    /// No shard is begun before this, because too many are read.
    full_until: Option<Instant>,
    succession: Succession,
}

/// A shard that was read to its end.
#[derive(Debug)]
struct Ending {
    key: ShardKey,
    /// Where it ended; `None` when it is finished already, because AWS does not have it any more.
    mark: Option<Mark>,
    since: Instant,
}

/// What there is to tell. Whatever is told counts as delivered.
#[derive(Clone, Debug)]
pub enum Told {
    /// A shard is begun.
    Open(Shard),
    /// Records of one shard, and where that leaves it.
    Records(ShardKey, Chunk, Mark),
    /// A record that cannot be read.
    Unreadable(ShardKey, BadRecord, Mark),
    /// Records are gone; where that leaves the shard, if it can still be read.
    Gap(ShardKey, Gap, Option<Mark>),
    /// A shard was delivered to its end; its children, and whether no more can come.
    ShardEnd(ShardKey, Vec<Shard>, bool),
    /// Every shard was delivered to its end and the stream is closed; the table's next stream, if it is known.
    StreamEnd(StreamArn, Option<StreamArn>),
    /// AWS calls a place malformed.
    Refused(UpstreamError),
    /// Too many places are waiting for their turn behind the window of a shard.
    Full,
    /// Nothing at the moment, but what is known of that changed.
    Quiet,
}

/// How a subscription stands while nothing comes.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Everything of every shard was given.
    pub at_tip: bool,
    /// And every shard said so since the client came.
    pub looked: bool,
    /// When the upstream was last heard of, at the shard where that is longest ago.
    pub observed: Option<Timestamp>,
    /// Why nothing can come.
    pub trouble: Option<Trouble>,
}

impl Follow {
    /// A subscription that enters a surveyed stream. `merge_wait`: in one order by time.
    pub(super) fn new(
        hub: Hub,
        survey: Survey,
        by_table: bool,
        entry: Entry,
        asked: Option<Timestamp>,
        merge_wait: Option<Duration>,
    ) -> Self {
        let now = hub.clock().now().wall;
        let stream = survey.stream().clone();
        let (frontier, lost) = survey.look(|chart| Frontier::enter(stream, entry, asked, chart.graph(), now));
        for shard in frontier.unsettled() {
            survey.ended(shard);
        }
        Self {
            hub,
            survey,
            seen: None,
            by_table,
            frontier,
            slots: Slots::default(),
            chime: Arc::default(),
            merge: merge_wait.map(Merge::new),
            merge_wait,
            lost: lost.into(),
            endings: VecDeque::new(),
            stirred: true,
            full_until: None,
            succession: Succession::default(),
        }
    }

    /// A subscription whose stream ended before: it waits for the table's next one, or is told again that it ended.
    pub(super) fn ended(mut self) -> Self {
        self.succession = Succession::told();
        self
    }

    /// Losses that are known before anything was read.
    pub(super) fn lose(&mut self, lost: Vec<Lost>) {
        self.lost.extend(lost);
    }

    /// The next thing to tell. Cancel-safe: what is dropped is only the waiting.
    pub async fn next(&mut self, room: Room) -> Told {
        loop {
            if let Some(told) = self.step(room) {
                return told;
            }
            let until = self.wakes_at();
            let seen = self.seen.unwrap_or_default();
            // All are cancel-safe: bells, a timer, and a look for the next stream that is kept and polled on.
            tokio::select! {
                biased;
                () = self.chime.rung() => {}
                () = self.survey.changed(seen) => {}
                found = self.succession.found() => self.succession.take(found),
                () = sleep_until(until.map(tokio::time::Instant::from_std)) => {}
            }
        }
    }

    /// The next loss that is known by now, with nothing else told: everything that was entered at a doubtful place is asked
    /// for first. `None`: no more.
    pub async fn next_gap(&mut self) -> Option<Told> {
        let room = Room { records: 1, bytes: 1, before: None };
        loop {
            self.take_news();
            if let Some(told) = self.tell_lost() {
                return Some(told);
            }
            while self.open_next().is_some() {}
            let now = self.now();
            for id in self.slots.ids() {
                let Some(slot) = self.slots.get(id).filter(|slot| slot.doubtful) else { continue };
                match slot.cursor.look(room, Ask::Flow) {
                    Look::Gap(gap, after) => return Some(self.tell_gap(id, gap, after, now)),
                    Look::Pending(pending) => slot.doubtful = !pending.at_tip && pending.observed.is_none(),
                    _ => slot.doubtful = false,
                }
            }
            if !self.slots.iter().any(|slot| slot.doubtful) {
                return None;
            }
            self.chime.rung().await;
            while self.chime.take().is_some() {}
        }
    }

    /// The token that covers everything told so far.
    pub fn token(&self) -> StreamToken {
        let now = self.now().wall;
        let ends = self.endings.iter().filter_map(|ending| Some((ending.key.shard.clone(), ending.mark?)));
        let marks = self.slots.marks().chain(ends);
        let token = self.survey.look(|chart| self.frontier.token(marks, chart.graph(), now));
        StreamToken { by_table: self.by_table, ended: self.succession.is_told(), ..token }
    }

    /// How it stands. `fresh`: what was seen last may have aged since, and is looked at again.
    pub fn standing(&mut self, fresh: bool) -> Standing {
        if fresh {
            self.refresh();
        }
        let now = self.now();
        let quiet = self.endings.is_empty()
            && self.lost.is_empty()
            && self.survey.look(|chart| self.frontier.is_quiet(|id| children(chart, id), now.wall));
        // While shards are read, a listing that fails only delays what is born.
        let listing = self.survey.look(|chart| chart.failure().map(|failure| trouble(failure, now)));
        let trouble = self.slots.trouble().cloned().or(listing.filter(|_| self.slots.count() == 0));
        Standing {
            at_tip: quiet && self.slots.are_at_tip(),
            looked: quiet && self.slots.have_looked(),
            observed: self.slots.observed(),
            trouble,
        }
    }

    /// Every open shard has nothing more that is older than the client wants, as far as can be told.
    pub fn is_beyond(&mut self, time_is_past: bool) -> bool {
        let standing = self.standing(false);
        let over = |slot: &Slot| {
            let tip = slot.pending.as_ref().is_some_and(|pending| pending.at_tip && pending.empties > 0);
            slot.beyond || (time_is_past && tip)
        };
        let now = self.now().wall;
        let quiet =
            self.endings.is_empty() && self.survey.look(|chart| self.frontier.is_quiet(|id| children(chart, id), now));
        let waits = self.slots.count() == 0 && !(time_is_past && standing.at_tip);
        quiet && !waits && self.slots.iter().all(over)
    }

    /// After the stream's end the subscription goes on with the table's next one.
    pub fn goes_on(&self) -> bool {
        self.by_table
    }

    /// The oldest of the next records of the shards that are behind.
    pub fn oldest_next(&self) -> Option<Timestamp> {
        self.slots.oldest_next()
    }

    /// The stream that is followed now.
    pub fn stream(&self) -> &StreamArn {
        self.survey.stream()
    }

    /// How many shards are open.
    pub fn open_shards(&self) -> usize {
        self.slots.count()
    }

    fn now(&self) -> Now {
        self.hub.clock().now()
    }

    fn step(&mut self, room: Room) -> Option<Told> {
        self.take_news();
        self.tell_lost()
            .or_else(|| self.tell_shard_end())
            .or_else(|| self.open_next())
            .or_else(|| if self.merge.is_some() { self.read_by_time(room) } else { self.read_next(room) })
            .or_else(|| self.tell_stream_end())
            .or_else(|| std::mem::take(&mut self.stirred).then_some(Told::Quiet))
    }

    /// Takes in what the survey learnt.
    fn take_news(&mut self) {
        let version = self.survey.version();
        if self.seen == Some(version) {
            return;
        }
        self.seen = Some(version);
        self.stirred = true;
        let now = self.now().wall;
        let frontier = &mut self.frontier;
        let lost = self.survey.look(|chart| {
            frontier.grow(chart.graph());
            frontier.prune(chart.graph());
            frontier.settle(|id| children(chart, id), now)
        });
        self.lost.extend(lost);
    }

    fn tell_lost(&mut self) -> Option<Told> {
        let lost = self.lost.pop_front()?;
        let key = self.key(&lost.shard);
        if lost.ends {
            self.endings.push_back(Ending { key: key.clone(), mark: None, since: self.now().at });
        }
        Some(Told::Gap(key, lost.gap, None))
    }

    fn tell_shard_end(&mut self) -> Option<Told> {
        let now = self.now();
        let (index, known) = self.survey.look(|chart| {
            let ready = self.endings.iter().enumerate().find_map(|(index, ending)| {
                let known = children(chart, &ending.key.shard);
                let waited = now.at.saturating_duration_since(ending.since) >= CHILDREN_PATIENCE;
                let enough = known.complete || (known.looked && !known.shards.is_empty());
                (enough || waited).then_some((index, known))
            })?;
            Some(ready)
        })?;
        let ending = self.endings.remove(index).expect("just found");
        if let Some(mark) = ending.mark {
            let frontier = &mut self.frontier;
            self.survey.look(|chart| frontier.finish(&ending.key.shard, mark.time, chart.graph(), now.wall));
            // Whether its children are all known is looked at before anything else.
            self.seen = None;
        }
        Some(Told::ShardEnd(ending.key, known.shards, known.complete))
    }

    fn open_next(&mut self) -> Option<Told> {
        let now = self.now();
        if self.full_until.is_some_and(|until| now.at < until) {
            return None;
        }
        self.full_until = None;
        let (id, spot) = self.frontier.open_next()?;
        let key = self.key(&id);
        let doubtful = !spot.is_safe(now.wall);
        let Ok(cursor) = self.hub.cursor(&key, spot.clone()) else {
            self.frontier.put_back(id, spot);
            self.full_until = Some(now.at + FULL_PAUSE);
            return None;
        };
        let chime = self.chime.clone();
        let slot = self.slots.add(|slot| {
            let mut cursor = cursor;
            cursor.listen(chime, slot);
            Slot::new(key, cursor, doubtful)
        });
        self.chime.ring(slot);
        if let Some(merge) = &mut self.merge {
            merge.block(slot, now.at);
        }
        let shard = self.survey.look(|chart| chart.graph().get(&id).cloned());
        Some(Told::Open(shard.unwrap_or(Shard { id, parent: None, starting: None, ending: None })))
    }

    /// One thing of the shard that has waited longest.
    fn read_next(&mut self, room: Room) -> Option<Told> {
        while let Some(id) = self.chime.take() {
            let Some(slot) = self.slots.get(id) else { continue };
            let look = slot.cursor.look(room, Ask::Flow);
            if let Some(told) = self.react(id, look) {
                return Some(told);
            }
        }
        None
    }

    /// One thing of the shard whose next record is the oldest.
    fn read_by_time(&mut self, room: Room) -> Option<Told> {
        let peek = Room { records: 1, ..room };
        while let Some(id) = self.chime.take() {
            let now = self.now();
            let merge = self.merge.as_mut().expect("the order is by time");
            let Some(slot) = self.slots.get(id) else { continue };
            match slot.cursor.look(peek, Ask::Flow) {
                Look::Records(..) | Look::Unreadable(..) => {
                    merge.head(id, slot.cursor.next_created());
                    self.slots.note(id, None);
                }
                look => {
                    match &look {
                        Look::Pending(pending) if !pending.at_tip => merge.block(id, now.at),
                        _ => merge.leave(id),
                    }
                    if let Some(told) = self.react(id, look) {
                        return Some(told);
                    }
                }
            }
        }
        let held = self.endings.iter().map(|ending| ending.since).min();
        let now = self.now().at;
        let merge = self.merge.as_mut().expect("the order is by time");
        let Turn::Of(id, before) = merge.turn(held, now) else { return None };
        merge.leave(id);
        let slot = self.slots.get(id)?;
        let before = before.into_iter().chain(room.before).min();
        let look = slot.cursor.look(Room { before, ..room }, Ask::Flow);
        self.react(id, look)
    }

    fn react(&mut self, id: u32, look: Look) -> Option<Told> {
        let now = self.now();
        match look {
            Look::Records(chunk, after) => {
                let key = self.stand_at(id, after);
                let mark = self.slots.get(id)?.cursor.spot.mark();
                Some(Told::Records(key, chunk, mark))
            }
            Look::Unreadable(bad, after) => {
                let key = self.stand_at(id, after);
                let mark = self.slots.get(id)?.cursor.spot.mark();
                Some(Told::Unreadable(key, bad, mark))
            }
            Look::Gap(gap, after) => Some(self.tell_gap(id, gap, after, now)),
            Look::TooNew => {
                let slot = self.slots.get(id)?;
                self.stirred |= !slot.beyond;
                slot.beyond = true;
                None
            }
            Look::Ended => {
                let slot = self.slots.remove(id)?;
                self.survey.ended(&slot.key.shard);
                let mark = Some(slot.cursor.spot.mark());
                self.endings.push_back(Ending { key: slot.key.clone(), mark, since: now.at });
                self.stirred = true;
                self.tell_shard_end()
            }
            Look::Refused(error) => Some(Told::Refused(error)),
            Look::Full => Some(Told::Full),
            Look::Pending(pending) => {
                self.stirred = true;
                self.slots.note(id, Some(pending));
                None
            }
        }
    }

    fn tell_gap(&mut self, id: u32, gap: Gap, after: Spot, now: Now) -> Told {
        if gap.cause == GapCause::Trimmed {
            let mark = after.mark();
            let key = self.stand_at(id, after);
            return Told::Gap(key, gap, Some(mark));
        }
        let slot = self.slots.remove(id).expect("it was just looked at");
        let (shard, at) = (&slot.key.shard, Some(now.wall));
        self.survey.ended(shard);
        let frontier = &mut self.frontier;
        self.survey.look(|chart| frontier.finish(shard, at, chart.graph(), now.wall));
        self.seen = None;
        self.endings.push_back(Ending { key: slot.key.clone(), mark: None, since: now.at });
        Told::Gap(slot.key, gap, None)
    }

    /// What stood before the spot is told; there may be more, when the others had their turn.
    fn stand_at(&mut self, id: u32, after: Spot) -> ShardKey {
        self.stirred = true;
        self.slots.note(id, None);
        let slot = self.slots.get(id).expect("it was just looked at");
        slot.cursor.spot = after;
        slot.doubtful = false;
        self.chime.ring(id);
        slot.key.clone()
    }

    fn tell_stream_end(&mut self) -> Option<Told> {
        let over = self.survey.look(|chart| {
            let closed = chart.description().is_some_and(|stream| stream.status == Some(StreamStatus::Disabled));
            closed || chart.is_gone()
        });
        if !over || !self.frontier.is_drained() || !self.endings.is_empty() {
            return None;
        }
        let now = self.now().at;
        if self.by_table {
            self.succession.begin(&self.hub, self.survey.stream(), now);
        }
        let stream = self.survey.stream().clone();
        if let Some(next) = self.succession.to_tell(self.by_table, now) {
            return Some(Told::StreamEnd(stream, next));
        }
        let survey = self.succession.surveyed()?;
        self.enter(survey);
        self.step_into()
    }

    /// Goes on with the table's next stream, from its beginning.
    fn enter(&mut self, survey: Survey) {
        let mut next =
            Self::new(self.hub.clone(), survey, self.by_table, Entry::Horizon, self.frontier.asked(), self.merge_wait);
        next.lost = std::mem::take(&mut self.lost);
        *self = next;
    }

    fn step_into(&mut self) -> Option<Told> {
        self.take_news();
        self.tell_lost().or_else(|| self.open_next())
    }

    fn refresh(&mut self) {
        let room = Room { records: 1, bytes: 1, before: None };
        for id in self.slots.ids() {
            let Some(slot) = self.slots.get(id).filter(|slot| slot.pending.is_some()) else { continue };
            match slot.cursor.look(room, Ask::Flow) {
                Look::Pending(pending) => self.slots.note(id, Some(pending)),
                _ => self.chime.ring(id),
            }
        }
    }

    /// When something is to be done without anybody ringing.
    fn wakes_at(&self) -> Option<Instant> {
        let ending = self.endings.iter().map(|ending| ending.since + CHILDREN_PATIENCE).min();
        let held = self.endings.iter().map(|ending| ending.since).min();
        let merge = self.merge.as_ref().and_then(|merge| match merge.turn(held, self.now().at) {
            Turn::Wait(until) => Some(until),
            Turn::Of(..) | Turn::Nobody => None,
        });
        [ending, merge, self.full_until, self.succession.wakes_at()].into_iter().flatten().min()
    }

    fn key(&self, shard: &ShardId) -> ShardKey {
        ShardKey { stream: self.survey.stream().clone(), shard: shard.clone() }
    }
}

/// A listing that fails, as a shard's failing reads are told.
fn trouble(failure: &Failure, now: Now) -> Trouble {
    let since = now.wall.minus(now.at.saturating_duration_since(failure.since));
    Trouble { since, asked: failure.since, error: failure.error.clone() }
}

/// What is known of a shard's children; of a stream that AWS does not know any more, all there will ever be.
fn children(chart: &Chart, id: &ShardId) -> ChildrenKnown {
    let known = chart.children_known(id);
    if chart.is_gone() { ChildrenKnown { looked: true, complete: true, ..known } } else { known }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("stream", self.survey.stream()).finish_non_exhaustive()
    }
}
