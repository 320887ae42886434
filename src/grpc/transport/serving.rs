//! Connections served: one task each, and one for each of their calls. All of them are waited for,
//! and none outlives the server.
//!
//! What ends a connection besides its client: a beginning that is not whole in time, having no call
//! for long, the drain.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Body as HttpBody;
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tower::util::MapRequest;

use super::super::middleware::peer_shares::{Caller, Callers};
use super::connection::Connection;
use super::listener::Incoming;
use super::open_calls::{Calls, Tasks};
use crate::limits::TransportLimits;

/// How many times the calls of one connection may be taken back at one moment, before the server
/// has looked at them: clients that give up a burst of calls are no attack, those that do it
/// without end are.
const BURSTS: usize = 4;

/// How often a connection that was told to go is looked at.
const LEAVING: Duration = Duration::from_secs(2);

/// What connections share.
struct ConnectionContext<S> {
    service: S,
    limits: TransportLimits,
    callers: Arc<Callers>,
    /// Connections take no new calls.
    drain: CancellationToken,
    /// Connections end at once.
    cut: CancellationToken,
    tasks: TaskTracker,
}

/// What happens to a connection.
enum Event {
    Cut,
    Over,
    Drain,
    /// The time to begin is over.
    OpenBy,
    /// Time to look whether it is in use.
    Look,
}

/// Serves `incoming` by `service` until `drain`; then takes no more calls and returns when those
/// under way have ended. Dropped, it ends all connections at once.
pub async fn serve<S, B>(
    mut incoming: Incoming,
    service: S,
    limits: &TransportLimits,
    callers: Arc<Callers>,
    drain: CancellationToken,
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
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let serving = ConnectionContext {
        service,
        limits: limits.clone(),
        callers,
        drain,
        cut,
        tasks: TaskTracker::new(),
    };
    let serving = Arc::new(serving);
    loop {
        // Both are cancel-safe: a token, and a stream that keeps what it has.
        let connection = tokio::select! {
            biased;
            () = serving.drain.cancelled() => break,
            Some(Ok(connection)) = incoming.next() => connection,
        };
        serving.tasks.spawn(one(serving.clone(), connection));
    }
    // The listener closes now: whoever connects from here on is to hear it at once.
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
    let (opened, mut open_by) = (connection.opened(), Some(connection.open_by()));
    let calls = Arc::new(Calls::new(limits.stall, serving.callers.held().clone()));
    let tasks = Tasks::new(serving.tasks.clone(), calls.clone());
    let caller = Caller::new(connection.peer(), serving.callers.clone());
    let service =
        MapRequest::new(serving.service.clone(), move |mut request: Request<RequestBody>| {
            request.extensions_mut().insert(caller.clone());
            request
        });
    let service = TowerToHyperService::new(service);
    let mut connection =
        pin!(http2(limits, tasks).serve_connection(TokioIo::new(connection), service));
    // When to look whether it is in use, and once it was told to go: what moved until the last
    // look.
    let (mut poll, mut leaving) = (Instant::now() + limits.idle, None);
    let mut draining = false;
    loop {
        // All are cancel-safe: tokens, timers, and a connection that is kept and polled on.
        let event = tokio::select! {
            biased;
            () = serving.cut.cancelled() => Event::Cut,
            _ = connection.as_mut() => Event::Over,
            () = serving.drain.cancelled(), if !draining => Event::Drain,
            () = crate::clock::sleep_until(open_by), if open_by.is_some() => Event::OpenBy,
            () = tokio::time::sleep_until(poll) => Event::Look,
        };
        match event {
            Event::Cut | Event::Over => return,
            // Whoever has not begun has no calls either.
            Event::Drain | Event::OpenBy if !opened.is_done() => {
                tracing::debug!("closing a connection that did not begin to speak HTTP/2");
                return;
            }
            Event::OpenBy => open_by = None,
            Event::Drain => {
                draining = true;
                connection.as_mut().graceful_shutdown();
                (leaving, poll) = (Some(calls.moved()), Instant::now() + LEAVING);
            }
            Event::Look => match (leaving, calls.idle_since()) {
                // Nobody takes what it has to say, or it has nothing to say and its client does not
                // go.
                (Some(moved), None) if calls.stand_still_since(moved) => return,
                (Some(_), Some(since)) if since + LEAVING <= Instant::now() => return,
                (Some(_), _) => (leaving, poll) = (Some(calls.moved()), Instant::now() + LEAVING),
                (None, Some(since)) if since + limits.idle <= Instant::now() => {
                    connection.as_mut().graceful_shutdown();
                    (leaving, poll) = (Some(calls.moved()), Instant::now() + LEAVING * 5);
                }
                (None, Some(since)) => poll = since + limits.idle,
                (None, None) => poll = Instant::now() + limits.idle,
            },
        }
    }
}

/// HTTP/2 within the limits.
fn http2(limits: &TransportLimits, tasks: Tasks) -> http2::Builder<Tasks> {
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
