//! The lifetime of a response stream: drain, deadline, maximum age, and when heartbeats are due.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::grpc::context::{Context, StreamPermit};
use crate::grpc::error::CallError;
use crate::grpc::standing::Standing;
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
    standing: Standing,
    _permit: StreamPermit,
}

/// An event of a stream's lifetime, independent of what the stream reads.
#[derive(Clone, Debug)]
pub(crate) enum Interrupt {
    /// The lease that the stream runs on was taken over or closed.
    Superseded(Superseded),
    /// The server drains.
    Drain,
    /// The client's deadline is near.
    Deadline,
    /// The stream has reached its maximum age.
    Age,
    /// Its caller would not be let in any more.
    Refused(Box<CallError>),
    /// A heartbeat is due.
    Heartbeat,
}

impl StreamLifetime {
    /// A lifetime that begins now; the maximum age is jittered by 10 %. Nothing outlives its
    /// caller's credentials: the stream ends with its token, and whoever renews them loses nothing.
    pub(crate) fn new(context: &Context, options: &Options, permit: StreamPermit) -> Self {
        let now = Instant::now();
        let jittered = |age: Duration| age.mul_f64(0.9 + context.chance.lock().f64() / 5.0);
        Self {
            drain: context.drain.clone(),
            heartbeat: options.heartbeat.map(|interval| (interval, now + interval)),
            ends_at: options.max_age.map(|age| now + jittered(age)),
            deadline: options.by,
            standing: context.standing.clone(),
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
        let refused = async {
            match self.standing.is_lasting() {
                true => std::future::pending().await,
                // Boxed: few servers have callers whose standing changes.
                false => Box::pin(self.standing.lost()).await,
            }
        };
        // All are cancel-safe: a token, a standing that is judged anew, and a timer.
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Interrupt::Drain,
            refusal = refused => Interrupt::Refused(Box::new(refusal)),
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
