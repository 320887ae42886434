//! The hub: reads each followed shard once for all clients.
//!
//! The state of one shard is pure: [`shard`]. Around it is a thin shell, in the order in which the
//! parts stand on one another: `dependencies` (what all of them share: the upstream, the clocks,
//! the limits, and with them `page_budget`, `call_permits` and `clocks`), [`discovery`] (the shards
//! of a stream), `reader` (one task per shard, and room for its pages), `cursor` (how a client
//! waits, with `wake_list`, and for many shards `ready_queue`) and `watching` (who watches how far
//! the shards are read). `registry` keeps what has one task while anybody follows it, and
//! `resolver` is the door through which streams are named.

mod call_permits;
mod caller_use;
mod clocks;
mod counts;
mod cursor;
mod dependencies;
pub mod discovery;
mod page_budget;
mod permit;
mod rate_limit;
mod reader;
mod ready_queue;
mod registry;
mod resolver;
pub mod shard;
mod stream_names;
mod supervise;
mod timed_call;
mod wake_list;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::held_bytes::HeldBytes;
use crate::limits::ReadingLimits;
use crate::model::{StreamArn, Timestamp};
use crate::peer_shares::Peer;
use crate::upstream::Upstream;

use caller_use::ShardQuotaReached;
use dependencies::Dependencies;
use discovery::Discovery;
use discovery::discoveries::Discoveries;
use discovery::listings::{ListingError, Requester, StreamLookup};
use reader::{Readers, ShardReader};

// A stream is named, and its shards with it.
pub use caller_use::{CallerUse, UseQuota};
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
pub use dependencies::Runtime;
pub use reader::TooManyShards;
pub(crate) use watching::Watching;

/// The entry point to all reading. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    readers: Arc<Readers>,
    /// The peer on whose behalf this handle requests listings; `None` without a transport.
    peer: Option<Peer>,
    /// What the caller may reach on whose behalf this handle looks streams up; `None`: everything.
    permit: Option<Arc<dyn Permit>>,
    /// What that caller uses; `None`: nobody counts it.
    used: Option<Arc<CallerUse>>,
}

impl Hub {
    /// A hub over `upstream`.
    pub fn new(upstream: Arc<dyn Upstream>, limits: ReadingLimits, runtime: Runtime) -> Self {
        let dependencies = Arc::new(Dependencies::new(upstream, limits, runtime));
        let discoveries = Arc::new(Discoveries::new(dependencies.clone()));
        let readers = Arc::new(Readers::new(dependencies, discoveries));
        Self { readers, peer: None, permit: None, used: None }
    }

    /// A cursor at `position` of a shard. Starts the shard's reader if it has none.
    pub fn cursor(&self, key: &ShardKey, position: ReadPosition) -> Result<Cursor, TooManyShards> {
        let used = self.used.as_ref().map(|used| used.read(key)).transpose();
        let used = used.map_err(|ShardQuotaReached(most)| {
            self.dependencies().metrics.limit_rejection("quota");
            TooManyShards::OfCaller(most)
        })?;
        let reader = reader::follow(&self.readers, key)?;
        Ok(Cursor::new(reader, used, position.coarse(self.dependencies().grain)))
    }

    /// Follows the shards of a stream, from a listing at most `age` old. A stream that does not
    /// exist is reported before any state is kept for it.
    pub async fn enter(
        &self,
        stream: &ResolvedStream,
        age: Duration,
    ) -> Result<Discovery, ListingError> {
        if let Some(discovery) = self.readers.discoveries.followed(stream.arn())
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
        discovery::discovery_task::follow(&self.readers.discoveries, stream)
    }

    /// Watches how far the shards of the stream are read that `discovery` follows.
    pub(crate) fn watch(&self, discovery: Discovery) -> Watching {
        Watching::new(&self.readers, discovery)
    }

    /// Waits until a shard of the stream that no listing shows may be tried. Cancel-safe: a dropped
    /// call has used no turn.
    pub async fn turn_to_try(self, stream: ResolvedStream) {
        self.listings().turn_to_try(&stream).await;
    }

    /// The same hub, for calls of clients at `peer` who may reach what `permit` says; what they use
    /// counts in `used`.
    pub fn asked_by(
        &self,
        peer: Option<Peer>,
        permit: Option<Arc<dyn Permit>>,
        used: Option<Arc<CallerUse>>,
    ) -> Self {
        Self { readers: self.readers.clone(), peer, permit, used }
    }

    /// The bytes of answers that the caller has not taken, on whose behalf this handle is; `None`:
    /// nobody counts them.
    pub fn unread(&self) -> Option<&HeldBytes> {
        self.used.as_ref().map(|used| used.unread())
    }

    /// Lookup of streams and their shards, on behalf of this hub's peer.
    pub fn listings(&self) -> StreamLookup<'_> {
        let listings = &self.readers.discoveries.listings;
        StreamLookup::new(listings, Requester::Client(self.peer)).permitted(self.permit.as_deref())
    }

    /// Whether the caller on whose behalf this handle is may reach the stream.
    pub fn may_reach(&self, stream: &StreamArn) -> Result<(), NotAllowed> {
        self.permit.as_ref().map_or(Ok(()), |permit| permit.may_reach(stream))
    }

    /// The pool of bytes held for clients.
    pub fn held(&self) -> &HeldBytes {
        &self.dependencies().held
    }

    /// The clock of this server.
    pub fn clock(&self) -> &Clock {
        &self.dependencies().clock
    }

    /// The upstream's time when our clock shows `now`, by the `Date` of its newest response; never
    /// later than ours.
    pub fn upstream_time(&self, now: Timestamp) -> Timestamp {
        self.dependencies().clocks.slower(now)
    }

    /// The upstream that records are read from.
    pub fn upstream(&self) -> &dyn Upstream {
        &*self.dependencies().upstream
    }

    /// Counts what is kept now.
    pub fn kept(&self) -> HubCounts {
        HubCounts::of(&self.readers)
    }

    /// The number of shards with a reader.
    pub fn reader_count(&self) -> usize {
        self.readers.count()
    }

    /// Bytes in all windows, pages in flight included.
    pub fn window_bytes(&self) -> usize {
        self.dependencies().memory.used()
    }

    /// The most bytes that any one shard keeps, and the most lanes that any one shard has.
    pub fn busiest(&self) -> (usize, usize) {
        let readers = self.readers.all();
        let most = |of: fn(&ShardReader) -> usize| {
            readers.iter().map(|reader| of(reader)).max().unwrap_or(0)
        };
        (most(ShardReader::cost), most(|reader| reader.state().lane_count()))
    }

    fn dependencies(&self) -> &Dependencies {
        &self.readers.dependencies
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("readers", &self.reader_count()).finish_non_exhaustive()
    }
}
