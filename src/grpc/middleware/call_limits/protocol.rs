//! Refuses requests that are not gRPC, and gRPC requests in an unsupported form (compressed).

use http::{HeaderMap, Method, Request, Response, StatusCode};
use tonic::body::Body;

use crate::grpc::error::CallError;

/// The response that refuses a request; `None` if the request is acceptable.
pub(super) fn turned_away<B>(request: &Request<B>) -> Option<Response<Body>> {
    let refused = |status: StatusCode| {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = status;
        answer
    };
    if request.method() != Method::POST {
        let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED);
        answer.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("POST"));
        return Some(answer);
    }
    if !is_grpc(request.headers()) {
        return Some(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    is_compressed(request.headers()).then(|| {
        let mut answer = CallError::Compressed.status().into_http();
        answer
            .headers_mut()
            .insert("grpc-accept-encoding", http::HeaderValue::from_static("identity"));
        answer
    })
}

/// Whether it is gRPC with protobuf, and neither gRPC-Web nor another message format.
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok())
    else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/grpc")
        || kind.eq_ignore_ascii_case("application/grpc+proto")
}

fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity")
}
