//! How a handler returns its messages: as a stream for in-process callers of the service, as the
//! response body (`body::Pushed`) where there is a transport.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::stream::{BoxStream, Stream, StreamExt};
use parking_lot::Mutex;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

use crate::grpc::context;
use crate::grpc::encoded::Parts;
use crate::held_bytes::HeldBytes;

use super::body::{Framed, Pushed, ResponseBody};
use super::stream_state::StreamState;
use super::{ResponseStream, StreamSource};

/// A stream of messages of type `M`, each made when polled. Empty once a transport took them.
pub(crate) struct Messages<M>(Arc<Offered<M>>);

/// Messages that can be taken once.
struct Offered<M> {
    stream: Mutex<Option<BoxStream<'static, Result<M, Status>>>>,
    /// The most bytes of one message.
    most: usize,
    /// The bytes of a unary response; 0 for a stream.
    bytes: usize,
    held: HeldBytes,
    /// What the caller of a stream has not taken, where that is counted.
    unread: Option<HeldBytes>,
    /// Cancelled when the server drains; `None` for a unary response, whose message exists already.
    drain: Option<CancellationToken>,
}

/// In the extensions of a response: its messages, with their type erased.
#[derive(Clone)]
struct Offer(Arc<dyn Take>);

trait Take: Send + Sync {
    /// The messages as a body; `None` if they are taken already.
    fn take(&self) -> Option<Pushed>;

    /// The bytes of a unary response; 0 for a stream.
    fn bytes(&self) -> usize;
}

impl<M: Parts + Send + 'static> Messages<M> {
    /// The messages of a stream of what `source` reads. A panic in it ends only this response.
    pub(crate) fn of<S: StreamSource<Message = M>>(state: StreamState, source: S) -> Self {
        let (context, metrics) = (state.context.clone(), state.context.metrics.clone());
        let stream = Box::new(ResponseStream::new(state, source));
        let steps = futures::stream::unfold(Some(stream), move |stream| {
            let metrics = metrics.clone();
            async move {
                match AssertUnwindSafe(stream?.step()).catch_unwind().await {
                    Ok(step) => step.map(|(item, stream)| (item, Some(stream))),
                    Err(_) => {
                        metrics.panic();
                        Some((Err(Status::internal("a fault in the server; it was logged")), None))
                    }
                }
            }
        });
        let most = context.limits.transport.response_bytes;
        let (held, unread) = (context.hub.held().clone(), context.hub.unread().cloned());
        let (stream, drain) = (Mutex::new(Some(steps.boxed())), Some(context.drain.clone()));
        Self(Arc::new(Offered { stream, most, bytes: 0, held, unread, drain }))
    }

    /// The handler's response, from which [`body`] takes the messages; otherwise tonic sends them.
    pub(crate) fn answer(self) -> Response<BoxStream<'static, Result<M, Status>>> {
        let offer = Offer(self.0.clone());
        let mut answer = Response::new(self.boxed());
        answer.extensions_mut().insert(offer);
        answer
    }
}

/// A unary response, whose slices [`body`] sends without a copy; otherwise tonic sends it.
pub(crate) fn one<M: Parts + Message + Clone + 'static>(
    answer: M,
    context: &context::Context,
) -> Response<M> {
    let bytes = answer.encoded_len();
    let message = Mutex::new(Some(futures::stream::iter([Ok(answer.clone())]).boxed()));
    let (most, held) = (context.limits.transport.response_bytes, context.hub.held().clone());
    let offered = Offered { stream: message, most, bytes, held, unread: None, drain: None };
    let mut answer = Response::new(answer);
    answer.extensions_mut().insert(Offer(Arc::new(offered)));
    answer
}

/// The bytes of the messages that a response carries for [`body`], 0 for a stream; `None`: it
/// carries none.
pub(crate) fn offered_bytes(extensions: &http::Extensions) -> Option<usize> {
    extensions.get::<Offer>().map(|Offer(messages)| messages.bytes())
}

/// Gives a response that carries messages our own body. Applied outside the layers that box
/// bodies, so that this body passes through none of them.
pub(crate) fn body<B>(mut answer: http::Response<B>) -> http::Response<ResponseBody<B>> {
    let taken =
        answer.extensions_mut().remove::<Offer>().and_then(|Offer(messages)| messages.take());
    match taken {
        Some(messages) => answer.map(|_| ResponseBody::Pushed(messages)),
        None => answer.map(ResponseBody::Plain),
    }
}

impl<M: Parts + Send + 'static> Take for Offered<M> {
    fn take(&self) -> Option<Pushed> {
        let stream = self.stream.lock().take()?;
        let (most, held) = (self.most, self.held.clone());
        let messages = stream.map(move |message| Framed::new(message?, most, &held)).boxed();
        let pushed = Pushed::new(messages, self.held.clone(), self.drain.clone());
        Some(pushed.counted_by(self.unread.clone()))
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<M> Stream for Messages<M> {
    type Item = Result<M, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self.0.stream.lock() {
            Some(stream) => stream.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    }
}
