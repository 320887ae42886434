//! Accepts connections: up to a limit, no peer taking all of them, each with a deadline for its
//! first byte.
//!
//! HTTP/2 keepalive begins after the preface, so it does not notice a client that connects and
//! sends nothing; and a plain accept loop spins when file descriptors run out. Both are handled
//! here. [`super::serving`] applies the rest of the deadline to clients that stop after their first
//! byte.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::PollSemaphore;

use super::cancellation_throttle::{CancellationThrottle, ReadPause};
use super::connection::{Connection, ConnectionSlot};
use super::socket::{BoundAddress, Listener, Socket};
use crate::limits::TransportLimits;
use crate::metrics::Metrics;
use crate::peer_shares::{Peer, PeerShares, ShareRefusal};

/// The pause after accepting failed for lack of file descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// The stream of connections of all listeners. Never ends and never fails; dropping it closes the
/// listeners and the connections that have not sent their first byte.
#[derive(Debug)]
pub struct Incoming {
    listeners: Vec<Listener>,
    /// The listener that is asked first.
    next: usize,
    first_byte: Duration,
    metrics: Metrics,
    slots: PollSemaphore,
    /// Each peer's share of the connections, so that no peer takes all.
    shares: PeerShares,
    /// Pauses reading from peers that cancel too many calls.
    throttle: CancellationThrottle,
    /// A slot for the next connection, taken before accepting: beyond the limit, clients wait in
    /// the kernel's queue.
    slot: Option<OwnedSemaphorePermit>,
    /// Accepted connections that have not sent a byte; never more than there are slots.
    silent: FuturesUnordered<BoxFuture<'static, Option<Connection>>>,
    /// The end of the pause after a failed accept; `None` while accepting.
    rest: Option<Pin<Box<Sleep>>>,
    /// Whether the last accept failed: a burst of failures is logged once.
    failing: bool,
}

impl Incoming {
    /// Binds `address` for connections within `limits`. Fails when the address is in use, not
    /// local, or not permitted.
    pub async fn bind(
        address: SocketAddr,
        limits: &TransportLimits,
        metrics: Metrics,
    ) -> io::Result<Self> {
        Ok(Self::new(vec![Listener::tcp(address).await?], limits, metrics))
    }

    /// The connections of all `listeners` together, within `limits`.
    pub fn new(listeners: Vec<Listener>, limits: &TransportLimits, metrics: Metrics) -> Self {
        let connections = limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            listeners,
            next: 0,
            first_byte: limits.first_byte,
            throttle: CancellationThrottle::new(limits, metrics.clone()),
            metrics,
            shares: PeerShares::of(connections),
            slots: PollSemaphore::new(Arc::new(Semaphore::new(connections))),
            slot: None,
            silent: FuturesUnordered::new(),
            rest: None,
            failing: false,
        }
    }

    /// Where the listeners are bound.
    pub fn local_addrs(&self) -> io::Result<Vec<BoundAddress>> {
        self.listeners.iter().map(Listener::local_addr).collect()
    }

    /// Accepts one connection, when one waits and a slot is free.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll_unpin(cx));
            self.rest = None;
        }
        let slot = match self.slot.take() {
            Some(slot) => slot,
            None => ready!(self.slots.poll_acquire(cx)).expect("nobody closes the semaphore"),
        };
        match self.poll_listeners(cx) {
            Poll::Pending => {
                self.slot = Some(slot);
                return Poll::Pending;
            }
            Poll::Ready(Ok((socket, peer))) => {
                self.failing = false;
                match self.shares.take(peer) {
                    Ok(share) => {
                        let slot = (share, slot, self.metrics.connection());
                        self.silent.push(
                            first_byte(socket, self.throttle.of(peer), self.first_byte, slot)
                                .boxed(),
                        );
                    }
                    // Closed without a response: such a client would not heed one.
                    Err(ShareRefusal::Peer | ShareRefusal::Quota | ShareRefusal::All) => {
                        self.metrics.limit_rejection("peer");
                        self.slot = Some(slot);
                    }
                }
            }
            Poll::Ready(Err(error)) if is_the_clients(&error) => self.slot = Some(slot),
            Poll::Ready(Err(error)) => {
                self.slot = Some(slot);
                self.rest = Some(Box::pin(tokio::time::sleep(REST)));
                if !self.failing {
                    tracing::warn!(%error, "cannot accept connections, trying on");
                }
                self.failing = true;
            }
        }
        Poll::Ready(())
    }
}

impl Incoming {
    /// The next client of any listener; whose turn it is goes round, so that no crowd at one keeps
    /// the others from being heard.
    fn poll_listeners(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        let many = self.listeners.len();
        for turn in 0..many {
            let at = (self.next + turn) % many;
            if let Poll::Ready(accepted) = self.listeners[at].poll_accept(cx) {
                self.next = at + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

impl Stream for Incoming {
    type Item = Result<Connection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // Both are polled before waiting, so that each can wake this task.
            let spoken = match self.silent.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(connection))) => return Poll::Ready(Some(Ok(connection))),
                Poll::Ready(Some(None)) => true,
                Poll::Ready(None) | Poll::Pending => false,
            };
            if self.poll_accept(cx).is_pending() && !spoken {
                return Poll::Pending;
            }
        }
    }
}

/// The connection once its first byte arrived; `None` when it closed or missed the deadline.
async fn first_byte(
    socket: Socket,
    pause: ReadPause,
    deadline: Duration,
    slot: ConnectionSlot,
) -> Option<Connection> {
    let open_by = Instant::now() + deadline;
    match tokio::time::timeout_at(open_by, socket.has_spoken()).await {
        Ok(Ok(true)) => Some(Connection::new(socket, pause, open_by, slot)),
        Ok(Ok(false)) | Ok(Err(_)) => None,
        Err(_) => {
            tracing::debug!(peer = %pause.peer(), "closing a connection that sent nothing");
            None
        }
    }
}

/// Whether the failure concerns only one connection, gone before it was accepted; the next accept
/// may succeed.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
