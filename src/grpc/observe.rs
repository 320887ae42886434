//! Counts and times every call, from its arrival to the last byte of its answer; and lets go of what a long answer has outgrown.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;
use tonic::Code;
use tower::{Layer, Service};

use crate::metrics::Metrics;
use crate::pb;

/// Wraps services in [`Observe`].
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    metrics: Metrics,
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    metrics: Metrics,
}

/// An answer's body, which knows how the call ended.
#[derive(Debug)]
pub struct Observed<B> {
    inner: B,
    call: Call,
    /// The newest piece of the answer, if it was large. tonic writes the next one into the same buffer when nobody else holds it, and
    /// so a stream that once sent a page would keep a page's memory as long as it lives. Held until the next piece is written.
    newest: Option<Bytes>,
}

/// What is large for a buffer that an idle stream keeps, in bytes.
const LARGE: usize = 1024;

/// One call; recorded when dropped.
#[derive(Debug)]
struct Call {
    metrics: Metrics,
    method: &'static str,
    start: Instant,
    code: Option<Code>,
}

impl ObserveLayer {
    /// Counts into `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe { inner, metrics: self.metrics.clone() }
    }
}

impl<S, Q, A> Service<Request<Q>> for Observe<S>
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
        let method = known_method(request.uri().path());
        let mut call = Call { metrics: self.metrics.clone(), method, start: Instant::now(), code: None };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            call.code = code_of(answer.headers());
            Ok(answer.map(|inner| Observed { inner, call, newest: None }))
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
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.newest = frame.data_ref().filter(|data| data.len() >= LARGE).cloned();
            if let Some(trailers) = frame.trailers_ref() {
                self.call.code = code_of(trailers);
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Without a status the client left first.
        let code = self.code.unwrap_or(Code::Cancelled);
        self.metrics.rpc(self.method, name(code), self.start.elapsed().as_secs_f64());
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|status| Code::from_bytes(status.as_bytes()))
}

/// The method's own name, or `_OTHER`: what clients make up must not make up labels.
fn known_method(path: &str) -> &'static str {
    use std::collections::BTreeMap;
    use std::sync::OnceLock;

    use prost::Message;

    static METHODS: OnceLock<BTreeMap<String, &'static str>> = OnceLock::new();
    let methods = METHODS.get_or_init(|| {
        let files = prost_types::FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
        let names = files.file.into_iter().flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().flat_map(move |service| {
                let of = format!("{package}.{}", service.name());
                service.method.into_iter().map(move |method| format!("{of}/{}", method.name()))
            })
        });
        names.map(|name| (format!("/{name}"), &*name.leak())).collect()
    });
    methods.get(path).copied().unwrap_or("_OTHER")
}

fn name(code: Code) -> &'static str {
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
    use tonic::codec::{Codec, EncodeBody};

    use super::*;
    use crate::grpc::codec::ServerCodec;
    use crate::grpc::encoded::{Encoded, StreamRecordsResponse};

    /// The next piece of an answer.
    async fn piece(body: &mut (impl HttpBody<Data = Bytes, Error = tonic::Status> + Unpin)) -> Bytes {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.expect("goes on").expect("well").into_data().expect("data")
    }

    #[tokio::test]
    async fn a_stream_lets_go_of_a_large_buffer_with_its_next_message() {
        let page = Encoded { slices: vec![Bytes::from(vec![0; 256 << 10])], ..StreamRecordsResponse::default() };
        let heartbeat =
            StreamRecordsResponse::from(pb::StreamRecordsResponse { token: "t".repeat(200), ..Default::default() });
        let messages = futures::stream::iter([Ok(page), Ok(heartbeat)]);
        let encoder = ServerCodec::<StreamRecordsResponse, pb::StreamRecordsRequest>::default().encoder();
        let inner = Box::pin(EncodeBody::new_server(encoder, messages, None, Default::default(), None));
        let call = Call { metrics: Metrics::new(), method: "_OTHER", start: Instant::now(), code: None };
        let mut body = Observed { inner, call, newest: None };

        let large = piece(&mut body).await;
        let there = large.as_ptr_range();
        drop(large);
        let small = piece(&mut body).await;
        assert!(!there.contains(&small.as_ptr()), "a heartbeat in a page's buffer");
        assert!(body.newest.is_none(), "the page's buffer is given back");
    }
}
