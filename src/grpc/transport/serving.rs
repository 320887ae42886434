//! Serves connections: one task for each, and one for each call. The server waits for all of them,
//! and none outlives it.
//!
//! Besides its client, these end a connection: a handshake or an HTTP/2 preface not complete in
//! time, no call for the idle time, its age, the end of what its client has shown by TLS, the drain.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tower::util::MapRequest;
use tracing::{Instrument as _, info_span};

use super::super::callers::{Caller, Callers};
use super::connection::Connection;
use super::goaway::{GoAway, Verdict};
use super::handshake::Handshakes;
use super::listener::Incoming;
use super::stalled_calls::{CallTasks, OpenCalls};
use crate::access::CredentialsError;
use crate::limits::TransportLimits;
use crate::tls::PeerCertificates;
use crate::tls::server::Unaccepted;

/// How many calls a client may reset before the server has accepted them, as a multiple of the
/// calls per connection: clients that give up a burst of calls are no attack, those that do so
/// endlessly are.
const BURSTS: usize = 4;

/// The smallest buffer that hyper takes for a head of HTTP/1.1.
const LEAST_BUFFER: usize = 8_192;

/// How clients come in.
#[derive(Debug)]
pub struct Door {
    /// Their connections.
    pub incoming: Incoming,
    /// The handshakes of TLS; `None`: connections speak plain text.
    pub handshakes: Option<Handshakes>,
    /// Whether HTTP/1.1 is spoken beside HTTP/2.
    pub http1: bool,
    /// By how much the ages of connections differ.
    pub chance: Arc<Mutex<fastrand::Rng>>,
}

/// Until when connections are served.
#[derive(Clone, Debug, Default)]
pub struct Until {
    /// When cancelled, connections take no new calls.
    pub drain: CancellationToken,
    /// When cancelled, connections end at once.
    pub cut: CancellationToken,
}

/// What all connections share.
struct ConnectionContext<S> {
    service: S,
    /// The handshakes of TLS; `None`: connections speak plain text.
    handshakes: Option<Handshakes>,
    http1: bool,
    chance: Arc<Mutex<fastrand::Rng>>,
    limits: TransportLimits,
    callers: Arc<Callers>,
    /// When cancelled, connections take no new calls.
    drain: CancellationToken,
    /// When cancelled, connections end at once.
    cut: CancellationToken,
    tasks: TaskTracker,
}

/// An event of a connection.
enum Event {
    Cut,
    Over,
    Drain,
    /// What the client has shown by TLS is accepted no more.
    Unaccepted(CredentialsError),
    /// The deadline for the preface has passed.
    OpenBy,
    /// Time to check whether the connection is in use, or too old.
    Look,
}

/// Serves who comes in by `door` with `service` until it drains; then takes no more calls and
/// returns when the open ones have ended or were cut off. Dropping this future cuts them off, too.
pub async fn serve<S, B>(
    door: Door,
    service: S,
    limits: &TransportLimits,
    callers: Arc<Callers>,
    until: Until,
) where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Door { mut incoming, handshakes, http1, chance } = door;
    let Until { drain, cut } = until;
    let _cut = cut.clone().drop_guard();
    let serving = ConnectionContext {
        service,
        handshakes,
        http1,
        chance,
        limits: limits.clone(),
        callers,
        drain,
        cut,
        tasks: TaskTracker::new(),
    };
    let serving = Arc::new(serving);
    loop {
        // Both are cancel-safe: a token, and a stream that keeps its state.
        let connection = tokio::select! {
            biased;
            () = serving.drain.cancelled() => break,
            Some(Ok(connection)) = incoming.next() => connection,
        };
        let span = info_span!(parent: None, "connection", peer = %connection.peer());
        serving.tasks.spawn(one(serving.clone(), connection).instrument(span));
    }
    // The listener closes now, so that new clients are refused at once.
    drop(incoming);
    serving.tasks.close();
    serving.tasks.wait().await;
}

/// Serves one connection to its end.
async fn one<S, B>(serving: Arc<ConnectionContext<S>>, connection: Connection)
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limits = &serving.limits;
    let Some(connection) = secured(&serving, connection).await else { return };
    let Some(connection) = understood(&serving, connection).await else { return };
    let (opened, mut open_by) = (connection.opened(), Some(connection.open_by()));
    let calls = Arc::new(OpenCalls::new(limits.stall, serving.callers.held().clone()));
    let tasks = CallTasks::new(serving.tasks.clone(), calls.clone());
    let shown = connection.certificates();
    let mut unaccepted = pin!(unaccepted(serving.handshakes.as_ref(), shown.clone()).fuse());
    let (standing, ending) = (watch::Sender::new(None), serving.drain.child_token());
    let caller = Caller::new(connection.peer(), serving.callers.clone())
        .with_certificates(shown.as_ref(), standing.subscribe())
        .until(ending.clone());
    let service = called_by(serving.service.clone(), caller);
    let leave = CancellationToken::new();
    let mut connection = spoken(connection, service, limits, tasks, leave.clone());
    let mut goaway = GoAway::new(calls, limits, serving.chance.lock().f64());
    let mut draining = false;
    loop {
        // All are cancel-safe: tokens, timers, and a connection that is kept and polled again.
        let event = tokio::select! {
            biased;
            () = serving.cut.cancelled() => Event::Cut,
            () = connection.as_mut() => Event::Over,
            () = serving.drain.cancelled(), if !draining => Event::Drain,
            why = unaccepted.as_mut() => Event::Unaccepted(why),
            () = crate::clock::sleep_until(open_by), if open_by.is_some() => Event::OpenBy,
            () = tokio::time::sleep_until(goaway.due()) => Event::Look,
        };
        match event {
            Event::Cut | Event::Over => return,
            // A connection without a preface has no calls either.
            Event::Drain | Event::OpenBy if !opened.is_done() => {
                tracing::debug!("closing a connection that did not begin to speak HTTP/2");
                return;
            }
            Event::OpenBy => open_by = None,
            Event::Unaccepted(why) => {
                // First, so that its response streams end with their tokens before it is closed.
                standing.send_replace(Some(why));
                leave.cancel();
                goaway.unaccepted();
            }
            Event::Drain => {
                draining = true;
                leave.cancel();
                goaway.drain();
            }
            Event::Look => match goaway.verdict() {
                Verdict::Close => return,
                Verdict::Tell => leave.cancel(),
                // So that its response streams end with their tokens before it is closed.
                Verdict::End => ending.cancel(),
                Verdict::Stay => {}
            },
        }
    }
}

/// `service` for the calls of one caller.
fn called_by<S>(
    service: S,
    caller: Caller,
) -> MapRequest<S, impl Fn(Request<RequestBody>) -> Request<RequestBody> + Clone> {
    MapRequest::new(service, move |mut request: Request<RequestBody>| {
        request.extensions_mut().insert(caller.clone());
        request
    })
}

/// The connection after its handshake, if it needs one; `None`: it is over.
async fn secured<S>(serving: &ConnectionContext<S>, connection: Connection) -> Option<Connection> {
    let Some(handshakes) = &serving.handshakes else { return Some(connection) };
    // Cancel-safe: a connection without a handshake has no calls, and ends with the drain.
    tokio::select! {
        biased;
        () = serving.cut.cancelled() => None,
        () = serving.drain.cancelled() => None,
        secured = connection.secured(handshakes) => secured,
    }
}

/// The connection, which knows its protocol; `None`: it is over.
async fn understood<S>(
    serving: &ConnectionContext<S>,
    mut connection: Connection,
) -> Option<Connection> {
    if !serving.http1 {
        return Some(connection);
    }
    // Cancel-safe: a connection that has not begun has no calls.
    let found = tokio::select! {
        biased;
        () = serving.cut.cancelled() => return None,
        () = serving.drain.cancelled() => return None,
        found = timeout_at(connection.open_by(), connection.find_protocol()) => found,
    };
    matches!(found, Ok(Ok(()))).then_some(connection)
}

/// `connection`, served by its protocol to its end; when `leave` is cancelled it takes no more
/// calls.
fn spoken<S, B>(
    connection: Connection,
    service: S,
    limits: &TransportLimits,
    tasks: CallTasks,
    leave: CancellationToken,
) -> Pin<Box<dyn Future<Output = ()> + Send>>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    macro_rules! until_left {
        ($served:expr) => {{
            let served = $served;
            async move {
                let mut served = pin!(served);
                // Both are cancel-safe: a connection that is kept and polled again, and a token.
                tokio::select! {
                    biased;
                    _ = served.as_mut() => return,
                    () = leave.cancelled() => {}
                }
                served.as_mut().graceful_shutdown();
                let _ = served.await;
            }
        }};
    }
    let (http1_spoken, io) = (connection.speaks_http1(), TokioIo::new(connection));
    let service = TowerToHyperService::new(service);
    if http1_spoken {
        let calls = tasks.clone();
        Box::pin(calls.tracked(until_left!(http1(limits).serve_connection(io, service))))
    } else {
        Box::pin(until_left!(http2(limits, tasks).serve_connection(io, service)))
    }
}

/// Resolves when what a client has shown is accepted no more, with why; never where it has shown
/// nothing.
async fn unaccepted(
    handshakes: Option<&Handshakes>,
    shown: Option<PeerCertificates>,
) -> CredentialsError {
    match handshakes.zip(shown) {
        Some((handshakes, shown)) => match handshakes.acceptance(shown).lost().await {
            Unaccepted::Expired => CredentialsError::Expired,
            Unaccepted::Unknown => CredentialsError::Invalid,
        },
        None => std::future::pending().await,
    }
}

/// hyper's HTTP/1.1 server, set up with the limits.
fn http1(limits: &TransportLimits) -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(limits.first_byte)
        .max_buf_size((limits.header_list_bytes as usize).max(LEAST_BUFFER));
    http1
}

/// hyper's HTTP/2 server, set up with the limits.
fn http2(limits: &TransportLimits, tasks: CallTasks) -> http2::Builder<CallTasks> {
    let mut http2 = http2::Builder::new(tasks);
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection)
        .max_pending_accept_reset_streams(limits.streams_per_connection as usize * BURSTS)
        .max_local_error_reset_streams(limits.local_error_resets)
        .max_header_list_size(limits.header_list_bytes)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    http2
}
