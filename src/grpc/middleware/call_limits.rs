//! Limits of calls, refused before the handler runs and with a reason of ours: requests that are
//! not gRPC, too large, too slow or do not parse, peers over their share, the deadline. Also
//! counts the bytes of requests and responses in the pool `HeldBytes`.
//!
//! tonic refuses some of these itself, but without a reason, and its OUT_OF_RANGE for a large
//! request would look like trimmed records.

mod protocol;
pub mod request_body;
mod unary_response;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::super::callers::{Caller, UntilSent};
use super::super::error::CallError;
use super::super::request;
use super::super::request::Arrived;
use super::super::response_stream::handover;
use super::known_methods;
use super::known_methods::Method;
use crate::held_bytes::{HeldBytes, HeldFor, HeldMemory};

use request_body::RequestBody;

/// How long a call waits for memory for its response, unless its deadline comes first.
const ROOM: Duration = Duration::from_secs(10);

/// For client-streaming calls (reflection): how long requests may come, and their total bytes. As
/// they end with that, nobody judges them again whose caller would not be let in any more: they tell
/// what the contract is, which is public, and nothing of any stream.
const QUESTIONS: (Duration, usize) = (Duration::from_secs(60), 64 << 10);

/// Wraps services in [`CallLimits`].
#[derive(Clone, Debug)]
pub struct CallLimitsLayer {
    held: HeldBytes,
    request: Duration,
}

/// A service whose refusals all carry a reason.
#[derive(Clone, Debug)]
pub struct CallLimits<S> {
    inner: S,
    held: HeldBytes,
    request: Duration,
}

impl CallLimitsLayer {
    /// Counts bytes in `held`; a request must arrive completely within `request`.
    pub fn new(held: HeldBytes, request: Duration) -> Self {
        Self { held, request }
    }
}

impl<S> Layer<S> for CallLimitsLayer {
    type Service = CallLimits<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallLimits { inner, held: self.held.clone(), request: self.request }
    }
}

impl<S, Q> Service<Request<Q>> for CallLimits<S>
where
    S: Service<Request<RequestBody<Q>>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
    Q: HttpBody<Data = Bytes> + Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        if let Some(answer) = protocol::turned_away(&request) {
            return Box::pin(async { Ok(answer) });
        }
        let arrived = Instant::now();
        request.extensions_mut().insert(Arrived(arrived));
        let method = known_methods::method(request.uri().path());
        let kept = match share(&request, method, arrived) {
            Ok(kept) => kept,
            Err(refusal) => return Box::pin(async move { Ok(refusal.status().into_http()) }),
        };
        let timeout = request::timeout(request.headers());
        let (longest, most) = if method.asks_on { QUESTIONS } else { (self.request, usize::MAX) };
        let held = self.held.clone();
        let caller = Caller::of(request.extensions()).filter(|caller| caller.used().is_some());
        let caller = caller.cloned();
        let (head, body) = request.into_parts();
        let (body, came) = RequestBody::new(body, arrived + longest, most, &held);
        let answer = self.inner.call(Request::from_parts(head, body));
        Box::pin(async move {
            let answer = in_room(&held, caller.as_ref(), method, answer);
            let answer = match timeout {
                // A dropped handler has moved no session.
                Some(timeout) => match tokio::time::timeout(timeout, answer).await {
                    Ok(answer) => answer,
                    Err(_) => return Ok(CallError::Deadline.status().into_http()),
                },
                None => answer.await,
            };
            if let Some(refusal) = came.refusal() {
                return Ok(refusal.status().into_http());
            }
            // The request's bytes count until here, even if the handler dropped it earlier.
            drop(came);
            Ok(match answer {
                Ok(answer) => finish(answer, method, kept, &held, caller.as_ref()),
                Err(refusal) => refusal.status().into_http(),
            })
        })
    }
}

/// Takes a call's part of its peer's share, held to the end of the response; `None` without a
/// transport.
fn share<Q>(
    request: &Request<Q>,
    method: Method,
    arrived: Instant,
) -> Result<Option<UntilSent>, CallError> {
    let Some(caller) = Caller::of(request.extensions()) else { return Ok(None) };
    let call = caller.call(arrived.into_std())?;
    let stream = method.streaming.map(|streaming| caller.stream(streaming)).transpose()?.flatten();
    Ok(Some(UntilSent::new((call, stream))))
}

/// Runs `work`, the handler; if the response carries records, only while there is memory for it,
/// and while the caller, if known, takes its other answers.
async fn in_room(
    held: &HeldBytes,
    caller: Option<&Caller>,
    method: Method,
    work: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Result<Response<Body>, CallError> {
    let work = async { work.await.unwrap_or_else(|never| match never {}) };
    if !method.reads {
        return Ok(work.await);
    }
    let work = held.with_room(ROOM, work);
    let done = match caller.and_then(|caller| Some((caller, caller.used()?.unread()))) {
        Some((caller, unread)) => {
            unread.with_room(ROOM, work).await.ok_or_else(|| caller.unread_limit())?
        }
        None => work.await,
    };
    done.ok_or_else(|| CallError::held_limit(held))
}

/// The response as it is sent: tonic's own refusals are replaced by ours, bodies are counted.
fn finish(
    answer: Response<Body>,
    method: Method,
    kept: Option<UntilSent>,
    held: &HeldBytes,
    caller: Option<&Caller>,
) -> Response<Body> {
    match unreasoned(answer.headers()) {
        Some(Code::OutOfRange) => {
            let why = "larger than this server takes".to_owned();
            return CallError::Malformed("SIZE_MALFORMED", "request", why).status().into_http();
        }
        Some(Code::Internal) => {
            let why = "not the message that this method takes".to_owned();
            return CallError::Malformed("REQUEST_MALFORMED", "request", why).status().into_http();
        }
        Some(_) | None => {}
    }
    let (mut head, body) = answer.into_parts();
    // Messages with records are counted when they are cut from their batch.
    let body = match (handover::offered_bytes(&head.extensions), method.streaming) {
        (Some(bytes), _) => Ok((body, bytes)),
        (None, Some(_)) => Ok((unary_response::stream(body, held), 0)),
        (None, None) => unary_response::whole(body, held),
    };
    let (body, bytes) = match body {
        Ok(whole) => whole,
        Err(refusal) => return refusal.status().into_http(),
    };
    let unread = match caller.map(|caller| unread(caller, bytes, method)).transpose() {
        Ok(unread) => unread.flatten(),
        Err(refusal) => return refusal.status().into_http(),
    };
    if let Some(kept) = kept {
        // What its caller uses is known as long as it uses something.
        let used = caller.and_then(Caller::used).cloned();
        head.extensions.insert(UntilSent::new((kept, unread, used)));
    }
    Response::from_parts(head, body)
}

/// Counts a unary response of so many bytes among those that its caller has not taken. One with
/// records was begun while there was room, and its session has moved; so may that of a small one.
fn unread(caller: &Caller, bytes: usize, method: Method) -> Result<Option<HeldMemory>, CallError> {
    let Some(unread) = caller.used().map(|used| used.unread()) else { return Ok(None) };
    match unread.try_hold(HeldFor::Answers, bytes) {
        Some(hold) => Ok(Some(hold)),
        None if method.reads || bytes <= unary_response::ALWAYS => {
            Ok(Some(unread.hold(HeldFor::Answers, bytes)))
        }
        None => Err(caller.unread_limit()),
    }
}

/// The code of a response that is only a status without details, which means tonic made it.
fn unreasoned(headers: &HeaderMap) -> Option<Code> {
    let status = Status::from_header_map(headers)?;
    status.details().is_empty().then(|| status.code())
}
