//! gRPC-Web, for programs in browsers: requests by HTTP/1.1 and HTTP/2 become gRPC before anything
//! else sees them, so that callers and limits are what they are for everybody; and CORS, by which a
//! browser knows which pages may call.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, Ready, ready};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::util::MapResponse;
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use crate::held_bytes::{HeldBytes, HeldFor};

/// What the content type of gRPC-Web in base64 begins with.
const TEXT: &[u8] = b"application/grpc-web-text";

/// How long a browser may remember what CORS allows.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// The headers that pages may send: those of gRPC-Web, of callers and of traces.
const SENT: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-accept-content-transfer-encoding"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-user-agent"),
];

/// The headers that pages may read: the status of a call that ends at once, and when it began by
/// the server's clock, where a client that started at LATEST goes on if it had no token yet.
const READ: [HeaderName; 4] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    header::DATE,
];

/// Which pages may call, by their origins. A cheap clone.
#[derive(Clone, Debug)]
pub struct WebOrigins(Arc<Named>);

#[derive(Debug)]
enum Named {
    Any,
    These(Vec<HeaderValue>),
}

/// A service that refuses requests of pages that may not call. A browser that follows CORS sends
/// none; one that was made to take this server for the page's own does.
#[derive(Clone, Debug)]
pub struct OriginGuard<S> {
    inner: S,
    origins: WebOrigins,
}

impl WebOrigins {
    /// Pages of these origins, such as `https://app.example`; `*` is every page.
    pub fn new(origins: &[String]) -> Self {
        let named = match origins.iter().any(|origin| origin == "*") {
            true => Named::Any,
            false => {
                Named::These(origins.iter().filter_map(|origin| origin.parse().ok()).collect())
            }
        };
        Self(Arc::new(named))
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        match &*self.0 {
            Named::Any => true,
            Named::These(origins) => origins.contains(origin),
        }
    }

    /// `service` for pages, too; what they are sent in base64 counts in `held`.
    pub(crate) fn layer<S>(
        &self,
        service: S,
        held: HeldBytes,
    ) -> Cors<OriginGuard<MapResponse<GrpcWebService<S>, impl Counts + use<S>>>> {
        let origins = self.clone();
        let allowed = AllowOrigin::predicate(move |origin, _| origins.allow(origin));
        let cors = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::POST])
            .allow_headers(SENT)
            .expose_headers(READ)
            .max_age(REMEMBERED);
        let inner = GrpcWebLayer::new().layer(service);
        let inner = MapResponse::new(inner, move |answer| counted(answer, &held));
        cors.layer(OriginGuard { inner, origins: self.clone() })
    }
}

/// What counts the bytes of answers.
pub(crate) trait Counts: FnOnce(Response<Body>) -> Response<Body> + Clone {}

impl<F: FnOnce(Response<Body>) -> Response<Body> + Clone> Counts for F {}

/// The answer, which counts as long as it is not sent: in base64 it is a copy of what was counted,
/// and that was given back when the copy was made.
fn counted(answer: Response<Body>, held: &HeldBytes) -> Response<Body> {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(TEXT)) {
        return answer;
    }
    let held = held.clone();
    answer.map(|body| {
        let frames =
            body.map_frame(move |frame| frame.map_data(|bytes| held.keep(HeldFor::Answers, bytes)));
        Body::new(frames)
    })
}

impl<S, Q> Service<Request<Q>> for OriginGuard<S>
where
    S: Service<Request<Q>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        if origins.all(|origin| self.origins.allow(origin)) {
            return Either::Left(self.inner.call(request));
        }
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::FORBIDDEN;
        Either::Right(ready(Ok(refused)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;
    use crate::metrics::Metrics;

    /// How much is held of an answer of that type when it is taken and not sent.
    async fn held(kind: &'static str) -> usize {
        let held = HeldBytes::new(1_000_000, Metrics::new());
        let mut answer = Response::new(Body::new(Full::new(Bytes::from(vec![7; 1_000]))));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let mut body = counted(answer, &held).into_body();
        let frame = body.frame().await.expect("a frame");
        let counted = held.used();
        drop(frame);
        assert_eq!(held.used(), 0, "given back when it is sent");
        counted
    }

    #[tokio::test]
    async fn what_is_copied_into_base64_is_counted_until_it_is_sent() {
        assert_eq!(held("application/grpc-web-text+proto").await, 1_000);
        // As it was, and counted as that.
        assert_eq!(held("application/grpc-web+proto").await, 0);
    }
}
