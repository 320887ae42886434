//! `Context`, which every service uses: the hub, sessions, limits, metrics and the drain signal.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::hub::cursor::Cursor;
use crate::hub::shard::position::{ReadPosition, SAFE_AGE};
use crate::hub::{Hub, ShardKey};
use crate::limits::Limits;
use crate::metrics::{Active, Metrics};
use crate::model::{Checkpoint, Now, Position, SequenceNumber, Shard};
use crate::session::table::{LeaseId, SessionGuard, Sessions};
use crate::upstream::{Operation, UpstreamError};

use super::error::CallError;
use super::middleware::callers::Caller;
use super::request::{ReadStart, ShardRef, ShardStart};
use super::shard_service::unary_read;

/// The shortest retry delay for a client that was sent away, and what each open stream adds to the
/// longest.
const SOONEST: Duration = Duration::from_millis(500);
const PER_STREAM: Duration = Duration::from_millis(2);

/// A retry delay is never longer than this plus `SOONEST`.
const LONGEST: Duration = Duration::from_secs(30);

/// The state that all services share. A cheap clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// Reads shards and listings.
    pub hub: Hub,
    /// All sessions.
    pub sessions: Sessions,
    /// The configured limits.
    pub limits: Arc<Limits>,
    /// The metrics.
    pub metrics: Metrics,
    /// Cancelled when the server drains: streams end and waiting calls return.
    pub drain: CancellationToken,
    /// Randomness for the maximum age of streams and for retry delays.
    pub chance: Arc<Mutex<fastrand::Rng>>,
    /// One permit for each response stream.
    pub streams: Arc<Semaphore>,
}

/// The permit of one response stream; counted in the metrics while it lives.
#[derive(Debug)]
pub struct StreamPermit {
    _permit: OwnedSemaphorePermit,
    _counted: Active,
}

impl Context {
    /// The context of one call: its listing requests to the upstream count for its peer.
    pub fn of(&self, extensions: &Extensions) -> Self {
        let peer = Caller::of(extensions).map(Caller::peer);
        Self { hub: self.hub.asked_by(peer), ..self.clone() }
    }

    /// The current time of the hub's clock.
    pub fn now(&self) -> Now {
        self.hub.clock().now()
    }

    /// The retry delay for a client that is sent away. Random, so that clients sent away together
    /// do not all return together; the more streams are open, the longer the delays may be.
    pub fn come_again(&self) -> Duration {
        let streams = self.limits.streams.streams.saturating_sub(self.streams.available_permits());
        let spread =
            SOONEST + PER_STREAM.saturating_mul(u32::try_from(streams).unwrap_or(u32::MAX));
        SOONEST + spread.min(LONGEST).mul_f64(self.chance.lock().f64())
    }

    /// The refusal while the server drains, with a retry delay.
    pub fn draining(&self) -> CallError {
        CallError::Draining(self.come_again())
    }

    /// Refuses new work while the server drains.
    pub fn admit(&self) -> Result<(), CallError> {
        if self.drain.is_cancelled() { Err(self.draining()) } else { Ok(()) }
    }

    /// Runs `work` unless the server drains first; then the call has done nothing. Only for work
    /// that may be dropped halfway.
    pub async fn unless_draining<T>(
        &self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        // Both are cancel-safe: a token, and work that moves no session until it is done.
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Err(self.draining()),
            done = work => done,
        }
    }

    /// Begins a call on the session of lease `id`.
    pub fn visit(&self, id: LeaseId) -> Result<SessionGuard, CallError> {
        Ok(self.sessions.enter(id)?)
    }

    /// Takes the permit for one more response stream.
    pub fn stream_permit(&self, rpc: &'static str) -> Result<StreamPermit, CallError> {
        let Ok(permit) = self.streams.clone().try_acquire_owned() else {
            self.metrics.limit_rejection("streams");
            let description = format!(
                "{} response streams are open, which is the limit",
                self.limits.streams.streams
            );
            return Err(CallError::Limit("STREAM_LIMIT", description));
        };
        Ok(StreamPermit { _permit: permit, _counted: self.metrics.stream(rpc) })
    }

    /// Looks up a shard in its stream's listing.
    pub async fn look_up(&self, named: &ShardRef) -> Result<(ShardKey, Shard), CallError> {
        let stream = self.hub.listings().resolve(&named.stream).await?;
        let shard = self.hub.listings().shard(&stream, &named.shard).await?;
        Ok((ShardKey { stream, shard: named.shard.clone() }, shard))
    }

    /// Looks up the shard of a start. If a token's shard is missing from the listing, it has
    /// expired, unless it is too young for that: a listing may lag or miss a shard temporarily.
    pub async fn look_up_start(&self, start: &ShardStart) -> Result<(ShardKey, Shard), CallError> {
        use crate::hub::discovery::listings::ListingError;
        let found = self.look_up(&start.named).await;
        match (found, &start.read_start) {
            (
                Err(CallError::Listing(ListingError::ShardNotFound(_, shard))),
                ReadStart::Token(checkpoint),
            ) => {
                let known = checkpoint.time.max(shard.created());
                let young = known.is_some_and(|known| self.now().wall.since(known) < SAFE_AGE);
                let lacks = "the listing lacks a shard that is too young to have expired";
                Err(match young {
                    true => CallError::Upstream(UpstreamError::nonsense(
                        Operation::DescribeStream,
                        lacks,
                    )),
                    false => CallError::ShardExpired(shard.to_string()),
                })
            }
            (found, _) => found,
        }
    }

    /// A cursor at the requested start. LATEST is anchored now; any other position is not tried
    /// upstream yet.
    pub async fn cursor(
        &self,
        key: &ShardKey,
        read_start: &ReadStart,
    ) -> Result<Cursor, CallError> {
        let now = self.now();
        let created = key.shard.created().or_else(|| key.stream.created());
        let position = match read_start {
            ReadStart::Position(position) if key.stream.is_alternators() => {
                ReadPosition::asked(position.of_moment(), created, now)
            }
            ReadStart::Position(position) => ReadPosition::asked(*position, created, now),
            ReadStart::Token(checkpoint) => ReadPosition::restored(Checkpoint {
                time: checkpoint.time.or(created),
                ..*checkpoint
            }),
            ReadStart::Latest => ReadPosition::asked(Position::TrimHorizon, created, now),
        };
        let below = match read_start {
            ReadStart::Position(Position::AtSequenceNumber(number))
            | ReadStart::Token(Checkpoint {
                position: Position::AtSequenceNumber(number), ..
            }) => self.is_below(key, *number).await,
            ReadStart::Position(_) | ReadStart::Token(_) | ReadStart::Latest => false,
        };
        let position = ReadPosition { below, ..position };
        let mut cursor = self.hub.cursor(key, position)?;
        if *read_start == ReadStart::Latest {
            unary_read::anchor(&mut cursor).await?;
        }
        Ok(cursor)
    }

    /// Whether the number precedes the shard's first; false if no listing says so.
    async fn is_below(&self, key: &ShardKey, number: SequenceNumber) -> bool {
        let listed = self.hub.listings().shard(&key.stream, &key.shard).await;
        listed.ok().and_then(|shard| shard.starting).is_some_and(|starting| number < starting)
    }
}
