//! Response bodies without records: their bytes count as held until they are sent.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

use crate::grpc::error::CallError;
use crate::held_bytes::{HeldBytes, HeldFor};

/// A response of at most this many bytes is sent even without memory for it: the change that it
/// reports may be done already.
pub(super) const ALWAYS: usize = 4 << 10;

/// A unary response, encoded already.
struct Whole(VecDeque<Frame<Bytes>>);

/// A response stream whose messages are counted as they are encoded.
struct Stream {
    inner: Body,
    held: HeldBytes,
}

/// Encodes and counts a unary response now: while it waits unencoded, its memory is not counted.
/// Returns its bytes, too.
pub(super) fn whole(mut body: Body, held: &HeldBytes) -> Result<(Body, usize), CallError> {
    let mut frames = VecDeque::new();
    let mut bytes = 0;
    let mut context = Context::from_waker(Waker::noop());
    // No poll has to wait: the message exists already.
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) {
        frames.push_back(match frame.into_data() {
            Ok(data) => {
                bytes += data.len();
                match held.try_hold(HeldFor::Answers, data.len()) {
                    Some(hold) => Frame::data(hold.keep(data)),
                    None if data.len() <= ALWAYS => Frame::data(held.keep(HeldFor::Answers, data)),
                    None => return Err(CallError::held_limit(held)),
                }
            }
            Err(other) => other,
        });
    }
    Ok((Body::new(Whole(frames)), bytes))
}

/// Counts the messages of a response stream.
pub(super) fn stream(body: Body, held: &HeldBytes) -> Body {
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
