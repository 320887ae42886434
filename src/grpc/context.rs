//! What every service needs: the hub, the sessions, the limits, and the bells for going away.

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
use super::middleware::peer_shares::Caller;
use super::request::{ReadStart, ShardRef, ShardStart};
use super::shard_service::unary_read;

/// The shortest pause before a client that was sent away comes again, and what is added to the
/// longest for each stream there is.
const SOONEST: Duration = Duration::from_millis(500);
const PER_STREAM: Duration = Duration::from_millis(2);

/// The longest such pause is no longer than this, and the shortest.
const LONGEST: Duration = Duration::from_secs(30);

/// Shared by all services. A cheap clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// All reading.
    pub hub: Hub,
    /// All sessions.
    pub sessions: Sessions,
    /// Everything that is limited.
    pub limits: Arc<Limits>,
    /// Everything that is counted.
    pub metrics: Metrics,
    /// Cancelled when the server goes away: streams end, waiting calls answer.
    pub drain: CancellationToken,
    /// Jitters the age of streams.
    pub chance: Arc<Mutex<fastrand::Rng>>,
    /// One permit a response stream.
    pub streams: Arc<Semaphore>,
}

/// The right to one response stream; counted while it lives.
#[derive(Debug)]
pub struct StreamPermit {
    _permit: OwnedSemaphorePermit,
    _counted: Active,
}

impl Context {
    /// The same for one call: what it asks of the upstream's listings counts as its peer's.
    pub fn of(&self, extensions: &Extensions) -> Self {
        let peer = Caller::of(extensions).map(Caller::peer);
        Self { hub: self.hub.asked_by(peer), ..self.clone() }
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        self.hub.clock().now()
    }

    /// How long a client that is sent away should stay away. Those who are told so together do not
    /// come back together: the more there are, the longer it takes until all of them are back.
    pub fn come_again(&self) -> Duration {
        let streams = self.limits.streams.streams.saturating_sub(self.streams.available_permits());
        let spread =
            SOONEST + PER_STREAM.saturating_mul(u32::try_from(streams).unwrap_or(u32::MAX));
        SOONEST + spread.min(LONGEST).mul_f64(self.chance.lock().f64())
    }

    /// That the server goes away, and when to come again.
    pub fn draining(&self) -> CallError {
        CallError::Draining(self.come_again())
    }

    /// Refuses new work while the server goes away.
    pub fn admit(&self) -> Result<(), CallError> {
        if self.drain.is_cancelled() { Err(self.draining()) } else { Ok(()) }
    }

    /// Does what a call is to do, unless the server goes away first: then the call has done
    /// nothing. Only for work that may be dropped half-way.
    pub async fn unless_draining<T>(
        &self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        // Both are cancel-safe: a token, and work that has moved nothing until it is done.
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Err(self.draining()),
            done = work => done,
        }
    }

    /// Begins a call on a session.
    pub fn visit(&self, id: LeaseId) -> Result<SessionGuard, CallError> {
        Ok(self.sessions.enter(id)?)
    }

    /// The right to one more response stream.
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

    /// Looks a shard up in its stream's listing.
    pub async fn look_up(&self, named: &ShardRef) -> Result<(ShardKey, Shard), CallError> {
        let stream = self.hub.listings().resolve(&named.stream).await?;
        let shard = self.hub.listings().shard(&stream, &named.shard).await?;
        Ok((ShardKey { stream, shard: named.shard.clone() }, shard))
    }

    /// Looks up where a start wants to be. A token's shard that is listed no more has expired,
    /// unless it is too young for that: a listing may lag behind, or miss a shard in passing.
    pub async fn look_up_start(&self, start: &ShardStart) -> Result<(ShardKey, Shard), CallError> {
        use crate::hub::discovery::listings::ListingError;
        let found = self.look_up(&start.named).await;
        match (found, &start.read_start) {
            (
                Err(CallError::Topology(ListingError::ShardNotFound(_, shard))),
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

    /// A cursor where a client wishes to be: LATEST is anchored, anything else is not tried yet.
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

    /// Whether the number comes before all that the shard ever held, as far as a listing says.
    async fn is_below(&self, key: &ShardKey, number: SequenceNumber) -> bool {
        let listed = self.hub.listings().shard(&key.stream, &key.shard).await;
        listed.ok().and_then(|shard| shard.starting).is_some_and(|starting| number < starting)
    }
}
