//! The HTTP body of a response stream: records are sent without a copy, as slices of the slab that
//! all subscribers share.
//!
//! tonic's own body copies every message into a buffer first. The bytes sent here are identical:
//! each message after its prefix of five bytes, then trailers with the status.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use futures::stream::{BoxStream, StreamExt};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::Message;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use crate::grpc::encoded::Parts;
use crate::held_bytes::{HeldBytes, HeldFor, HeldMemory, MemoryWaiter};

/// Messages below this many bytes are copied, and those ready at once share a frame of about this
/// size. For them a copy costs less than a frame each, and a client that stalls on one does not
/// keep a page in memory.
const COPIED: usize = 16 << 10;

/// Bytes before each message: the compression flag and the length.
const PREFIX: usize = 5;

/// A response body: of a response stream, or any other.
#[derive(Debug)]
pub(crate) enum ResponseBody<B> {
    /// Messages that this module frames.
    Pushed(Pushed),
    /// Any other body.
    Plain(B),
}

/// A response stream as HTTP frames: a poll for a frame polls the stream for a message, unless
/// part of one is still unsent.
pub(crate) struct Pushed {
    /// The source of messages; `None` once it ended.
    messages: Option<BoxStream<'static, Result<Framed, Status>>>,
    /// The next frame: small messages, and the prefix of a large one.
    gathered: Vec<u8>,
    /// The unsent parts of a large message, in reverse order.
    left: Vec<Bytes>,
    /// The final status, until it is sent as trailers.
    status: Option<Status>,
    held: HeldBytes,
    room: MemoryWaiter,
    /// Cancelled when the server drains: then messages are polled even without free memory, as
    /// they are few and small. `None` if all messages exist already.
    drain: Option<CancellationToken>,
    /// Waits for `drain`; set while there is no memory for a message.
    draining: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// What the caller has not taken; `None`: nobody counts that.
    unread: Option<Box<Unread>>,
}

/// The newest message of a stream, counted among all that its caller has not taken.
struct Unread {
    of_caller: HeldBytes,
    room: MemoryWaiter,
    /// Until the next message is wanted: then the client has made room for it.
    newest: Option<HeldMemory>,
}

/// A message with its prefix, ready to be sent.
#[derive(Debug)]
pub(crate) struct Framed {
    /// A small message whole, or the prefix of a large one.
    head: Vec<u8>,
    /// The rest of a large message, in reverse order.
    left: Vec<Bytes>,
}

impl Framed {
    /// Frames `message`; OUT_OF_RANGE, in tonic's words, if it has more than `most` bytes. Of a
    /// large message, the bytes that are not slices of a batch are counted in `held`.
    pub(crate) fn new(message: impl Parts, most: usize, held: &HeldBytes) -> Result<Self, Status> {
        let (slices, tail) = message.parts();
        let length = slices.iter().map(Bytes::len).sum::<usize>() + tail.encoded_len();
        let Some(written) = u32::try_from(length).ok().filter(|_| length <= most) else {
            return Err(Status::out_of_range(format!(
                "Error, encoded message length too large: found {length} bytes, the limit is: {most} bytes"
            )));
        };
        let is_small = length < COPIED;
        let mut head = Vec::with_capacity(if is_small { PREFIX + length } else { PREFIX });
        // The flag: not compressed.
        head.put_u8(0);
        head.put_u32(written);
        if is_small {
            slices.iter().for_each(|slice| head.put_slice(slice));
            tail.encode_raw(&mut head);
            return Ok(Self { head, left: Vec::new() });
        }
        let tail = held.keep(HeldFor::Answers, tail.encode_to_vec().into());
        let parts = slices.into_iter().chain([tail]);
        let mut left: Vec<Bytes> = parts.filter(|part| !part.is_empty()).collect();
        left.reverse();
        Ok(Self { head, left })
    }
}

impl Pushed {
    /// The body of `messages`, which are polled while `held` has room or once `drain` is
    /// cancelled; always if `drain` is `None`.
    pub(crate) fn new(
        messages: BoxStream<'static, Result<Framed, Status>>,
        held: HeldBytes,
        drain: Option<CancellationToken>,
    ) -> Self {
        let (gathered, left, room) = (Vec::new(), Vec::new(), held.waiting());
        Self {
            messages: Some(messages),
            gathered,
            left,
            status: None,
            held,
            room,
            drain,
            draining: None,
            unread: None,
        }
    }

    /// The same; its messages count in `unread`, and wait while that is full.
    pub(crate) fn counted_by(self, unread: Option<HeldBytes>) -> Self {
        let counted = |of_caller: HeldBytes| {
            Box::new(Unread { room: of_caller.waiting(), of_caller, newest: None })
        };
        Self { unread: unread.map(counted), ..self }
    }

    /// Ready when the next message may be polled.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(drain) = &self.drain else { return Poll::Ready(()) };
        let room = self.room.poll_room(context);
        let room_of_caller =
            self.unread.as_mut().map_or(Poll::Ready(()), |unread| unread.room.poll_room(context));
        if room.is_ready() && room_of_caller.is_ready() {
            self.draining = None;
            return Poll::Ready(());
        }
        let draining =
            self.draining.get_or_insert_with(|| Box::pin(drain.clone().cancelled_owned()));
        draining.as_mut().poll(context)
    }

    /// Polls for messages until there is something to send; `Pending` when there is nothing.
    fn poll_messages(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // The less memory is free, the fewer messages share a frame.
        while self.left.is_empty() && self.gathered.len() < self.held.grant(COPIED) {
            if self.messages.is_none() {
                break;
            }
            let has_room = self.poll_room(context).is_ready();
            let Some(messages) = self.messages.as_mut().filter(|_| has_room) else {
                return if self.gathered.is_empty() { Poll::Pending } else { Poll::Ready(()) };
            };
            let ended = match messages.poll_next_unpin(context) {
                Poll::Pending if self.gathered.is_empty() => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Some(Ok(Framed { head, left }))) => {
                    match self.gathered.is_empty() {
                        true => self.gathered = head,
                        false => self.gathered.extend(head),
                    }
                    self.left = left;
                    continue;
                }
                Poll::Ready(Some(Err(status))) => status,
                Poll::Ready(None) => Status::ok(""),
            };
            self.messages = None;
            self.status = Some(ended);
        }
        Poll::Ready(())
    }
}

impl HttpBody for Pushed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.gathered.is_empty() && self.left.is_empty() {
            if let Some(unread) = &mut self.unread {
                unread.newest = None;
            }
            if self.poll_messages(context).is_pending() {
                return Poll::Pending;
            }
            let bytes = self.gathered.len() + self.left.iter().map(Bytes::len).sum::<usize>();
            if let Some(unread) = &mut self.unread {
                unread.newest = Some(unread.of_caller.hold(HeldFor::Answers, bytes));
            }
        }
        if !self.gathered.is_empty() {
            let gathered = std::mem::take(&mut self.gathered).into();
            return Poll::Ready(Some(Ok(Frame::data(self.held.keep(HeldFor::Answers, gathered)))));
        }
        if let Some(part) = self.left.pop() {
            if self.left.is_empty() {
                self.left = Vec::new();
            }
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let trailers = |status: Status| {
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))
        };
        Poll::Ready(self.status.take().map(trailers))
    }

    fn is_end_stream(&self) -> bool {
        self.messages.is_none()
            && self.status.is_none()
            && self.gathered.is_empty()
            && self.left.is_empty()
    }
}

impl<B> HttpBody for ResponseBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: From<Status>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut *self {
            Self::Pushed(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Self::Plain(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Pushed(body) => body.is_end_stream(),
            Self::Plain(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Pushed(body) => body.size_hint(),
            Self::Plain(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushed").field("status", &self.status).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::stream;
    use proptest::prelude::*;
    use tonic::Code;
    use tonic::codec::{Codec, EncodeBody};
    use tonic::metadata::MetadataMap;

    use super::*;
    use crate::grpc::codec::ServerCodec;
    use crate::grpc::encoded::{Encoded, StreamRecordsResponse};
    use crate::pb;

    const MOST: usize = 64 << 10;

    /// The outcome of one poll of a test stream; `None` is `Pending`.
    type Polls = Option<Result<StreamRecordsResponse, Status>>;

    /// A message with `records` bytes of records in one slice, and a token of `token` bytes.
    fn message(records: usize, token: usize) -> StreamRecordsResponse {
        let tail = pb::StreamRecordsResponse { token: "t".repeat(token), ..Default::default() };
        Encoded { slices: vec![Bytes::from(vec![7; records])], tail }
    }

    fn messages(asked: Vec<Polls>) -> BoxStream<'static, Result<StreamRecordsResponse, Status>> {
        let mut asked = VecDeque::from(asked);
        let next = move |context: &mut Context<'_>| match asked.pop_front() {
            None => Poll::Ready(None),
            Some(Some(message)) => Poll::Ready(Some(message)),
            Some(None) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        };
        stream::poll_fn(next).boxed()
    }

    fn ours(asked: Vec<Polls>) -> Pushed {
        let held = HeldBytes::new(MOST << 10, crate::metrics::Metrics::new());
        let counts = held.clone();
        Pushed::new(
            messages(asked).map(move |message| Framed::new(message?, MOST, &counts)).boxed(),
            held,
            None,
        )
    }

    /// The data frames of a body, and its trailers.
    async fn frames(
        mut body: impl HttpBody<Data = Bytes, Error = Status> + Unpin,
    ) -> (Vec<Bytes>, HeaderMap) {
        let mut data = vec![];
        loop {
            assert!(!body.is_end_stream());
            let frame =
                std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            match frame.expect("trailers come last").expect("well").into_data() {
                Ok(piece) => data.push(piece),
                Err(frame) => {
                    assert!(body.is_end_stream());
                    return (data, frame.into_trailers().expect("data or trailers"));
                }
            }
        }
    }

    async fn sizes(asked: Vec<Polls>) -> Vec<usize> {
        frames(ours(asked)).await.0.iter().map(Bytes::len).collect()
    }

    fn failed() -> Status {
        let mut metadata = MetadataMap::new();
        metadata.insert("more", "said".parse().expect("text"));
        let details = Bytes::from_static(b"\0\xffdetails");
        Status::with_details_and_metadata(
            Code::DataLoss,
            "schade, \u{fc}ber 100 %",
            details,
            metadata,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// With and without an oversized message, ending with OK or with an error.
        #[test]
        fn what_leaves_is_what_tonic_would_send(
            lengths in proptest::collection::vec(
                proptest::option::weighted(0.8, (prop_oneof![0..300usize, 15_000..18_000usize, 60_000..70_000usize], 0..300usize)),
                0..12,
            ),
            fails in any::<bool>(),
        ) {
            let asked = || {
                let sent =
                    lengths.iter().map(|length| length.map(|(records, token)| Ok(message(records, token))));
                sent.chain(fails.then(|| Some(Err(failed())))).collect::<Vec<_>>()
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let encoder =
                ServerCodec::<StreamRecordsResponse, pb::StreamRecordsRequest>::default().encoder();
            let tonics =
                EncodeBody::new_server(encoder, messages(asked()), None, Default::default(), Some(MOST));
            let (theirs, their_trailers) = runtime.block_on(frames(Box::pin(tonics)));
            let (ours, our_trailers) = runtime.block_on(frames(ours(asked())));
            let well =
                lengths.iter().flatten().all(|(records, token)| message(*records, *token).encoded_len() <= MOST);
            if well {
                prop_assert_eq!(ours.concat(), theirs.concat());
            } else {
                // At an oversized message, tonic drops the messages it had gathered before.
                prop_assert!(ours.concat().starts_with(&theirs.concat()));
            }
            prop_assert_eq!(our_trailers, their_trailers);
        }
    }

    #[tokio::test]
    async fn a_large_message_is_its_prefix_its_slab_and_its_tail() {
        let large = message(50_000, 100);
        let slab = large.slices[0].as_ptr_range();
        let (sent, _) = frames(ours(vec![Some(Ok(large))])).await;
        assert_eq!(sent.iter().map(Bytes::len).collect::<Vec<_>>(), [5, 50_000, 102]);
        assert_eq!(sent[1].as_ptr_range(), slab, "not copied");
    }

    #[tokio::test]
    async fn small_messages_that_are_ready_share_a_frame() {
        let small = || Some(Ok(message(100, 10)));
        assert_eq!(sizes(vec![small()]).await, [117]);
        assert_eq!(sizes(vec![small(), small(), None, small()]).await, [234, 117]);
        let many = (0..300).map(|_| small()).collect();
        assert_eq!(sizes(many).await, [141 * 117, 141 * 117, 18 * 117]);
        let page = Some(Ok(message(50_000, 0)));
        assert_eq!(sizes(vec![small(), page, small(), small()]).await, [117 + 5, 50_000, 234]);
    }
}
