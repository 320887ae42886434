//! Connections as they come in: so many at a time, no peer with all of them, each with a deadline
//! for its first byte.
//!
//! A client that connects and says nothing is not noticed by HTTP/2 keepalive, which begins after
//! the preface; and an accept loop that is out of file descriptors spins. Both end here. One that
//! begins to speak and stops has the rest of its deadline, which [`super::serving`] holds.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::PollSemaphore;

use super::brake::{Brake, Brakes};
use super::connection::{Connection, ConnectionSlot};
use crate::limits::TransportLimits;
use crate::metrics::Metrics;
use crate::shares::{Over, Peer, Shares};

/// How long accepting rests after it failed for want of file descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// The connections of one listener. Never ends and never fails; dropped, it closes
/// the listener and the connections that were still to send their first byte.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    first_byte: Duration,
    metrics: Metrics,
    slots: PollSemaphore,
    /// No peer has all of them.
    shares: Shares,
    /// For peers that cancel too many calls.
    brakes: Brakes,
    /// A slot for the next connection, taken before it is accepted: past the limit clients wait in
    /// the kernel's queue.
    slot: Option<OwnedSemaphorePermit>,
    /// Accepted and silent so far; never more than there are slots.
    silent: FuturesUnordered<BoxFuture<'static, Option<Connection>>>,
    /// Set while accepting rests.
    rest: Option<Pin<Box<Sleep>>>,
    /// Whether the last accept failed: a burst of failures is logged once.
    failing: bool,
}

impl Incoming {
    /// Binds `address` for connections within `limits`. Fails as binding does: in use, not ours,
    /// not allowed.
    pub async fn bind(
        address: SocketAddr,
        limits: &TransportLimits,
        metrics: Metrics,
    ) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, limits, metrics))
    }

    /// The connections of `listener`, within `limits`.
    pub fn new(listener: TcpListener, limits: &TransportLimits, metrics: Metrics) -> Self {
        let connections = limits.connections.min(Semaphore::MAX_PERMITS);
        Self {
            listener,
            first_byte: limits.first_byte,
            brakes: Brakes::new(limits, metrics.clone()),
            metrics,
            shares: Shares::of(connections),
            slots: PollSemaphore::new(Arc::new(Semaphore::new(connections))),
            slot: None,
            silent: FuturesUnordered::new(),
            rest: None,
            failing: false,
        }
    }

    /// The bound address, its port known.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts one connection, if one waits and there is a slot for it.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll_unpin(cx));
            self.rest = None;
        }
        let slot = match self.slot.take() {
            Some(slot) => slot,
            None => ready!(self.slots.poll_acquire(cx)).expect("nobody closes the semaphore"),
        };
        match self.listener.poll_accept(cx) {
            Poll::Pending => {
                self.slot = Some(slot);
                return Poll::Pending;
            }
            Poll::Ready(Ok((stream, address))) => {
                self.failing = false;
                let peer = Peer::at(address.ip());
                match self.shares.take(peer) {
                    Ok(share) => {
                        let slot = (share, slot, self.metrics.connection());
                        self.silent.push(
                            first_byte(stream, self.brakes.of(peer), self.first_byte, slot).boxed(),
                        );
                    }
                    // Closed without a word: who connects so often does not listen.
                    Err(Over::Peer | Over::All) => {
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

impl Stream for Incoming {
    type Item = Result<Connection, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // Both are polled before waiting, so that each can wake us.
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

/// The connection once its first byte is here; `None` when it closed or stayed silent.
async fn first_byte(
    stream: TcpStream,
    brake: Brake,
    deadline: Duration,
    slot: ConnectionSlot,
) -> Option<Connection> {
    // Batches are whole messages: waiting to fill packets would only delay them.
    let _ = stream.set_nodelay(true);
    let open_by = Instant::now() + deadline;
    match tokio::time::timeout_at(open_by, stream.peek(&mut [0])).await {
        Ok(Ok(1..)) => Some(Connection::new(stream, brake, open_by, slot)),
        Ok(Ok(0)) | Ok(Err(_)) => None,
        Err(_) => {
            tracing::debug!(peer = ?stream.peer_addr().ok(), "closing a connection that sent nothing");
            None
        }
    }
}

/// Whether the failure is that of one connection, gone before it was accepted; the next is a new
/// matter.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
