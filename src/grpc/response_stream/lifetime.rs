//! What ends a response stream besides what it reads, and when it shows that it is alive.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::grpc::context::{Context, StreamPermit};

use super::options::Options;

/// The time that one response stream has.
#[derive(Debug)]
pub struct StreamLifetime {
    drain: CancellationToken,
    heartbeat: Duration,
    heartbeat_due: Instant,
    ends_at: Option<Instant>,
    deadline: Option<Instant>,
    _permit: StreamPermit,
}

/// What comes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The server goes away.
    Drain,
    /// The client's own deadline is near.
    Deadline,
    /// The stream is as old as one may be.
    Age,
    /// It is time to show a sign of life.
    Heartbeat,
}

impl StreamLifetime {
    /// A life that begins now.
    pub fn new(context: &Context, options: &Options, permit: StreamPermit) -> Self {
        let now = Instant::now();
        let max_age = context.limits.streams.max_age;
        Self {
            drain: context.drain.clone(),
            heartbeat: options.heartbeat,
            heartbeat_due: now + options.heartbeat,
            ends_at: max_age.map(|age| now + age.mul_f64(0.9 + context.chance.lock().f64() / 5.0)),
            deadline: options.by,
            _permit: permit,
        }
    }

    /// Resolves with what comes next. Cancel-safe.
    pub async fn interrupt(&self) -> Interrupt {
        let timers = [
            (self.deadline, Interrupt::Deadline),
            (self.ends_at, Interrupt::Age),
            (Some(self.heartbeat_due), Interrupt::Heartbeat),
        ];
        let due = timers.into_iter().filter_map(|(at, knock)| Some((at?, knock)));
        let (at, knock) = due.min_by_key(|(at, _)| *at).expect("a heartbeat is always due");
        // Both are cancel-safe: a token and a timer.
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Interrupt::Drain,
            () = tokio::time::sleep_until(at) => knock,
        }
    }

    /// A sign of life was given.
    pub fn reset_heartbeat(&mut self) {
        self.heartbeat_due = Instant::now() + self.heartbeat;
    }
}
