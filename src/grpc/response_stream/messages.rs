//! The messages of a response stream on their way out of a handler: a stream to whoever calls the
//! service in process, the body of the answer where there is a transport.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::stream::{BoxStream, Stream, StreamExt};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

use crate::grpc::context;
use crate::grpc::encoded::Parts;
use crate::held::Held;

use super::MessageSource;
use super::body::{Framed, Pushed, ResponseBody};

/// Messages of type `M`, each made when it is asked for. Over once a transport took them.
pub struct Messages<M>(Arc<Offered<M>>);

/// Messages that may be taken once.
struct Offered<M> {
    stream: Mutex<Option<BoxStream<'static, Result<M, Status>>>>,
    /// Bytes of one message at most.
    most: usize,
    held: Held,
    /// Cancelled when the server goes away; unset where there is one message, and it is made.
    drain: Option<CancellationToken>,
}

/// In the extensions of an answer: its messages, whatever their type.
#[derive(Clone)]
struct Offer(Arc<dyn Take>);

trait Take: Send + Sync {
    /// The messages as a body, if nobody took them.
    fn take(&self) -> Option<Pushed>;
}

impl<M: Parts + Send + 'static> Messages<M> {
    /// Those of `stream`. A fault in it ends this stream and nothing else.
    pub fn of<S: MessageSource<Message = M>>(stream: S, context: &context::Context) -> Self {
        let metrics = context.metrics.clone();
        let steps = futures::stream::unfold(Some(Box::new(stream)), move |stream| {
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
        let (held, drain) = (context.hub.held().clone(), Some(context.drain.clone()));
        Self(Arc::new(Offered { stream: Mutex::new(Some(steps.boxed())), most, held, drain }))
    }

    /// The handler's answer, from which [`body`] takes the messages. Where nothing does, tonic
    /// sends them.
    pub fn answer(self) -> Response<BoxStream<'static, Result<M, Status>>> {
        let offer = Offer(self.0.clone());
        let mut answer = Response::new(self.boxed());
        answer.extensions_mut().insert(offer);
        answer
    }
}

/// A unary answer, which [`body`] sends as it lies. Where nothing does, tonic sends it.
pub fn one<M: Parts + Clone + Send + 'static>(
    answer: M,
    context: &context::Context,
) -> Response<M> {
    let message = futures::stream::iter([Ok(answer.clone())]).boxed();
    let (most, held) = (context.limits.transport.response_bytes, context.hub.held().clone());
    let offered = Offered { stream: Mutex::new(Some(message)), most, held, drain: None };
    let mut answer = Response::new(answer);
    answer.extensions_mut().insert(Offer(Arc::new(offered)));
    answer
}

/// Whether [`body`] finds messages in an answer.
pub fn are_offered(extensions: &http::Extensions) -> bool {
    extensions.get::<Offer>().is_some()
}

/// Gives an answer with [`Messages`] a body of ours; around all that boxes bodies, so that this one
/// goes through none of it.
pub fn body<B>(mut answer: http::Response<B>) -> http::Response<ResponseBody<B>> {
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
        Some(Pushed::new(messages, self.held.clone(), self.drain.clone()))
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
