//! Connections of peers that cancel more calls than they may are read later. Nothing is refused and
//! nothing ended: what is not read waits with its client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use super::cancellations::Cancellations;
use crate::limits::TransportLimits;
use crate::metrics::Metrics;
use crate::shares::Peer;

/// A connection is read so many times, even after the longest pauses, before a ping of keepalive
/// counts as unanswered: no client is cut off because its answer was not read.
const READS: u32 = 4;

/// No pause is longer, however long a ping may go unanswered.
const LONGEST: Duration = Duration::from_secs(60);

/// What the connections of all peers share. A cheap clone.
#[derive(Clone, Debug)]
pub struct Brakes {
    cancellations: Arc<Mutex<Cancellations>>,
    metrics: Metrics,
}

/// One connection's. It is on only where calls of this very connection are cancelled while its
/// peer is in debt: other connections from the same address go on.
#[derive(Debug)]
pub struct Brake {
    brakes: Brakes,
    peer: Peer,
    /// Set while the connection is not read.
    until: Option<Pin<Box<Sleep>>>,
}

impl Brakes {
    /// Nobody has cancelled anything yet.
    pub fn new(limits: &TransportLimits, metrics: Metrics) -> Self {
        let longest = (limits.keepalive_timeout / READS).min(LONGEST);
        let cancellations = Cancellations::new(limits.cancellations_per_second, longest);
        Self { cancellations: Arc::new(Mutex::new(cancellations)), metrics }
    }

    /// The brake of one more connection of `peer`.
    pub fn of(&self, peer: Peer) -> Brake {
        Brake { brakes: self.clone(), peer, until: None }
    }
}

impl Brake {
    /// Whose connection it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether the connection may be read.
    pub fn poll_off(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(until) = &mut self.until {
            ready!(until.as_mut().poll(cx));
            self.until = None;
        }
        Poll::Ready(())
    }

    /// So many calls were cancelled in what was read.
    pub fn spend(&mut self, calls: usize) {
        let now = Instant::now().into_std();
        let until = self.brakes.cancellations.lock().spend(self.peer, calls, now);
        if let Some(until) = until {
            self.brakes.metrics.cancellation_pause();
            self.until = Some(Box::pin(tokio::time::sleep_until(until.into())));
        }
    }
}
