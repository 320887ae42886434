//! One accepted connection, which holds its slot as long as it lives and knows whether its client
//! has begun to speak HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::metrics::Active;
use crate::shares::{Peer, Share};

/// What a client sends first, without the content of its SETTINGS: the preface, and the head of a
/// frame.
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

/// A TCP connection and what is given back when it is dropped: its slot and its count.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    opening: Opening,
    opened: PrefaceSeen,
    open_by: Instant,
    peer: Peer,
    _slot: ConnectionSlot,
}

/// What a connection holds, given back in this order: its peer's share, its place among all, its
/// count.
pub(super) type ConnectionSlot = (Share, OwnedSemaphorePermit, Active);

/// Whether a connection's client has sent its preface and its first SETTINGS.
#[derive(Clone, Debug, Default)]
pub struct PrefaceSeen(Arc<AtomicBool>);

/// How far the client's first bytes have come.
#[derive(Debug, Default)]
struct Opening {
    seen: usize,
    /// Bytes of the first frame's content, as far as its head was seen.
    content: usize,
}

impl Opening {
    /// Takes what was read; whether the first frame is here whole. That it is the right one is
    /// HTTP/2's business.
    fn take(&mut self, read: &[u8]) -> bool {
        for (at, byte) in (self.seen..).zip(read) {
            // The length is the first three bytes of a frame's head.
            if (PREFACE..PREFACE + 3).contains(&at) {
                self.content = self.content << 8 | usize::from(*byte);
            }
            if at >= PREFACE + FRAME_HEAD {
                break;
            }
        }
        self.seen += read.len();
        self.seen >= PREFACE + FRAME_HEAD + self.content
    }
}

impl PrefaceSeen {
    /// Whether it has.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Connection {
    /// `stream` of `peer`, holding `slot` until it is dropped; its client has begun HTTP/2 by
    /// `open_by`.
    pub(super) fn new(stream: TcpStream, peer: Peer, open_by: Instant, slot: ConnectionSlot) -> Self {
        Self { stream, opening: Opening::default(), opened: PrefaceSeen::default(), open_by, peer, _slot: slot }
    }

    /// Who is at its other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Tells whether the client has begun to speak HTTP/2, also when the connection is in other
    /// hands.
    pub fn opened(&self) -> PrefaceSeen {
        self.opened.clone()
    }

    /// When a connection that has not begun is closed.
    pub fn open_by(&self) -> Instant {
        self.open_by
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() && !self.opened.is_done() && self.opening.take(&buf.filled()[before..]) {
            self.opened.0.store(true, Ordering::Release);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_begun_with_the_last_byte_of_its_first_frame() {
        let content = 6 * 3;
        let sent: Vec<u8> =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, content, 4, 0, 0, 0, 0, 0], &[7; 18], b"more"].concat();
        let whole = sent.len() - 4;
        for piece in [1, 2, 5, 23, 24, 33, whole] {
            let mut opening = Opening::default();
            let mut seen = 0;
            for read in sent.chunks(piece) {
                seen += read.len();
                assert_eq!(opening.take(read), seen >= whole, "{seen} bytes by {piece}");
            }
        }
    }
}
