//! The loop of a subscription: polls every open shard of a stream and returns one event at a time.
//!
//! The connection polls it; it has no task of its own: nothing moves until the next event is
//! requested.

mod idle_status;
mod reading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Instrument as _, Span, info_span};

use crate::clock::sleep_until;
use crate::encode::{Chunk, ReadLimit};
use crate::hub::discovery::{Catalog, ChildrenKnown, Discovery};
use crate::hub::{
    BadRecord, Gap, Hub, NotAllowed, Outage, Polled, ReadPosition, ReadyQueue, ShardKey,
    TooManyShards, WaitFor,
};
use crate::model::{Checkpoint, Now, Shard, ShardId, StreamArn, StreamStatus, Timestamp};
use crate::token::stream::StreamToken;
use crate::upstream::{Operation, UpstreamError};

pub(crate) use idle_status::SubscriptionStatus;

use super::frontier::{Frontier, FrontierStart};
use super::merge::{Merge, MergeTurn};
use super::next_stream::Succession;
use super::open_shards::{OpenShard, OpenShards};
use super::replaced_stream::ReplacedStream;
use super::unlisted_tries::UnlistedTries;

/// How long the children of an ended shard are searched for before the client is told of the end.
const CHILDREN_PATIENCE: Duration = Duration::from_millis(1_500);

/// The most shards being opened at one time: another is begun once the upstream has responded for
/// one of these. So a stream of thousands of shards leaves room for other clients.
const OPENING: usize = 64;

/// How long a shard that could not be begun, because the limit of shards is reached, waits for its
/// next try.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// A subscription under way.
pub(crate) struct Follow {
    hub: Hub,
    discovery: Discovery,
    /// The version of discovery's catalog that was taken in last; `None`: take it in again.
    seen: Option<u64>,
    by_table: bool,
    frontier: Frontier,
    slots: OpenShards,
    ready: Arc<ReadyQueue>,
    /// The merge; `None` unless records are delivered in one order by time.
    merge: Option<Merge>,
    merge_wait: Option<Duration>,
    /// The losses of the stream before this one, until all are reported.
    replaced: Option<ReplacedStream>,
    /// Shards whose end is not reported yet; at most one entry per shard.
    endings: VecDeque<EndedShard>,
    /// Something changed since [`SubscriptionEvent::Quiet`] was last returned.
    news: bool,
    /// No shard is begun before this moment, because the limit of shards is reached.
    full_until: Option<Instant>,
    /// Since when no shard could be begun, and the limit that prevents it.
    full: Option<(Timestamp, TooManyShards)>,
    /// The outage reported when everything was delivered except listed shards that cannot be
    /// understood.
    stuck: Option<Arc<Outage>>,
    tries: UnlistedTries,
    succession: Succession,
    /// In which the stream is followed; none before the first event of each stream.
    span: Span,
}

/// An event for the client. Each event counts as delivered once returned.
#[derive(Clone, Debug)]
pub(crate) enum SubscriptionEvent {
    /// A shard is begun.
    Open(Shard),
    /// Records of one shard, and the shard's checkpoint after them.
    Records(ShardKey, Chunk, Checkpoint),
    /// A record that cannot be read, and the shard's checkpoint after it.
    Unreadable(ShardKey, BadRecord, Checkpoint),
    /// Records were lost; the shard's checkpoint after the gap, if it can still be read.
    Gap(ShardKey, Gap, Option<Checkpoint>),
    /// A shard was delivered to its end; its children, and whether no more children can come.
    ShardEnd(ShardKey, Vec<Shard>, bool),
    /// Every shard was delivered to its end and the stream is closed; the table's next stream, if
    /// known.
    StreamEnd(StreamArn, Option<StreamArn>),
    /// AWS rejects a position as malformed.
    Refused(UpstreamError),
    /// The caller may not read the table's next stream.
    Forbidden(NotAllowed),
    /// Too many positions behind the window of a shard are waiting for their turn.
    Full,
    /// No event at the moment, but the subscription's status changed.
    Quiet,
}

/// A shard that was read to its end.
#[derive(Debug)]
struct EndedShard {
    key: ShardKey,
    /// The shard's last checkpoint; `None` if it is finished already, because AWS no longer has it.
    checkpoint: Option<Checkpoint>,
    since: Instant,
}

impl Follow {
    /// A subscription that enters a stream whose shards are listed.
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
            tries: UnlistedTries::default(),
            succession: Succession::default(),
            span: Span::none(),
        }
    }

    /// Delivers records in one order by time, if `merge_wait` is set.
    pub(super) fn merged(self, merge_wait: Option<Duration>) -> Self {
        Self { merge: merge_wait.map(Merge::new), merge_wait, ..self }
    }

    /// A subscription whose stream ended before: it waits for the table's next stream, or reports
    /// the end again.
    pub(super) fn ended(mut self) -> Self {
        self.succession = Succession::told();
        self
    }

    /// Sets the possible losses of the previous stream, which are reported before anything else.
    pub(super) fn replaces(mut self, replaced: Option<ReplacedStream>) -> Self {
        self.replaced = replaced;
        self
    }

    /// The next event. Cancel-safe: only the waiting is dropped.
    pub(crate) async fn next(&mut self, room: ReadLimit) -> SubscriptionEvent {
        if self.span.is_none() {
            self.span = info_span!("subscription", stream = %self.stream());
        }
        let span = self.span.clone();
        self.next_event(room).instrument(span).await
    }

    async fn next_event(&mut self, room: ReadLimit) -> SubscriptionEvent {
        loop {
            if let Some(told) = self.step(room) {
                return told;
            }
            let until = self.wakes_at();
            let seen = self.seen.unwrap_or_default();
            // All are cancel-safe: notifications, a timer, and the search for the next stream and
            // the wait for a turn, which are kept and polled again.
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

    /// The next loss that is known by now; no other event is returned. Shards entered at a doubtful
    /// position are read first, to know their losses. `None`: no more losses.
    pub(crate) async fn next_gap(&mut self) -> Option<SubscriptionEvent> {
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

    /// The token that covers everything reported so far.
    pub(crate) fn token(&self) -> StreamToken {
        if let Some(before) = self.replaced.as_ref().and_then(ReplacedStream::token) {
            return before.clone();
        }
        let now = self.now().wall;
        let ends = self
            .endings
            .iter()
            .filter_map(|ending| Some((ending.key.shard().clone(), ending.checkpoint?)));
        let checkpoints = self.slots.checkpoints().chain(ends);
        let token = self.discovery.read(|catalog| {
            self.frontier.token(checkpoints, catalog.graph(), catalog.orphans(), now)
        });
        StreamToken { by_table: self.by_table, ended: self.succession.is_told(), ..token }
    }

    /// Whether the subscription continues with the table's next stream after this stream's end.
    pub(crate) fn goes_on(&self) -> bool {
        self.by_table
    }

    /// The stream that is followed now.
    pub(crate) fn stream(&self) -> &StreamArn {
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

    /// Takes in what discovery learnt since the last call.
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
        if let Some(lost) = self.replaced.as_mut().and_then(ReplacedStream::tell) {
            return Some(SubscriptionEvent::Gap(self.key(&lost.shard), lost.gap, None));
        }
        self.replaced = None;
        let (frontier, now) = (&mut self.frontier, self.hub.clock().now().wall);
        let lost = self.discovery.read(|catalog| frontier.tell_lost(catalog.graph(), now))?;
        // Shards below the lost one may be begun now: take the catalog in again.
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
                let known = children(catalog, ending.key.shard());
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
                frontier.finish(ending.key.shard(), checkpoint.time, catalog.graph(), now.wall)
            });
            // Whether its children are all known is checked before anything else.
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
        // With a merge by time, the shards being opened hold back the others, and thereby those
        // that wait for them.
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

    /// The next shard of a token that no listing has shown. One at a time: a made-up token can name
    /// any number of shards.
    fn try_next(&mut self) -> Option<(ShardId, ReadPosition)> {
        let may =
            self.frontier.has_tries() && self.tries.take(&self.hub, self.discovery.resolved());
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
        if !self.succession.is_listed(&self.hub, self.discovery.resolved()) {
            return None;
        }
        if self.by_table {
            self.succession.begin(&self.hub, self.discovery.resolved(), now);
        }
        let stream = self.discovery.stream().clone();
        if let Some(next) = self.succession.take_end(self.by_table, now) {
            return Some(SubscriptionEvent::StreamEnd(stream, next.map(|next| next.arn().clone())));
        }
        if let Some(refused) = self.succession.forbidden() {
            return Some(SubscriptionEvent::Forbidden(refused.clone()));
        }
        let discovery = self.succession.surveyed()?;
        self.enter(discovery);
        self.step_into()
    }

    /// Continues with the table's next stream, from its beginning.
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

    /// When the loop has to go on even if nothing wakes it; `None`: never.
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
        self.discovery.resolved().shard(shard.clone())
    }
}

/// What is known of a shard's children; for a stream that AWS no longer knows, these are all there
/// will ever be.
fn children(catalog: &Catalog, id: &ShardId) -> ChildrenKnown {
    let known = catalog.children_known(id);
    if catalog.is_gone() { ChildrenKnown { looked: true, complete: true, ..known } } else { known }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("stream", self.discovery.stream()).finish_non_exhaustive()
    }
}
