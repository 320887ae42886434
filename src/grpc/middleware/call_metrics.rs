//! Counts and times every call, from its arrival to the last byte of its response, and reports to
//! `stalled_calls` when a response waits for its client to take it.
//!
//! Responses are handed to HTTP/2 in pieces: it accepts a piece of any size and polls for more
//! once that is sent, so with one large piece a slow client would look like a stalled one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tonic::Code;
use tower::{Layer, Service};

use super::super::callers::UntilSent;
use super::super::transport::stalled_calls;
use super::known_methods::method;
use crate::metrics::Metrics;

/// The header or trailer with a call's status code.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Wraps services in [`CallMetrics`].
#[derive(Clone, Debug)]
pub(crate) struct CallMetricsLayer {
    metrics: Metrics,
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub(crate) struct CallMetrics<S> {
    inner: S,
    metrics: Metrics,
}

/// Bytes handed to HTTP/2 at a time, at most.
const PIECE: usize = 64 << 10;

/// A response body that notes the call's status.
#[derive(Debug)]
pub(crate) struct Observed<B> {
    inner: B,
    /// The part of the current data frame that is not handed over yet.
    rest: Bytes,
    call: ObservedCall,
    /// `inner` panicked: its state may be inconsistent, so it is not polled again.
    broken: bool,
}

/// One call; its metrics are recorded on drop.
#[derive(Debug)]
struct ObservedCall {
    metrics: Metrics,
    method: &'static str,
    start: Instant,
    code: Option<Code>,
    /// What the call holds of its peer's share, until the response is sent.
    _kept: Option<UntilSent>,
}

impl CallMetricsLayer {
    /// Counts into `metrics`.
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for CallMetricsLayer {
    type Service = CallMetrics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallMetrics { inner, metrics: self.metrics.clone() }
    }
}

impl<S, Q, A> Service<Request<Q>> for CallMetrics<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = Response<Observed<A>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let method = method(request.uri().path()).name;
        let mut call = ObservedCall {
            metrics: self.metrics.clone(),
            method,
            start: Instant::now(),
            code: None,
            _kept: None,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            call.code = code_of(answer.headers());
            if call.code.is_none() && !answer.status().is_success() {
                // Not gRPC: gRPC clients report such a response as UNKNOWN.
                call.code = Some(Code::Unknown);
            }
            call._kept = answer.extensions_mut().remove();
            stalled_calls::handed_over();
            Ok(answer.map(|inner| Observed { inner, rest: Bytes::new(), call, broken: false }))
        })
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Observed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.broken {
            return Poll::Ready(None);
        }
        stalled_calls::asked_on();
        if self.rest.is_empty() {
            // A panic ends only this call, with a status, just as in a handler.
            let inner = AssertUnwindSafe(|| Pin::new(&mut self.inner).poll_frame(context));
            let Ok(frame) = catch_unwind(inner) else {
                self.broken = true;
                self.call.metrics.panic();
                self.call.code = Some(Code::Internal);
                let status =
                    HeaderMap::from_iter([(STATUS, HeaderValue::from(Code::Internal as i32))]);
                return Poll::Ready(Some(Ok(Frame::trailers(status))));
            };
            let frame = match ready!(frame) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            self.rest = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    self.call.code = frame.trailers_ref().and_then(code_of);
                    return Poll::Ready(Some(Ok(frame)));
                }
            };
        }
        stalled_calls::handed_over();
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.broken || self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for ObservedCall {
    fn drop(&mut self) {
        // Without a status, the client cancelled before the end.
        let code = self.code.unwrap_or(Code::Cancelled);
        self.metrics.rpc(self.method, name(code), self.start.elapsed().as_secs_f64());
    }
}

pub(super) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(STATUS).map(|status| Code::from_bytes(status.as_bytes()))
}

pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::convert::Infallible;

    struct Faulty;

    impl HttpBody for Faulty {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("on purpose")
        }
    }

    /// A body of data frames, then trailers.
    struct Frames(VecDeque<Frame<Bytes>>);

    impl HttpBody for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn observed<B>(inner: B, metrics: &Metrics) -> Observed<B> {
        let call = ObservedCall {
            metrics: metrics.clone(),
            method: "_OTHER",
            start: Instant::now(),
            code: None,
            _kept: None,
        };
        Observed { inner, rest: Bytes::new(), call, broken: false }
    }

    #[test]
    fn an_answer_that_panics_ends_with_a_status_and_is_counted() {
        let metrics = Metrics::new();
        let mut body = observed(Faulty, &metrics);
        let context = &mut Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(context) else {
            panic!("it ends")
        };
        assert_eq!(frame.trailers_ref().and_then(code_of), Some(Code::Internal));
        assert!(
            body.is_end_stream()
                && matches!(Pin::new(&mut body).poll_frame(context), Poll::Ready(None))
        );
        drop(body);
        let text = metrics.render();
        assert!(
            text.contains("shardstream_panics_total 1\n") && text.contains("code=\"INTERNAL\""),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn answers_are_handed_over_in_pieces_and_whole(
            sizes in proptest::collection::vec(0usize..300_000, 0..5),
        ) {
            let data: Vec<Vec<u8>> =
                (0u8..).zip(&sizes).map(|(byte, size)| vec![byte; *size]).collect();
            let trailers =
                HeaderMap::from_iter([(STATUS, HeaderValue::from(Code::NotFound as i32))]);
            let frames = data.iter().map(|data| Frame::data(Bytes::from(data.clone())));
            let frames = Frames(frames.chain([Frame::trailers(trailers)]).collect());
            let mut body = observed(frames, &Metrics::new());
            let context = &mut Context::from_waker(std::task::Waker::noop());
            let mut given = Vec::new();
            while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(context) {
                if let Ok(piece) = frame.into_data() {
                    prop_assert!(piece.len() <= PIECE && !body.is_end_stream());
                    given.extend_from_slice(&piece);
                }
            }
            prop_assert!(body.is_end_stream());
            prop_assert_eq!((given, body.call.code), (data.concat(), Some(Code::NotFound)));
        }
    }
}
