//! Pauses reading from connections whose peer cancels calls too fast. No call is refused and no
//! connection closed: unread bytes wait on the client's side.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use super::cancellation_budget::CancellationBudget;
use crate::limits::TransportLimits;
use crate::metrics::Metrics;
use crate::peer_shares::Peer;

/// How many pauses fit into the keepalive timeout: even with the longest pauses a connection is
/// read this often before a ping counts as unanswered, so no client is cut off for a pong unread.
const READS: u32 = 4;

/// The longest pause, even if the keepalive timeout would allow a longer one.
const LONGEST: Duration = Duration::from_secs(60);

/// The state that the brakes of all connections share. A cheap clone.
#[derive(Clone, Debug)]
pub struct CancellationThrottle {
    cancellations: Arc<Mutex<CancellationBudget>>,
    metrics: Metrics,
}

/// The brake of one connection. Only cancellations on this connection while its peer is in debt
/// pause it; other connections from the same address continue.
#[derive(Debug)]
pub struct ReadPause {
    throttle: CancellationThrottle,
    peer: Peer,
    /// The end of the current pause; `None` while the connection is read.
    until: Option<Pin<Box<Sleep>>>,
}

impl CancellationThrottle {
    /// No peer has cancelled anything yet.
    pub fn new(limits: &TransportLimits, metrics: Metrics) -> Self {
        let longest = (limits.keepalive_timeout / READS).min(LONGEST);
        let cancellations = CancellationBudget::new(limits.cancellations_per_second, longest);
        Self { cancellations: Arc::new(Mutex::new(cancellations)), metrics }
    }

    /// The brake of one more connection of `peer`.
    pub fn of(&self, peer: Peer) -> ReadPause {
        ReadPause { throttle: self.clone(), peer, until: None }
    }
}

impl ReadPause {
    /// The peer of this connection.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Ready when the connection may be read.
    pub fn poll_off(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(until) = &mut self.until {
            ready!(until.as_mut().poll(cx));
            self.until = None;
        }
        Poll::Ready(())
    }

    /// Charges the peer for `calls` cancelled calls, and starts a pause if they exceed its budget.
    pub fn spend(&mut self, calls: usize) {
        let now = Instant::now().into_std();
        let until = self.throttle.cancellations.lock().spend(self.peer, calls, now);
        if let Some(until) = until {
            self.throttle.metrics.cancellation_pause();
            self.until = Some(Box::pin(tokio::time::sleep_until(until.into())));
        }
    }
}
