//! One accepted connection, its socket alone or TLS over it: holds its slot until dropped, notes whether
//! the client has begun HTTP/2, and pauses reading when its peer cancels too many calls.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::cancellation_throttle::ReadPause;
use super::frames::Frames;
use super::handshake::{Handshakes, Metered};
use super::socket::Socket;
use super::stalled_calls;
use crate::metrics::Active;
use crate::peer_shares::{Peer, PeerShare};
use crate::tls::PeerCertificates;
use crate::tls::server::ALPN;

/// The pause between two looks whether a client's second byte has come.
const SECOND_BYTE: Duration = Duration::from_millis(50);

/// A connection, with the slot and the count that are released when it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: Transport,
    /// What the client sends, and what it is sent.
    received: Frames,
    sent: Frames,
    pause: ReadPause,
    opened: PrefaceSeen,
    /// Whether HTTP/1.1 is spoken, which has no frames.
    http1: bool,
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
            http1: false,
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

    /// Finds out whether the client speaks HTTP/1.1, by what it said in the handshake of TLS or by
    /// its first bytes. A Unix socket has HTTP/2 only.
    pub(super) async fn find_protocol(&mut self) -> io::Result<()> {
        self.http1 = match &self.stream {
            Transport::Tls(stream) => stream.get_ref().1.alpn_protocol() != Some(ALPN),
            Transport::Plain(Socket::Tcp(stream)) => begins_http1(stream).await?,
            Transport::Plain(Socket::Unix(_)) => false,
        };
        if self.http1 {
            // hyper sees to it that heads come in time.
            self.opened.0.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether the client speaks HTTP/1.1.
    pub(super) fn speaks_http1(&self) -> bool {
        self.http1
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
        if self.http1 {
            return;
        }
        let cancelled = self.sent.take(bytes);
        self.spend(cancelled);
    }

    fn spend(&mut self, cancelled: usize) {
        if cancelled > 0 {
            self.pause.spend(cancelled);
        }
    }
}

/// Whether a connection does not begin as HTTP/2 does. Methods of HTTP/1.1 may begin with P, too,
/// but not with PR, unless they are of WebDAV.
async fn begins_http1(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 2];
    loop {
        match (stream.peek(&mut first).await?, first) {
            (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            (1, [b'P', _]) => tokio::time::sleep(SECOND_BYTE).await,
            (_, first) => return Ok(first[0] != b'P' || first[1] != b'R'),
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
        if me.http1 {
            return Poll::Ready(Ok(()));
        }
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
        let flushed = match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        if self.http1 && flushed.is_ready() {
            // HTTP/1.1 flushes when nothing is left of what it was handed, and asks for no more
            // where an answer has ended.
            stalled_calls::asked_on();
        }
        flushed
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
