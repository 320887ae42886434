//! A request body that must arrive completely in time; its bytes count as held until the call's
//! work is done.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use crate::grpc::error::CallError;
use crate::held_bytes::{HeldBytes, HeldFor, HeldMemory, MemoryWaiter};

/// Any error of a request body.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body as it arrives.
#[derive(Debug)]
pub struct RequestBody<B> {
    inner: B,
    held: HeldBytes,
    came: RequestHandle,
    /// When it must be complete.
    by: Instant,
    /// The timer for `by`, set once a poll had to wait.
    late: Option<Pin<Box<Sleep>>>,
    /// Its place in the queue for memory.
    waiting: MemoryWaiter,
    /// A frame that arrived and waits for memory.
    next: Option<Frame<Bytes>>,
    /// How many more bytes it may have.
    left: usize,
}

/// What a request holds in memory, and why it was refused, shared with its body.
#[derive(Clone, Debug)]
pub struct RequestHandle(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    hold: HeldMemory,
    refusal: Option<CallError>,
}

impl<B> RequestBody<B> {
    /// Wraps `inner`, which must be complete by `by` and have at most `most` bytes; also returns
    /// the handle that keeps its bytes counted and has the reason of a refusal.
    pub fn new(inner: B, by: Instant, most: usize, held: &HeldBytes) -> (Self, RequestHandle) {
        let state = State { hold: held.hold(HeldFor::Requests, 0), refusal: None };
        let came = RequestHandle(Arc::new(Mutex::new(state)));
        let (waiting, held) = (held.waiting(), held.clone());
        (
            Self {
                inner,
                held,
                came: came.clone(),
                by,
                late: None,
                waiting,
                next: None,
                left: most,
            },
            came,
        )
    }

    fn refuse<T>(&self, refusal: CallError) -> Poll<Option<Result<T, BoxError>>> {
        let status = refusal.status();
        self.came.0.lock().refusal = Some(refusal);
        Poll::Ready(Some(Err(status.into())))
    }
}

impl RequestHandle {
    /// Why the body was refused; `None` if it was not.
    pub fn refusal(&self) -> Option<CallError> {
        self.0.lock().refusal.clone()
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for RequestBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let waits_for_room = match self.next.take() {
            None => match Pin::new(&mut self.inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    if bytes > self.left {
                        let why = "larger than this server takes".to_owned();
                        return self.refuse(CallError::Malformed("SIZE_MALFORMED", "request", why));
                    }
                    self.left -= bytes;
                    self.next = Some(frame);
                    return self.poll_frame(context);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => false,
            },
            Some(frame) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let me = &mut *self;
                if me.came.0.lock().hold.poll_grow(bytes, &mut me.waiting, context).is_ready() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                self.next = Some(frame);
                true
            }
        };
        let by = self.by;
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(by)));
        match late.as_mut().poll(context) {
            Poll::Ready(()) if waits_for_room => self.refuse(CallError::held_limit(&self.held)),
            Poll::Ready(()) => self.refuse(CallError::RequestTimeout),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.inner.is_end_stream()
    }
}
