//! The handshake of TLS on an accepted connection: inside the connection's own task and its
//! deadline, bounded in bytes, its work in turn.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{AlertDescription, Error, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::handshake_turns::HandshakeTurns;
use crate::metrics::Metrics;
use crate::peer_shares::Peer;
use crate::tls::server::{ALPN, Acceptance, HTTP1};
use crate::tls::{PeerCertificates, ServerTls};

/// The most bytes that a client may send in its handshake: several times what certificates take.
const MOST_BYTES: usize = 16 << 10;

/// The most bytes that are encrypted ahead of what the client takes.
const UNSENT: usize = 16 << 10;

/// The first byte of every TLS handshake.
const HANDSHAKE: u8 = 22;

/// How long, and for how many more bytes, a refused client is listened to: what was not read would
/// make the system reset the connection, and the client would not see why.
const PARTING: (Duration, u64) = (Duration::from_secs(1), 64 << 10);

/// What a client of HTTP/2 in plain text is told: a GOAWAY (7) of no calls for INADEQUATE_SECURITY
/// (12), with words for people after it. Settings before it would make the connection good in the
/// eyes of clients, and they would try it again until the deadline of their call.
const PLAIN_TEXT: &[u8] = b"\0\0\x3e\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0c\
    this port speaks TLS: connect with https, not in plain";

/// What all handshakes of a server share. A cheap clone.
#[derive(Clone, Debug)]
pub struct Handshakes {
    tls: ServerTls,
    turns: HandshakeTurns,
    metrics: Metrics,
}

/// A socket that gives no more than so many bytes, until it is told to.
#[derive(Debug)]
pub struct Metered {
    stream: TcpStream,
    /// Bytes that may still come; `None`: as many as there are.
    left: Option<usize>,
}

/// How a handshake failed.
struct Failed {
    /// The word for it in the metrics.
    result: &'static str,
    /// The connection, where the client is still there.
    stream: Option<TcpStream>,
}

/// What a socket says that has given all it may.
#[derive(Debug, thiserror::Error)]
#[error("more bytes than a handshake has")]
struct TooLarge;

impl Handshakes {
    /// Handshakes by `tls`.
    pub fn new(tls: ServerTls, metrics: Metrics) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { tls, turns: HandshakeTurns::new(cores / 2), metrics }
    }

    /// The handshake on `stream`, of which a first byte has come, until `by`. `None` where it
    /// failed: the client was told as TLS does, and the failure counted.
    pub(super) async fn run(
        &self,
        stream: TcpStream,
        peer: Peer,
        by: Instant,
    ) -> Option<TlsStream<Metered>> {
        let failed = match timeout_at(by, self.shake(stream, peer)).await {
            Ok(Ok(stream)) => {
                self.metrics.tls_handshake("ok");
                return Some(stream);
            }
            Ok(Err(failed)) => failed,
            Err(_) => Failed { result: "timeout", stream: None },
        };
        self.metrics.tls_handshake(failed.result);
        tracing::debug!(result = failed.result, "closing a connection without a handshake");
        if let Some(stream) = failed.stream {
            part(stream).await;
        }
        None
    }

    async fn shake(&self, mut stream: TcpStream, peer: Peer) -> Result<TlsStream<Metered>, Failed> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) if first[0] == HANDSHAKE => {}
            Ok(1..) => {
                if first[0] == b'P' {
                    let _ = stream.write_all(PLAIN_TEXT).await;
                }
                return Err(Failed { result: "no_tls", stream: Some(stream) });
            }
            Ok(0) | Err(_) => return Err(Failed { result: "closed", stream: None }),
        }
        let stream = Metered { stream, left: Some(MOST_BYTES) };
        let mut hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let start = match (&mut hello).await {
            Ok(start) => start,
            Err(error) => return Err(Failed::of(&error, hello.take_io())),
        };
        // What is in force now, not when the server began. The first step begins here: it signs.
        let config = self.tls.current();
        let http1 = config.alpn_protocols.iter().any(|protocol| protocol == HTTP1);
        let small = |session: &mut ServerConnection| session.set_buffer_limit(Some(UNSENT));
        let work = async { start.into_stream_with(config, small).into_fallible().await };
        match self.turns.take(peer, work).await {
            // A client of HTTP/1.1 need not say so.
            Ok(mut stream) if http1 || stream.get_ref().1.alpn_protocol() == Some(ALPN) => {
                stream.get_mut().0.left = None;
                Ok(stream)
            }
            Ok(stream) => {
                Err(Failed { result: "no_http2", stream: Some(stream.into_inner().0.stream) })
            }
            Err((error, stream)) => Err(Failed::of(&error, Some(stream))),
        }
    }
}

impl Failed {
    fn of(error: &io::Error, stream: Option<Metered>) -> Self {
        Self { result: result(error), stream: stream.map(|metered| metered.stream) }
    }
}

impl Handshakes {
    /// Whether what a client has shown goes on to be accepted.
    pub(super) fn acceptance(&self, shown: PeerCertificates) -> Acceptance {
        self.tls.acceptance(shown)
    }
}

impl Metered {
    /// The socket.
    pub fn get_ref(&self) -> &TcpStream {
        &self.stream
    }
}

/// Closes a connection so that the client can read what was said last.
async fn part(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut rest = stream.take(PARTING.1);
    let _ = timeout(PARTING.0, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// The word of the metrics for a handshake that failed.
fn result(error: &io::Error) -> &'static str {
    let Some(inner) = error.get_ref() else { return "closed" };
    if inner.is::<TooLarge>() {
        return "too_large";
    }
    match inner.downcast_ref::<Error>() {
        None => "closed",
        Some(Error::NoCertificatesPresented) => "no_certificate",
        Some(Error::InvalidCertificate(_)) => "bad_certificate",
        Some(Error::AlertReceived(AlertDescription::CloseNotify)) => "closed",
        Some(Error::AlertReceived(_)) => "refused",
        Some(Error::NoApplicationProtocol) => "no_http2",
        Some(Error::PeerIncompatible(_)) => "incompatible",
        Some(_) => "protocol",
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let Some(left) = &mut me.left else { return Pin::new(&mut me.stream).poll_read(cx, buf) };
        if *left == 0 {
            return Poll::Ready(Err(io::Error::other(TooLarge)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut me.stream).poll_read(cx, buf))?;
        *left = left.saturating_sub(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
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
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
