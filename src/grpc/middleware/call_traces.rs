//! A span for every call of our own methods, sent to a collector of traces. Outermost: what tells
//! of the call finds the span in its headers, as if its client had sent it.

use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Either};
use http::{Request, Response};
use tower::Service;

use super::call_metrics::{code_of, name};
use super::known_methods::{OTHER, method};
use crate::traces::call::Traces;
use crate::traces::context::TraceContext;

/// A service whose calls are traced.
#[derive(Clone, Debug)]
pub(crate) struct CallTraces<S> {
    inner: S,
    /// `None`: nobody takes traces.
    traces: Option<Traces>,
}

impl<S> CallTraces<S> {
    /// `inner`, of whose calls `traces` are told.
    pub(crate) fn new(inner: S, traces: Option<Traces>) -> Self {
        Self { inner, traces }
    }
}

impl<S, Q, A> Service<Request<Q>> for CallTraces<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<A>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let method = method(request.uri().path()).name;
        let Some(traces) = self.traces.as_ref().filter(|_| method != OTHER) else {
            return Either::Left(self.inner.call(request));
        };
        let span = traces.begin(method, TraceContext::of(request.headers()));
        let (header, value) = span.context().header();
        request.headers_mut().insert(header, value);
        let answer = self.inner.call(request);
        let traced = async move {
            let answer = answer.await?;
            // A status that comes later is of what is sent, not of the opening.
            span.answered(code_of(answer.headers()).map_or("OK", name));
            Ok(answer)
        };
        Either::Right(traced.boxed())
    }
}
