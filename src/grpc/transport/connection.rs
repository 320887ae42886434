//! One accepted connection, its socket alone or TLS over it: holds its slot until dropped, notes whether
//! the client has begun HTTP/2, and pauses reading when its peer cancels too many calls.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::cancellation_throttle::ReadPause;
use super::frames::Frames;
use super::handshake::{Handshakes, Metered};
use super::socket::Socket;
use crate::metrics::Active;
use crate::peer_shares::{Peer, PeerShare};
use crate::tls::PeerCertificates;

/// A connection, with the slot and the count that are released when it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: Transport,
    /// What the client sends, and what it is sent.
    received: Frames,
    sent: Frames,
    pause: ReadPause,
    opened: PrefaceSeen,
    open_by: Instant,
    _slot: ConnectionSlot,
}

/// What carries the bytes of HTTP/2.
#[derive(Debug)]
enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Metered>>),
}

/// What a connection holds, released in this order: its peer's share, its permit among all
/// connections, its count in the metrics.
pub(super) type ConnectionSlot = (PeerShare, OwnedSemaphorePermit, Active);

/// Whether a connection's client has sent its preface and its first SETTINGS.
#[derive(Clone, Debug, Default)]
pub struct PrefaceSeen(Arc<AtomicBool>);

impl PrefaceSeen {
    /// Whether the client has begun HTTP/2.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Connection {
    /// Wraps `socket` with the brake of its peer, holding `slot` until dropped; its client must
    /// begin HTTP/2 by `open_by`.
    pub(super) fn new(
        socket: Socket,
        pause: ReadPause,
        open_by: Instant,
        slot: ConnectionSlot,
    ) -> Self {
        Self {
            stream: Transport::Plain(socket),
            received: Frames::of_client(),
            sent: Frames::of_server(),
            pause,
            opened: PrefaceSeen::default(),
            open_by,
            _slot: slot,
        }
    }

    /// The peer at its other end.
    pub fn peer(&self) -> Peer {
        self.pause.peer()
    }

    /// The connection after the handshake of TLS; `None` where that failed, which was counted. A
    /// Unix socket has no TLS: nobody is on the way.
    pub(super) async fn secured(self, handshakes: &Handshakes) -> Option<Self> {
        let stream = match self.stream {
            Transport::Plain(Socket::Tcp(stream)) => stream,
            stream @ (Transport::Plain(Socket::Unix(_)) | Transport::Tls(_)) => {
                return Some(Self { stream, ..self });
            }
        };
        let stream = handshakes.run(stream, self.pause.peer(), self.open_by).await?;
        Some(Self { stream: Transport::Tls(Box::new(stream)), ..self })
    }

    /// The certificates that the client has shown; `None` without TLS or where it has none.
    pub fn certificates(&self) -> Option<PeerCertificates> {
        match &self.stream {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => PeerCertificates::new(stream.get_ref().1.peer_certificates()),
        }
    }

    /// A shared flag of whether the client has begun HTTP/2, usable after the connection was handed
    /// to hyper.
    pub fn opened(&self) -> PrefaceSeen {
        self.opened.clone()
    }

    /// When the connection is closed if its client has not begun HTTP/2.
    pub fn open_by(&self) -> Instant {
        self.open_by
    }

    /// The client's address; `None` by a Unix socket.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        match &self.stream {
            Transport::Plain(socket) => socket.remote_addr(),
            Transport::Tls(stream) => stream.get_ref().0.get_ref().peer_addr().ok(),
        }
    }

    /// Follows what is sent to the client. A call that it makes the server reset costs as much as
    /// one that it cancels itself.
    fn sends(&mut self, bytes: &[u8]) {
        let cancelled = self.sent.take(bytes);
        self.spend(cancelled);
    }

    fn spend(&mut self, cancelled: usize) {
        if cancelled > 0 {
            self.pause.spend(cancelled);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        ready!(me.pause.poll_off(cx));
        let before = buf.filled().len();
        ready!(match &mut me.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        let cancelled = me.received.take(&buf.filled()[before..]);
        me.spend(cancelled);
        if me.received.have_begun() && !me.opened.is_done() {
            me.opened.0.store(true, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        let written = ready!(match &mut me.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        })?;
        me.sends(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = &mut *self;
        let written = ready!(match &mut me.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        })?;
        let mut rest = written;
        for buf in bufs {
            let sent = rest.min(buf.len());
            me.sends(&buf[..sent]);
            rest -= sent;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
