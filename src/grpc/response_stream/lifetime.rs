//! The lifetime of a response stream: drain, deadline, maximum age, and when heartbeats are due.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::grpc::context::{Context, StreamPermit};
use crate::grpc::permission::Permission;
use crate::session::Superseded;

use super::options::Options;

/// The timers of one response stream, and its permit.
#[derive(Debug)]
pub(crate) struct StreamLifetime {
    drain: CancellationToken,
    /// The interval of heartbeats and when the next is due; `None` for a stream without them.
    heartbeat: Option<(Duration, Instant)>,
    ends_at: Option<Instant>,
    deadline: Option<Instant>,
    /// `None` where everybody may do everything.
    permission: Option<Arc<Permission>>,
    _permit: StreamPermit,
}

/// An event of a stream's lifetime, independent of what the stream reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The lease that the stream runs on was taken over or closed.
    Superseded(Superseded),
    /// The server drains.
    Drain,
    /// The client's deadline is near.
    Deadline,
    /// The stream has reached its maximum age, or its caller has lost what it needs for it.
    Age,
    /// A heartbeat is due.
    Heartbeat,
}

impl StreamLifetime {
    /// A lifetime that begins now; the maximum age is jittered by 10 %. Nothing outlives its
    /// caller's credentials: the stream ends as of age, with its token, and whoever renews them
    /// loses nothing.
    pub(crate) fn new(context: &Context, options: &Options, permit: StreamPermit) -> Self {
        let now = Instant::now();
        let expires = context.permission.as_ref().and_then(|permission| permission.expires());
        let expiry = expires.map(|expires| now + expires.since(context.now().wall));
        let jittered = |age: Duration| age.mul_f64(0.9 + context.chance.lock().f64() / 5.0);
        Self {
            drain: context.drain.clone(),
            heartbeat: options.heartbeat.map(|interval| (interval, now + interval)),
            ends_at: options.max_age.map(|age| now + jittered(age)).into_iter().chain(expiry).min(),
            deadline: options.by,
            permission: context.permission.clone(),
            _permit: permit,
        }
    }

    /// Waits for the next event. Cancel-safe.
    pub(crate) async fn interrupt(&self) -> Interrupt {
        let timers = [
            (self.deadline, Interrupt::Deadline),
            (self.ends_at, Interrupt::Age),
            (self.heartbeat.map(|(_, due)| due), Interrupt::Heartbeat),
        ];
        let due = timers.into_iter().filter_map(|(at, interrupt)| Some((at?, interrupt)));
        let due = due.min_by_key(|(at, _)| *at);
        let timer = async {
            match due {
                Some((at, interrupt)) => {
                    tokio::time::sleep_until(at).await;
                    interrupt
                }
                None => std::future::pending().await,
            }
        };
        let revoked = async {
            match &self.permission {
                // Boxed: few servers have permissions that change.
                Some(permission) => Box::pin(permission.revoked()).await,
                None => std::future::pending().await,
            }
        };
        // All are cancel-safe: a token, a permission that is judged anew, and a timer.
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Interrupt::Drain,
            () = revoked => Interrupt::Age,
            interrupt = timer => interrupt,
        }
    }

    /// Restarts the heartbeat interval; called when a heartbeat is sent.
    pub(crate) fn reset_heartbeat(&mut self) {
        if let Some((interval, due)) = &mut self.heartbeat {
            *due = Instant::now() + *interval;
        }
    }
}
