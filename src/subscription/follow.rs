//! The loop of a subscription: every open shard of a stream, one thing to tell at a time.
//!
//! It is polled by the connection and has no task: while nobody asks for the next thing, nothing
//! moves.

mod reading;
mod status;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::sleep_until;
use crate::encode::{Chunk, ReadLimit};
use crate::hub::discovery::catalog::{Catalog, ChildrenKnown};
use crate::hub::discovery::task::Discovery;
use crate::hub::ready_queue::ReadyQueue;
use crate::hub::shard::poll::{BadRecord, Gap, Outage, Polled, WaitFor};
use crate::hub::shard::position::ReadPosition;
use crate::hub::{Hub, ShardKey, TooManyShards};
use crate::model::{Checkpoint, Now, Shard, ShardId, StreamArn, StreamStatus, Timestamp};
use crate::token::stream::StreamToken;
use crate::upstream::{Operation, UpstreamError};

pub use status::SubscriptionStatus;

use super::frontier::{Frontier, FrontierStart};
use super::merge::{Merge, MergeTurn};
use super::next_stream::Succession;
use super::open_shards::{OpenShard, OpenShards};
use super::replaced::Replaced;
use super::tries::Tries;

/// How long the children of an ended shard are looked for before the client is told of the end.
const CHILDREN_PATIENCE: Duration = Duration::from_millis(1_500);

/// Shards that are being opened at one time: one more is begun when the upstream has said something
/// of one of these. So a stream of thousands leaves room for others.
const OPENING: usize = 64;

/// How long a shard that could not be begun, because so many are read already, waits for its next
/// try.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A subscription under way.
pub struct Follow {
    hub: Hub,
    discovery: Discovery,
    /// The survey's version that was taken in.
    seen: Option<u64>,
    by_table: bool,
    frontier: Frontier,
    slots: OpenShards,
    ready: Arc<ReadyQueue>,
    /// With an order by time.
    merge: Option<Merge>,
    merge_wait: Option<Duration>,
    /// What was lost with the stream before this one, while that is to be told.
    replaced: Option<Replaced>,
    /// Shards whose end is to be told; at most one for each shard.
    endings: VecDeque<EndedShard>,
    /// Something changed that [`SubscriptionEvent::Quiet`] was not returned for.
    news: bool,
    /// No shard is begun before this, because too many are read.
    full_until: Option<Instant>,
    /// Since when, and why, none could be begun.
    full: Option<(Timestamp, TooManyShards)>,
    /// Everything was delivered but for listed shards that cannot be understood.
    stuck: Option<Arc<Outage>>,
    tries: Tries,
    succession: Succession,
}

/// What there is to tell. Whatever is told counts as delivered.
#[derive(Clone, Debug)]
pub enum SubscriptionEvent {
    /// A shard is begun.
    Open(Shard),
    /// Records of one shard, and where that leaves it.
    Records(ShardKey, Chunk, Checkpoint),
    /// A record that cannot be read.
    Unreadable(ShardKey, BadRecord, Checkpoint),
    /// Records are gone; where that leaves the shard, if it can still be read.
    Gap(ShardKey, Gap, Option<Checkpoint>),
    /// A shard was delivered to its end; its children, and whether no more can come.
    ShardEnd(ShardKey, Vec<Shard>, bool),
    /// Every shard was delivered to its end and the stream is closed; the table's next stream, if
    /// it is known.
    StreamEnd(StreamArn, Option<StreamArn>),
    /// AWS calls a place malformed.
    Refused(UpstreamError),
    /// Too many places are waiting for their turn behind the window of a shard.
    Full,
    /// Nothing at the moment, but what is known of that changed.
    Quiet,
}

/// A shard that was read to its end.
#[derive(Debug)]
struct EndedShard {
    key: ShardKey,
    /// Where it ended; `None` when it is finished already, because AWS does not have it any more.
    checkpoint: Option<Checkpoint>,
    since: Instant,
}

impl Follow {
    /// A subscription that enters a surveyed stream.
    pub(super) fn new(
        hub: Hub,
        discovery: Discovery,
        by_table: bool,
        entry: FrontierStart,
        asked: Option<Timestamp>,
    ) -> Self {
        let now = hub.clock().now().wall;
        let stream = discovery.stream().clone();
        let frontier = discovery.read(|catalog| {
            let mut frontier = Frontier::enter(stream, entry, asked, catalog.graph(), now);
            if catalog.unreadable() > 0 {
                frontier.doubt_losses(catalog.graph());
            }
            frontier
        });
        for shard in frontier.unsettled() {
            discovery.ended(shard);
        }
        Self {
            hub,
            discovery,
            seen: None,
            by_table,
            frontier,
            slots: OpenShards::default(),
            ready: Arc::default(),
            merge: None,
            merge_wait: None,
            replaced: None,
            endings: VecDeque::new(),
            news: true,
            full_until: None,
            full: None,
            stuck: None,
            tries: Tries::default(),
            succession: Succession::default(),
        }
    }

    /// In one order by time, if so long may be waited for it.
    pub(super) fn merged(self, merge_wait: Option<Duration>) -> Self {
        Self { merge: merge_wait.map(Merge::new), merge_wait, ..self }
    }

    /// A subscription whose stream ended before: it waits for the table's next one, or is told
    /// again that it ended.
    pub(super) fn ended(mut self) -> Self {
        self.succession = Succession::told();
        self
    }

    /// What may have been lost with the stream before is told before anything else.
    pub(super) fn replaces(mut self, replaced: Option<Replaced>) -> Self {
        self.replaced = replaced;
        self
    }

    /// The next thing to tell. Cancel-safe: what is dropped is only the waiting.
    pub async fn next(&mut self, room: ReadLimit) -> SubscriptionEvent {
        loop {
            if let Some(told) = self.step(room) {
                return told;
            }
            let until = self.wakes_at();
            let seen = self.seen.unwrap_or_default();
            // All are cancel-safe: bells, a timer, and a look for the next stream and a wait for a
            // turn that are kept and polled on.
            tokio::select! {
                biased;
                () = self.ready.ready() => {}
                () = self.discovery.changed(seen) => {}
                found = self.succession.found() => {
                    let now = self.hub.clock().now();
                    self.succession.take(found, now);
                    self.news = true;
                }
                () = self.tries.granted() => {}
                () = sleep_until(until.map(tokio::time::Instant::from_std)) => {}
            }
        }
    }

    /// The next loss that is known by now, with nothing else told: everything that was entered at a
    /// doubtful place is asked for first. `None`: no more.
    pub async fn next_gap(&mut self) -> Option<SubscriptionEvent> {
        let room = ReadLimit { records: 1, bytes: 1, before: None };
        loop {
            self.take_news();
            if let Some(told) = self.tell_lost() {
                return Some(told);
            }
            while self.open_next().is_some() {}
            let now = self.now();
            for id in self.slots.ids() {
                let Some(slot) = self.slots.get(id).filter(|slot| slot.doubtful) else { continue };
                match slot.cursor.poll(room, WaitFor::Data) {
                    Polled::Gap(gap, after) => return Some(self.tell_gap(id, gap, after, now)),
                    Polled::Pending(pending) => {
                        slot.doubtful = !pending.at_tip && pending.observed.is_none();
                        self.slots.note(id, Some(pending));
                    }
                    _ => slot.doubtful = false,
                }
            }
            if !self.slots.iter().any(|slot| slot.doubtful) {
                return None;
            }
            self.ready.ready().await;
            while self.ready.pop().is_some() {}
        }
    }

    /// The token that covers everything told so far.
    pub fn token(&self) -> StreamToken {
        if let Some(before) = self.replaced.as_ref().and_then(Replaced::token) {
            return before.clone();
        }
        let now = self.now().wall;
        let ends = self
            .endings
            .iter()
            .filter_map(|ending| Some((ending.key.shard.clone(), ending.checkpoint?)));
        let checkpoints = self.slots.checkpoints().chain(ends);
        let token = self.discovery.read(|catalog| {
            self.frontier.token(checkpoints, catalog.graph(), catalog.orphans(), now)
        });
        StreamToken { by_table: self.by_table, ended: self.succession.is_told(), ..token }
    }

    /// After the stream's end the subscription goes on with the table's next one.
    pub fn goes_on(&self) -> bool {
        self.by_table
    }

    /// The stream that is followed now.
    pub fn stream(&self) -> &StreamArn {
        self.discovery.stream()
    }

    fn now(&self) -> Now {
        self.hub.clock().now()
    }

    fn step(&mut self, room: ReadLimit) -> Option<SubscriptionEvent> {
        self.take_news();
        self.tell_lost()
            .or_else(|| self.tell_shard_end())
            .or_else(|| self.open_next())
            .or_else(|| {
                if self.merge.is_some() { self.read_by_time(room) } else { self.read_next(room) }
            })
            .or_else(|| self.tell_stream_end())
            .or_else(|| std::mem::take(&mut self.news).then_some(SubscriptionEvent::Quiet))
    }

    /// Takes in what the survey learnt.
    fn take_news(&mut self) {
        let version = self.discovery.version();
        if self.seen == Some(version) {
            return;
        }
        self.seen = Some(version);
        self.news = true;
        let now = self.now().wall;
        let frontier = &mut self.frontier;
        self.discovery.read(|catalog| {
            frontier.grow(catalog.graph());
            frontier.prune(catalog.graph());
            let listed = (!catalog.is_gone()).then_some(|id: &ShardId| catalog.is_listed(id));
            frontier.settle(|id| children(catalog, id), listed, now);
        });
    }

    fn tell_lost(&mut self) -> Option<SubscriptionEvent> {
        if let Some(lost) = self.replaced.as_mut().and_then(Replaced::tell) {
            return Some(SubscriptionEvent::Gap(self.key(&lost.shard), lost.gap, None));
        }
        self.replaced = None;
        let (frontier, now) = (&mut self.frontier, self.hub.clock().now().wall);
        let lost = self.discovery.read(|catalog| frontier.tell_lost(catalog.graph(), now))?;
        // What comes below it may be begun now.
        self.seen = None;
        let key = self.key(&lost.shard);
        if lost.ends {
            self.discovery.ended(&lost.shard);
            self.endings.push_back(EndedShard {
                key: key.clone(),
                checkpoint: None,
                since: self.now().at,
            });
        }
        Some(SubscriptionEvent::Gap(key, lost.gap, None))
    }

    fn tell_shard_end(&mut self) -> Option<SubscriptionEvent> {
        let now = self.now();
        let (index, known) = self.discovery.read(|catalog| {
            let ready = self.endings.iter().enumerate().find_map(|(index, ending)| {
                let known = children(catalog, &ending.key.shard);
                let waited = now.at.saturating_duration_since(ending.since) >= CHILDREN_PATIENCE;
                let enough = known.complete || (known.looked && !known.shards.is_empty());
                (enough || waited).then_some((index, known))
            })?;
            Some(ready)
        })?;
        let ending = self.endings.remove(index).expect("just found");
        if let Some(checkpoint) = ending.checkpoint {
            let frontier = &mut self.frontier;
            self.discovery.read(|catalog| {
                frontier.finish(&ending.key.shard, checkpoint.time, catalog.graph(), now.wall)
            });
            // Whether its children are all known is looked at before anything else.
            self.seen = None;
        }
        Some(SubscriptionEvent::ShardEnd(ending.key, known.shards, known.complete))
    }

    fn open_next(&mut self) -> Option<SubscriptionEvent> {
        let now = self.now();
        if self.full_until.is_some_and(|until| now.at < until) {
            return None;
        }
        self.full_until = None;
        // In one order by time those that are being opened hold the others, and so those that wait
        // for them.
        if self.slots.unheard() >= OPENING {
            return None;
        }
        let (id, position) = self.frontier.open_next().or_else(|| self.try_next())?;
        let key = self.key(&id);
        let doubtful = !position.is_safe(now.wall);
        let cursor = match self.hub.cursor(&key, position.clone()) {
            Ok(cursor) => cursor,
            Err(limit) => {
                self.put_back(id, position);
                self.full_until = Some(now.at + FULL_PAUSE);
                self.news |= self.full.is_none();
                self.full = Some((self.full.map_or(now.wall, |(since, _)| since), limit));
                return None;
            }
        };
        self.news |= self.full.take().is_some();
        let ready = self.ready.clone();
        let slot = self.slots.add(|slot| {
            let mut cursor = cursor;
            cursor.register(ready, slot);
            OpenShard::new(key, cursor, doubtful)
        });
        self.ready.push(slot);
        if let Some(merge) = &mut self.merge {
            merge.block(slot, now.at);
        }
        let shard = self.discovery.read(|catalog| catalog.graph().get(&id).cloned());
        Some(SubscriptionEvent::Open(shard.unwrap_or(Shard {
            id,
            parent: None,
            starting: None,
            ending: None,
        })))
    }

    /// A shard of a token that no listing has shown, one at a time: whoever makes up tokens can
    /// name any number.
    fn try_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        let may = self.frontier.has_tries() && self.tries.take(&self.hub, self.discovery.stream());
        if may { self.frontier.try_next() } else { None }
    }

    fn put_back(&mut self, id: ShardId, position: ReadPosition) {
        let frontier = &mut self.frontier;
        self.discovery.read(|catalog| frontier.put_back(id, position, catalog.graph()));
    }

    fn tell_stream_end(&mut self) -> Option<SubscriptionEvent> {
        let over = self.discovery.read(|catalog| {
            let closed = catalog
                .description()
                .is_some_and(|stream| stream.status == Some(StreamStatus::Disabled));
            (closed && catalog.orphans().is_empty()) || catalog.is_gone()
        });
        let Now { at: now, wall } = self.now();
        let is_read = over && self.frontier.is_read() && self.endings.is_empty();
        if is_read && self.discovery.read(Catalog::unreadable) > 0 {
            let error = UpstreamError::nonsense(
                Operation::DescribeStream,
                "a listed shard cannot be understood",
            );
            self.stuck.get_or_insert_with(|| {
                Arc::new(Outage { since: wall, asked: now, error, lasts: true })
            });
            return None;
        }
        self.stuck = None;
        if !is_read || !self.frontier.is_drained() {
            self.succession.not_yet();
            return None;
        }
        if !self.succession.is_listed(&self.hub, self.discovery.stream()) {
            return None;
        }
        if self.by_table {
            self.succession.begin(&self.hub, self.discovery.stream(), now);
        }
        let stream = self.discovery.stream().clone();
        if let Some(next) = self.succession.take_end(self.by_table, now) {
            return Some(SubscriptionEvent::StreamEnd(stream, next));
        }
        let discovery = self.succession.surveyed()?;
        self.enter(discovery);
        self.step_into()
    }

    /// Goes on with the table's next stream, from its beginning.
    fn enter(&mut self, discovery: Discovery) {
        let next = Self::new(
            self.hub.clone(),
            discovery,
            self.by_table,
            FrontierStart::Horizon,
            self.frontier.asked(),
        );
        *self = next.merged(self.merge_wait);
    }

    fn step_into(&mut self) -> Option<SubscriptionEvent> {
        self.take_news();
        self.tell_lost().or_else(|| self.open_next())
    }

    /// When something is to be done without anybody ringing.
    fn wakes_at(&self) -> Option<Instant> {
        let ending = self.endings.iter().map(|ending| ending.since + CHILDREN_PATIENCE).min();
        let held = self.endings.iter().map(|ending| ending.since).min();
        let merge = self.merge.as_ref().and_then(|merge| match merge.turn(held, self.now().at) {
            MergeTurn::Wait(until) => Some(until),
            MergeTurn::Of(..) | MergeTurn::Nobody => None,
        });
        [ending, merge, self.full_until, self.succession.wakes_at()].into_iter().flatten().min()
    }

    fn key(&self, shard: &ShardId) -> ShardKey {
        ShardKey { stream: self.discovery.stream().clone(), shard: shard.clone() }
    }
}

/// What is known of a shard's children; of a stream that AWS does not know any more, all there will
/// ever be.
fn children(catalog: &Catalog, id: &ShardId) -> ChildrenKnown {
    let known = catalog.children_known(id);
    if catalog.is_gone() { ChildrenKnown { looked: true, complete: true, ..known } } else { known }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("stream", self.discovery.stream()).finish_non_exhaustive()
    }
}
