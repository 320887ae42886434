//! The admin port: `/livez`, `/readyz` and `/metrics` over plain HTTP, for probes and scrapers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};

/// How long answers under way may take once the port is told to close.
const GRACE: Duration = Duration::from_secs(1);

/// Whether the server takes calls. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<Phase>);

/// What a server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
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
}

impl Readiness {
    /// A server that is starting.
    pub fn new() -> Self {
        Self(watch::Sender::new(Phase::Starting))
    }

    /// Says what the server is doing from now on.
    pub fn set(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    /// What the server is doing.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        match self.phase() {
            Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Phase::Serving => (StatusCode::OK, "serving\n"),
            Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
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
    pub async fn bind(address: SocketAddr, metrics: Metrics, readiness: Readiness) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let exposition = move || async move { ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.render()) };
        let router = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(move || async move { readiness.answer() }))
            .route("/metrics", get(exposition));
        Ok(Self { listener, address, router })
    }

    /// The bound address, its port known.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, and then until the answers under way are out, a second at most.
    ///
    /// Probes want answers while the server drains: cancel this after the drain, not at its beginning.
    pub async fn serve(self, shutdown: CancellationToken) -> io::Result<()> {
        let serving =
            axum::serve(self.listener, self.router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        // Either way this is the end: what is cancelled is not polled again.
        tokio::select! {
            biased;
            served = serving => served,
            () = overdue => Ok(()),
        }
    }
}
