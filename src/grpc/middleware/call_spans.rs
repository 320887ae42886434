//! A span for every call, in which its handler runs and its response is made: `rpc`, with the
//! method, the peer, the call's number and the trace that it is of, if its client says so.
//! `stream_resolver` adds the stream and the shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use tower::Layer;
use tower_http::classify::{GrpcErrorsAsFailures, SharedClassifier};
use tower_http::trace::{MakeSpan, Trace, TraceLayer};
use tracing::Span;
use tracing::field::{self, Empty};

use super::super::callers::Caller;
use super::known_methods::method;
use crate::traces::context::TraceContext;

/// A service whose calls have spans.
pub(crate) type Spanned<S> =
    Trace<S, SharedClassifier<GrpcErrorsAsFailures>, CallSpans, (), (), (), (), ()>;

/// Makes the spans of calls, which it numbers. A cheap clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallSpans {
    calls: Arc<AtomicU64>,
}

/// `service` with a span for each call. Nothing is logged of a call by itself: the metrics count
/// it.
pub(crate) fn spanned<S>(service: S) -> Spanned<S> {
    TraceLayer::new_for_grpc()
        .make_span_with(CallSpans::default())
        .on_request(())
        .on_response(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
        .layer(service)
}

impl<B> MakeSpan<B> for CallSpans {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let span = tracing::info_span!(
            parent: None,
            "rpc",
            method = method(request.uri().path()).name,
            call = self.calls.fetch_add(1, Ordering::Relaxed),
            peer = Empty,
            trace_id = Empty,
            stream = Empty,
            shard = Empty,
        );
        if let Some(caller) = Caller::of(request.extensions()) {
            span.record("peer", field::display(caller.peer()));
        }
        if let Some(trace) = TraceContext::of(request.headers()) {
            span.record("trace_id", field::display(trace));
        }
        span
    }
}
