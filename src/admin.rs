//! The admin port: `/livez`, `/readyz` and `/metrics` over HTTP, by TLS where wanted, for probes and scrapers.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::sleep_until;
use crate::metrics::{self, Metrics};
use crate::supervised::survived;
use crate::tls::ServerTls;

/// How long responses in progress may take after shutdown.
const GRACE: Duration = Duration::from_secs(1);

/// How long a connection may take to send the headers of its request.
const HEADERS_IN: Duration = Duration::from_secs(10);

/// How long a connection may live in all: it serves one request.
const ANSWERED_IN: Duration = Duration::from_secs(30);

/// The most bytes and the most headers of a request. Bodies are not read.
const HEADERS: (usize, usize) = (16 << 10, 64);

/// The default limit of concurrent connections.
const CONNECTIONS: usize = 64;

/// The pause in accepting after it failed for lack of file descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// Whether the server accepts calls. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<ServerPhase>);

/// The phase of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPhase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Serving,
    /// No longer serving: calls in progress are being ended.
    Draining,
}

/// The admin port, bound and not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    metrics: Metrics,
    most: usize,
    /// `None`: plain text.
    tls: Option<ServerTls>,
}

/// The connections of the admin port.
struct Connections<F> {
    most: usize,
    /// A token per connection that ends it, oldest first; connections that are over cancelled
    /// theirs.
    ends: VecDeque<CancellationToken>,
    all: FuturesUnordered<F>,
}

impl Readiness {
    /// A server that is starting.
    pub fn new() -> Self {
        Self(watch::Sender::new(ServerPhase::Starting))
    }

    /// Sets the server's phase.
    pub fn set(&self, phase: ServerPhase) {
        self.0.send_replace(phase);
    }

    /// The server's phase.
    pub fn phase(&self) -> ServerPhase {
        *self.0.borrow()
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        match self.phase() {
            ServerPhase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            ServerPhase::Serving => (StatusCode::OK, "serving\n"),
            ServerPhase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Admin {
    /// The admin port on a socket that is bound to `address`.
    pub fn new(
        listener: TcpListener,
        address: SocketAddr,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Self {
        let shown = metrics.clone();
        let exposition = move || async move {
            ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], shown.render())
        };
        let router = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(move || async move { readiness.answer() }))
            .route("/metrics", get(exposition));
        Self { listener, address, router, metrics, most: CONNECTIONS, tls: None }
    }

    /// Limits the concurrent connections.
    pub fn at_most(mut self, connections: usize) -> Self {
        self.most = connections.max(1);
        self
    }

    /// Speaks TLS, if there is any, by the newest certificate.
    pub fn by_tls(self, tls: Option<ServerTls>) -> Self {
        Self { tls, ..self }
    }

    /// Where it is served, as a URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The bound address, with its actual port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, and then until the responses in progress are sent, a second at
    /// most. A connection beyond the limit ends the oldest: a new probe is served however many
    /// others are idle.
    ///
    /// Probes still need responses while the server drains: cancel this after the drain, not at its
    /// beginning.
    pub async fn serve(self, shutdown: CancellationToken) -> io::Result<()> {
        let Self { listener, router, metrics, most, tls, .. } = self;
        let open = |stream, end| {
            // A panic ends only its connection.
            AssertUnwindSafe(connection(stream, tls.clone(), router.clone(), end)).catch_unwind()
        };
        let mut connections = Connections { most, ends: VecDeque::new(), all: Default::default() };
        while survived(&metrics, connections.accept(&listener, &open, &metrics, &shutdown))
            .await
            .is_none()
        {
            tokio::time::sleep(REST).await;
        }
        drop(listener);
        let _ = timeout(GRACE, async { while connections.all.next().await.is_some() {} }).await;
        Ok(())
    }
}

impl<F: Future<Output = std::thread::Result<()>>> Connections<F> {
    /// Takes connections, each as `open` makes it, until `shutdown`.
    async fn accept(
        &mut self,
        listener: &TcpListener,
        open: &impl Fn(TcpStream, CancellationToken) -> F,
        metrics: &Metrics,
        shutdown: &CancellationToken,
    ) {
        let Self { most, ends, all: connections } = self;
        let mut rests = None;
        loop {
            // All are cancel-safe: a token, a set that keeps its futures, an accept that leaves the
            // connection in the queue, a timer.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                Some(over) = connections.next(), if !connections.is_empty() => {
                    if over.is_err() {
                        metrics.panic();
                    }
                }
                accepted = listener.accept(), if rests.is_none() => match accepted {
                    Ok((stream, _)) => {
                        ends.retain(|end| !end.is_cancelled());
                        if ends.len() >= *most && let Some(oldest) = ends.pop_front() {
                            oldest.cancel();
                        }
                        let end = CancellationToken::new();
                        ends.push_back(end.clone());
                        connections.push(open(stream, end));
                    }
                    // Most likely out of file descriptors or memory: retrying at once would only
                    // burn the processor.
                    Err(_) => rests = Some(tokio::time::Instant::now() + REST),
                },
                () = sleep_until(rests), if rests.is_some() => rests = None,
            }
        }
    }
}

/// Serves one request on a connection, with a timeout. Cancelling `end` ends the connection; it is
/// cancelled in any case when the connection is over.
async fn connection(
    stream: TcpStream,
    tls: Option<ServerTls>,
    router: Router,
    end: CancellationToken,
) {
    let serving = async {
        match tls {
            None => answered(stream, router).await,
            Some(tls) => {
                // A client that does not get through the handshake is told by TLS itself.
                if let Ok(Ok(stream)) = timeout(HEADERS_IN, tls.accept_admin(stream)).await {
                    answered(stream, router).await;
                }
            }
        }
    };
    let _over = end.clone().drop_guard();
    // Whichever comes first ends the connection: the future that is cancelled is not polled again.
    tokio::select! {
        biased;
        _ = timeout(ANSWERED_IN, serving) => {}
        () = end.cancelled() => {}
    }
}

/// Serves one request. Errors and disconnects of the client are ignored.
async fn answered(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let service = TowerToHyperService::new(router);
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_IN)
        .max_buf_size(HEADERS.0)
        .max_headers(HEADERS.1)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
