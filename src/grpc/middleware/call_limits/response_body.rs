//! Answers without records on their way: counted until they are gone.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

use crate::grpc::error::CallError;
use crate::held::{Held, HeldFor};

/// An answer below so many bytes is always given: what it tells may have been done.
const ALWAYS: usize = 4 << 10;

/// The one answer of a call, written already.
struct Whole(VecDeque<Frame<Bytes>>);

/// One answer after the other, each counted as it is written.
struct Stream {
    inner: Body,
    held: Held,
}

/// Writes and counts a unary answer now: what waits unwritten is not counted by anybody.
pub fn whole(mut body: Body, held: &Held) -> Result<Body, CallError> {
    let mut frames = VecDeque::new();
    let mut context = Context::from_waker(Waker::noop());
    // It waits for nothing: the message is there.
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
        frames.push_back(match frame.into_data() {
            Ok(data) => match held.try_hold(HeldFor::Answers, data.len()) {
                Some(hold) => Frame::data(hold.keep(data)),
                None if data.len() <= ALWAYS => Frame::data(held.keep(HeldFor::Answers, data)),
                None => return Err(CallError::held_limit(held)),
            },
            Err(other) => other,
        });
    }
    Ok(Body::new(Whole(frames)))
}

/// Counts the answers of a stream.
pub fn stream(body: Body, held: &Held) -> Body {
    Body::new(Stream { inner: body, held: held.clone() })
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let count = |frame: Frame<Bytes>| match frame.into_data() {
            Ok(data) => Frame::data(self.held.keep(HeldFor::Answers, data)),
            Err(other) => other,
        };
        Poll::Ready(frame.map(|frame| frame.map(count)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
