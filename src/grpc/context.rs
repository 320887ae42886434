//! `Context`, which every service uses: the hub, sessions, limits, metrics and the drain signal.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::access::principal::Principal;
use crate::hub::{Hub, Permit};
use crate::limits::Limits;
use crate::metrics::{Active, Metrics};
use crate::model::Now;
use crate::session::Sessions;

use super::call_audit::CallAudit;
use super::callers::Caller;
use super::error::CallError;
use super::permission::Permission;
use super::standing::Standing;

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
    /// Cancelled when the server drains, or the connection of the call is to be closed: streams end
    /// and waiting calls return.
    pub drain: CancellationToken,
    /// Randomness for the maximum age of streams and for retry delays.
    pub chance: Arc<Mutex<fastrand::Rng>>,
    /// One permit for each response stream.
    pub streams: Arc<Semaphore>,
    /// What the call was let in by.
    pub standing: Standing,
    /// Told of what the call opens; `None` without a transport.
    pub audit: Option<Arc<CallAudit>>,
}

/// What services keep of their [`Context`]: a handler gets at it only on behalf of the caller of its
/// request, so that none can pass by what that caller may do.
#[derive(Clone, Debug)]
pub struct SharedContext(Context);

/// The permit of one response stream; counted in the metrics while it lives.
#[derive(Debug)]
pub struct StreamPermit {
    _permit: OwnedSemaphorePermit,
    _counted: Active,
}

impl SharedContext {
    /// The state that all services share.
    pub fn new(context: Context) -> Self {
        Self(context)
    }

    /// The context of one call: its listing requests to the upstream count for its peer, reach what
    /// its caller may reach, and what it reads counts in what its caller uses.
    pub fn of(&self, extensions: &Extensions) -> Context {
        let caller = Caller::of(extensions);
        let (peer, used) = (caller.map(Caller::peer), caller.and_then(Caller::used).cloned());
        let drain = caller.and_then(Caller::ending).unwrap_or(&self.0.drain).clone();
        let standing = Standing::of(extensions);
        let permit = standing.permission().cloned().map(|permission| permission as Arc<dyn Permit>);
        let audit = CallAudit::of(extensions).cloned();
        let hub = self.0.hub.asked_by(peer, permit, used);
        Context { hub, drain, standing, audit, ..self.0.clone() }
    }
}

impl Context {
    /// Who makes the call; `None` where nobody is asked.
    pub fn principal(&self) -> Option<&Principal> {
        self.permission().map(Permission::principal)
    }

    /// Who makes the call, and what it needs; `None` if everybody may do everything.
    pub fn permission(&self) -> Option<&Permission> {
        self.standing.permission().map(Arc::as_ref)
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
}
