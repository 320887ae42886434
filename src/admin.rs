//! The admin port: `/livez`, `/readyz` and `/metrics` over plain HTTP, for probes and scrapers.

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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::sleep_until;
use crate::metrics::{self, Metrics};

/// How long answers under way may take once the port is told to close.
const GRACE: Duration = Duration::from_secs(1);

/// How long a connection may take to say what it wants.
const HEADERS_IN: Duration = Duration::from_secs(10);

/// How long a connection may take in all: it is for one answer.
const ANSWERED_IN: Duration = Duration::from_secs(30);

/// Bytes of a request, and how many headers it may have. Bodies are not read.
const HEADERS: (usize, usize) = (16 << 10, 64);

/// Connections at one time unless said otherwise.
const CONNECTIONS: usize = 64;

/// How long accepting rests after it failed for want of files or memory.
const REST: Duration = Duration::from_millis(100);

/// Whether the server takes calls. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<ServerPhase>);

/// What a server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPhase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Serving,
    /// Serving no more: calls under way are being ended.
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
}

impl Readiness {
    /// A server that is starting.
    pub fn new() -> Self {
        Self(watch::Sender::new(ServerPhase::Starting))
    }

    /// Says what the server is doing from now on.
    pub fn set(&self, phase: ServerPhase) {
        self.0.send_replace(phase);
    }

    /// What the server is doing.
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
    /// Binds `address`. Fails as binding does: in use, not ours, not allowed.
    pub async fn bind(
        address: SocketAddr,
        metrics: Metrics,
        readiness: Readiness,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shown = metrics.clone();
        let exposition = move || async move {
            ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], shown.render())
        };
        let router = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(move || async move { readiness.answer() }))
            .route("/metrics", get(exposition));
        Ok(Self { listener, address, router, metrics, most: CONNECTIONS })
    }

    /// Takes so many connections at one time.
    pub fn at_most(mut self, connections: usize) -> Self {
        self.most = connections.max(1);
        self
    }

    /// The bound address, its port known.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, and then until the answers under way are out, a second at most. A
    /// connection more than fit ends the oldest: a probe that has just come is answered however
    /// many others say nothing.
    ///
    /// Probes want answers while the server drains: cancel this after the drain, not at its
    /// beginning.
    pub async fn serve(self, shutdown: CancellationToken) -> io::Result<()> {
        let Self { listener, router, metrics, most, .. } = self;
        // Of each a way to end it, from the oldest on, and those that ended by themselves among
        // them.
        let mut ends: VecDeque<CancellationToken> = VecDeque::new();
        let mut connections = FuturesUnordered::new();
        let mut rests = None;
        loop {
            // All are cancel-safe: a token, a set that keeps its futures, an accept that leaves
            // what it has not taken, a timer.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(over) = connections.next(), if !connections.is_empty() => {
                    let over: std::thread::Result<()> = over;
                    if over.is_err() {
                        metrics.panic();
                    }
                }
                accepted = listener.accept(), if rests.is_none() => match accepted {
                    Ok((stream, _)) => {
                        ends.retain(|end| !end.is_cancelled());
                        if ends.len() >= most && let Some(oldest) = ends.pop_front() {
                            oldest.cancel();
                        }
                        let end = CancellationToken::new();
                        ends.push_back(end.clone());
                        // A panic is the end of one connection.
                        connections.push(AssertUnwindSafe(connection(stream, router.clone(), end)).catch_unwind());
                    }
                    // Out of files or memory, most likely: trying on at once would only burn the
                    // processor.
                    Err(_) => rests = Some(tokio::time::Instant::now() + REST),
                },
                () = sleep_until(rests), if rests.is_some() => rests = None,
            }
        }
        drop(listener);
        let _ = timeout(GRACE, async { while connections.next().await.is_some() {} }).await;
        Ok(())
    }
}

/// One request and its answer, in time; `end` is cancelled when it is over, and ends it when it is
/// cancelled before.
async fn connection(stream: TcpStream, router: Router, end: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_IN)
        .max_buf_size(HEADERS.0)
        .max_headers(HEADERS.1)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let _over = end.clone().drop_guard();
    // Whichever comes first is the end of the connection: what is cancelled is not polled again.
    tokio::select! {
        biased;
        // A client that goes wrong or away is no matter of ours.
        _ = timeout(ANSWERED_IN, serving) => {}
        () = end.cancelled() => {}
    }
}
