//! What is refused before a handler sees it, in our own words: the deadline, requests too large, requests that do not parse.
//!
//! tonic answers these by itself, without a reason; an OUT_OF_RANGE for a large request would read like trimmed records.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::refusal::Refusal;
use super::request::{self, Arrived};

/// Wraps services in [`Border`].
#[derive(Clone, Copy, Debug)]
pub struct BorderLayer;

/// A service whose refusals all bear a reason.
#[derive(Clone, Debug)]
pub struct Border<S> {
    inner: S,
}

impl<S> Layer<S> for BorderLayer {
    type Service = Border<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Border { inner }
    }
}

impl<S, Q> Service<Request<Q>> for Border<S>
where
    S: Service<Request<Q>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        request.extensions_mut().insert(Arrived(Instant::now()));
        let timeout = request::timeout(request.headers());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = match timeout {
                // A dropped handler has moved nothing.
                Some(timeout) => match tokio::time::timeout(timeout, answer).await {
                    Ok(answer) => answer?,
                    Err(_) => return Ok(Refusal::Deadline.status().into_http()),
                },
                None => answer.await?,
            };
            Ok(match unreasoned(answer.headers()) {
                Some(Code::OutOfRange) => {
                    let why = "larger than this server takes".to_owned();
                    Refusal::Malformed("SIZE_MALFORMED", "request", why).status().into_http()
                }
                Some(Code::Internal) => {
                    let why = "not the message that this method takes".to_owned();
                    Refusal::Malformed("REQUEST_MALFORMED", "request", why).status().into_http()
                }
                Some(_) | None => answer,
            })
        })
    }
}

/// The code of an answer that is nothing but a status, and one without details: tonic's own.
fn unreasoned(headers: &HeaderMap) -> Option<Code> {
    let status = Status::from_header_map(headers)?;
    status.details().is_empty().then(|| status.code())
}
