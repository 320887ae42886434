//! Bodies that do not come whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body that claims a length, gives less, and breaks the connection. If it gives nothing, not
/// even the headers of its answer have left.
#[derive(Debug)]
pub(super) struct Broken {
    claimed: u64,
    given: Option<Bytes>,
    /// What was given may leave before the end.
    left: bool,
}

impl Broken {
    /// Half of `body`.
    pub(super) fn half(body: &Bytes) -> Self {
        let given = Some(body.slice(..body.len() / 2));
        Self { claimed: body.len() as u64, given, left: false }
    }

    /// Nothing of `body`.
    pub(super) fn nothing(body: &Bytes) -> Self {
        Self { claimed: body.len() as u64, given: None, left: true }
    }
}

impl Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(given) = self.given.take() {
            return Poll::Ready(Some(Ok(Frame::data(given))));
        }
        if !std::mem::replace(&mut self.left, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.claimed)
    }
}
