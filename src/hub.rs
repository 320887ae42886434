//! The hub: reads each followed shard once for all clients.
//!
//! The state of one shard is pure: [`shard`]. Around it is a thin shell: `reader` (one task per
//! shard), `cursor` (how a client waits), `ready_queue` (how it waits for many shards),
//! `wake_list`, `page_budget` (the bytes of all windows), `call_permits` (calls in flight),
//! `clocks` (how far the upstream's clock is from ours) and `rate_limit`. [`discovery`] finds the
//! shards of a stream, and `resolver` is the door through which streams are named.

mod call_permits;
mod clocks;
mod counts;
mod cursor;
pub mod discovery;
mod page_budget;
mod permit;
mod rate_limit;
mod reader;
mod ready_queue;
mod resolver;
pub mod shard;
mod stream_names;
mod supervise;
mod timed_call;
mod wake_list;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use crate::clock::Clock;
use crate::held_bytes::HeldBytes;
use crate::limits::ReadingLimits;
use crate::metrics::Metrics;
use crate::model::{StreamArn, Timestamp};
use crate::peer_shares::Peer;
use crate::upstream::Upstream;

use call_permits::CallPermits;
use clocks::Clocks;
use discovery::listings::{ListingError, Listings, Requester, StreamLookup};
use discovery::stream_discovery::{Discovery, StreamDiscovery};
use page_budget::PageBudget;
use reader::ShardReader;
use shard::progress::ShardProgress;

// A stream is named, and its shards with it.
pub(crate) use permit::NotAllowed;
pub use permit::Permit;
pub use stream_names::{NamedStream, ResolvedStream, ShardKey};

// A client is a cursor: a position, and what a poll finds there.
pub use cursor::{AnchorError, Cursor};
pub(crate) use ready_queue::ReadyQueue;
pub use shard::poll::{BadRecord, Gap, GapCause, Outage, Pending, Polled, WaitFor};
pub use shard::position::{ReadPosition, SAFE_AGE};
pub(crate) use shard::progress::ReadingState;

pub use counts::HubCounts;
pub(crate) use supervise::restarted;

/// The entry point to all reading. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<HubShared>,
    /// The peer on whose behalf this handle requests listings; `None` without a transport.
    peer: Option<Peer>,
    /// What the caller may reach on whose behalf this handle looks streams up; `None`: everything.
    permit: Option<Arc<dyn Permit>>,
}

/// The limit of shards with a reader is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} shards are being read, which is the limit")]
pub struct TooManyShards(pub usize);

/// State shared by all readers.
struct HubShared {
    upstream: Arc<dyn Upstream>,
    clock: Clock,
    limits: ReadingLimits,
    metrics: Metrics,
    memory: PageBudget,
    held: HeldBytes,
    turns: CallPermits,
    stop: CancellationToken,
    listings: Listings,
    tasks: TaskTracker,
    seed: u64,
    /// The steps in which the upstream stamps records.
    grain: Duration,
    /// How far the upstream's clock is from ours.
    clocks: Arc<Clocks>,
    /// Readers by shard. Held for lookups only, never across an await.
    readers: Mutex<HashMap<ShardKey, Arc<ShardReader>>>,
    /// Discoveries by stream; held like `readers`.
    discoveries: Mutex<HashMap<StreamArn, Arc<StreamDiscovery>>>,
}

/// The runtime parts a hub needs.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The clock.
    pub clock: Clock,
    /// The metrics it records to.
    pub metrics: Metrics,
    /// Tracks the tasks it spawns.
    pub tasks: TaskTracker,
    /// Cancelled when those tasks are to stop.
    pub stop: CancellationToken,
    /// Seed of all its randomness.
    pub seed: u64,
}

impl Hub {
    /// A hub over `upstream`.
    pub fn new(upstream: Arc<dyn Upstream>, limits: ReadingLimits, runtime: Runtime) -> Self {
        let Runtime { clock, metrics, tasks, stop, seed } = runtime;
        let clocks = Arc::new(Clocks::default());
        let times = (clock.clone(), clocks.clone());
        let listings = Listings::new(upstream.clone(), &limits, times, metrics.clone());
        let memory = PageBudget::new(limits.window_bytes, metrics.clone());
        let held = HeldBytes::new(limits.held_bytes, metrics.clone());
        let turns = CallPermits::new(limits.calls_in_flight);
        let (readers, discoveries) = (Mutex::default(), Mutex::default());
        let grain = upstream.traits().grain;
        let shared = HubShared {
            upstream,
            clock,
            limits,
            metrics,
            memory,
            held,
            turns,
            stop,
            listings,
            tasks,
            seed,
            grain,
            clocks,
            readers,
            discoveries,
        };
        Self { shared: Arc::new(shared), peer: None, permit: None }
    }

    /// A cursor at `position` of a shard. Starts the shard's reader if it has none.
    pub fn cursor(&self, key: &ShardKey, position: ReadPosition) -> Result<Cursor, TooManyShards> {
        self.follow(key).map(|reader| Cursor::new(reader, position.coarse(self.shared.grain)))
    }

    /// Follows the shards of a stream, from a listing at most `age` old. A stream that does not
    /// exist is reported before any state is kept for it.
    pub async fn enter(
        &self,
        stream: &ResolvedStream,
        age: Duration,
    ) -> Result<Discovery, ListingError> {
        let known = self.shared.discoveries.lock().get(stream.arn()).map(StreamDiscovery::follow);
        if let Some(discovery) = known
            && discovery.read(|catalog| catalog.listed_at().is_some() && !catalog.is_gone())
        {
            discovery.fresh(age).await?;
            return Ok(discovery);
        }
        let listing = self.listings().listing(stream).await?;
        let discovery = self.discover(stream);
        discovery.ready(listing.begun).await?;
        Ok(discovery)
    }

    /// Follows the shards of a stream. Starts the stream's discovery if none runs.
    pub fn discover(&self, stream: &ResolvedStream) -> Discovery {
        let mut discoveries = self.shared.discoveries.lock();
        if let Some(discovery) = discoveries.get(stream.arn()) {
            return discovery.follow();
        }
        let discovery = Arc::new(StreamDiscovery::new(stream, &self.shared));
        let follower = discovery.follow();
        discoveries.insert(stream.arn().clone(), discovery.clone());
        let task = discovery::stream_discovery::supervised(discovery, self.shared.clone());
        let span = info_span!(parent: None, "stream_discovery", stream = %stream);
        self.shared.tasks.spawn(task.instrument(span));
        follower
    }

    /// Waits until a shard of the stream that no listing shows may be tried. Cancel-safe: a dropped
    /// call has used no turn.
    pub async fn turn_to_try(self, stream: ResolvedStream) {
        self.listings().turn_to_try(&stream).await;
    }

    /// The same hub, for calls of clients at `peer` who may reach what `permit` says.
    pub fn asked_by(&self, peer: Option<Peer>, permit: Option<Arc<dyn Permit>>) -> Self {
        Self { shared: self.shared.clone(), peer, permit }
    }

    /// Lookup of streams and their shards, on behalf of this hub's peer.
    pub fn listings(&self) -> StreamLookup<'_> {
        let lookup = self.shared.listings.asked_by(Requester::Client(self.peer));
        lookup.permitted(self.permit.as_deref())
    }

    /// Whether the caller on whose behalf this handle is may reach the stream.
    pub fn may_reach(&self, stream: &StreamArn) -> Result<(), NotAllowed> {
        self.permit.as_ref().map_or(Ok(()), |permit| permit.may_reach(stream))
    }

    /// The pool of bytes held for clients.
    pub fn held(&self) -> &HeldBytes {
        &self.shared.held
    }

    /// The clock of this server.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The upstream's time when our clock shows `now`, by the `Date` of its newest response; never
    /// later than ours.
    pub fn upstream_time(&self, now: Timestamp) -> Timestamp {
        self.shared.clocks.slower(now)
    }

    /// The upstream that records are read from.
    pub fn upstream(&self) -> &dyn Upstream {
        &*self.shared.upstream
    }

    /// How far a shard is read; `None` if it has no reader.
    pub fn progress(&self, key: &ShardKey) -> Option<ShardProgress> {
        let reader = self.shared.readers.lock().get(key).cloned()?;
        Some(reader.progress(self.shared.clock.now()))
    }

    /// The number of shards with a reader.
    pub fn reader_count(&self) -> usize {
        self.shared.readers.lock().len()
    }

    /// Bytes in all windows, pages in flight included.
    pub fn window_bytes(&self) -> usize {
        self.shared.memory.used()
    }

    /// The most bytes that any one shard keeps, and the most lanes that any one shard has.
    pub fn busiest(&self) -> (usize, usize) {
        let readers: Vec<_> = self.shared.readers.lock().values().cloned().collect();
        let most = |of: fn(&ShardReader) -> usize| {
            readers.iter().map(|reader| of(reader)).max().unwrap_or(0)
        };
        (most(ShardReader::cost), most(|reader| reader.state().lane_count()))
    }

    fn follow(&self, key: &ShardKey) -> Result<reader::ReaderHandle, TooManyShards> {
        let mut readers = self.shared.readers.lock();
        if let Some(reader) = readers.get(key) {
            return Ok(reader.follow());
        }
        if readers.len() >= self.shared.limits.shards {
            self.shared.metrics.limit_rejection("shards");
            return Err(TooManyShards(readers.len()));
        }
        let reader = Arc::new(ShardReader::new(key.clone(), &self.shared, self.shared.seed));
        let follower = reader.follow();
        readers.insert(key.clone(), reader.clone());
        let task = reader::supervised(reader, self.shared.clone());
        let ShardKey { stream, shard } = key;
        let span = info_span!(parent: None, "shard_reader", %stream, %shard);
        self.shared.tasks.spawn(task.instrument(span));
        Ok(follower)
    }
}

impl HubShared {
    /// Forgets a reader without followers; `false` if a new follower came in the meantime.
    fn retire(&self, reader: &ShardReader) -> bool {
        let mut readers = self.readers.lock();
        let retired = !reader.is_followed();
        if retired {
            readers.remove(reader.key());
            if let Some(discovery) = self.discoveries.lock().get(&reader.key().stream) {
                discovery.leave_behind(&reader.key().shard, reader.progress(self.clock.now()));
            }
        }
        retired
    }

    /// Reports to the stream's discovery that a reader's own listing, begun at `begun`, showed
    /// whether the stream exists (`there`).
    fn tell_survey(&self, stream: &StreamArn, there: bool, begun: Instant) {
        let discovery = self.discoveries.lock().get(stream).cloned();
        if let Some(discovery) = discovery {
            discovery.hear(there, begun);
        }
    }

    /// Forgets a discovery without followers; `false` if a new follower came in the meantime.
    fn end_survey(&self, discovery: &StreamDiscovery) -> bool {
        let mut discoveries = self.discoveries.lock();
        let ended = !discovery.is_followed();
        if ended {
            discoveries.remove(discovery.stream());
        }
        ended
    }

    /// Frees memory until `wanted` bytes are free, plus some slack for later pages, or nothing is
    /// left to free: first all but the newest page of every lane, then those too (without the
    /// slack).
    fn shed(&self, wanted: usize) {
        let enough = wanted + self.memory.slack();
        let mut readers: Vec<_> = self.readers.lock().values().cloned().collect();
        readers.sort_by_cached_key(|reader| (Reverse(reader.cost()), reader.key().shard.clone()));
        for (all, enough) in [(false, enough), (true, wanted)] {
            for reader in &readers {
                if self.memory.free() >= enough {
                    return;
                }
                reader.shed(all, || self.memory.free() >= enough);
            }
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("readers", &self.reader_count()).finish_non_exhaustive()
    }
}
