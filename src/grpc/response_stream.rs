//! What all response streams (server-streaming RPCs) do alike: when a heartbeat is due, what ends
//! them and how, when the client may come again, and what its policies say of gaps and unreadable
//! records.
//!
//! A [`StreamSource`] is what one RPC adds: what it waits for, and how its messages look.
//! [`ResponseStream`] runs it. A response stream has no task: the connection polls it.

pub(super) mod body;
pub(super) mod handover;
pub(super) mod lease;
pub(super) mod lifetime;
pub(super) mod options;
pub(super) mod stream_end;
pub(super) mod stream_state;

use tonic::Status;

use crate::encode::ReadLimit;
use crate::pb;

use super::error::CallError;

use lifetime::Interrupt;
use stream_end::StreamEnd;
use stream_state::{Phase, StreamState};

/// What one RPC adds to a response stream.
pub(super) trait StreamSource: Send + Sized + 'static {
    /// The type of its messages.
    type Message: Send + 'static;
    /// What it waits for.
    type Event: Send;

    /// A message that waits for nothing, such as the rest of something that is too large for one.
    fn unsent(&mut self, _stream: &mut StreamState) -> Option<Self::Message> {
        None
    }

    /// Waits for the next event. `limit`: how much of records fits the next message. Cancel-safe:
    /// what interrupts a stream comes first, and nothing is lost by it.
    fn wait(&mut self, limit: ReadLimit) -> impl Future<Output = Self::Event> + Send;

    /// Handles an event; `None` when that makes no message. May end the stream, after the message
    /// if there is one.
    fn handle(
        &mut self,
        event: Self::Event,
        stream: &mut StreamState,
    ) -> impl Future<Output = Option<Self::Message>> + Send;

    /// The heartbeat that is due; `None` if the RPC has none.
    fn heartbeat(&mut self, stream: &mut StreamState) -> Option<Self::Message>;

    /// The next of the messages that are due between the decision to end and the end.
    fn before_end(
        &mut self,
        _stream: &mut StreamState,
    ) -> impl Future<Output = Option<Self::Message>> + Send {
        std::future::ready(None)
    }

    /// Does what the end brings with it, which may turn it into another.
    fn settle(&mut self, _end: &mut StreamEnd, _stream: &StreamState) {}

    /// The message of the end; `None` if the RPC tells it by its status alone.
    fn end(&mut self, end: pb::End) -> Option<Self::Message>;
}

/// A response stream as a state machine that makes one message at a time.
pub(super) struct ResponseStream<S> {
    source: S,
    state: StreamState,
}

/// The outcome of [`ResponseStream::step`].
pub(super) type NextMessage<S> =
    Option<(Result<<S as StreamSource>::Message, Status>, Box<ResponseStream<S>>)>;

/// What wakes a waiting stream.
enum Wakeup<E> {
    Interrupt(Interrupt),
    Event(E),
}

impl<S: StreamSource> ResponseStream<S> {
    /// A stream of what `source` reads.
    pub(super) fn new(state: StreamState, source: S) -> Self {
        Self { source, state }
    }

    /// The next message, and the state to call again; `None` at the end. Boxed: a future stores
    /// what is moved into it more than once, and thousands of waiting streams keep this future.
    pub(super) async fn step(mut self: Box<Self>) -> NextMessage<S> {
        while let Phase::Reading = self.state.phase {
            if let Some(message) = self.read().await {
                return Some((Ok(message), self));
            }
        }
        if let Phase::Ending(_) = self.state.phase {
            // Boxed, so that waiting streams do not carry the future of what comes before an end.
            let last = Box::pin(self.source.before_end(&mut self.state)).await;
            if let Some(message) = last.or_else(|| self.end()) {
                return Some((Ok(message), self));
            }
        }
        match std::mem::replace(&mut self.state.phase, Phase::Over) {
            Phase::Status(Some(status)) => Some((Err(status), self)),
            Phase::Reading | Phase::Ending(_) | Phase::Status(None) | Phase::Over => None,
        }
    }

    /// Waits for one event and handles it; `None` when that made no message.
    async fn read(&mut self) -> Option<S::Message> {
        if let Some(message) = self.source.unsent(&mut self.state) {
            return Some(message);
        }
        let limit = self.state.read_limit();
        // Both are cancel-safe: the lifetime and the source say so of what they wait for.
        let woken = tokio::select! {
            biased;
            interrupt = self.state.interrupt() => Wakeup::Interrupt(interrupt),
            event = self.source.wait(limit) => Wakeup::Event(event),
        };
        match woken {
            Wakeup::Event(event) => self.source.handle(event, &mut self.state).await,
            Wakeup::Interrupt(Interrupt::Heartbeat) => self.source.heartbeat(&mut self.state),
            Wakeup::Interrupt(Interrupt::Superseded(superseded)) => {
                self.state.end(StreamEnd::superseded(superseded))
            }
            Wakeup::Interrupt(Interrupt::Drain) => {
                let refusal = self.state.context.draining();
                self.state.end(StreamEnd::of(pb::EndReason::Draining, Some(refusal), ""))
            }
            Wakeup::Interrupt(Interrupt::Deadline) => {
                let refusal = CallError::Deadline;
                self.state.end(StreamEnd::of(pb::EndReason::Deadline, Some(refusal), ""))
            }
            Wakeup::Interrupt(Interrupt::Age) => self.state.end(StreamEnd::of_age()),
            Wakeup::Interrupt(Interrupt::Refused(refusal)) => {
                self.state.end(StreamEnd::refused(*refusal))
            }
        }
    }

    /// The message of the end, if there is one; the status is next.
    fn end(&mut self) -> Option<S::Message> {
        let Phase::Ending(mut end) = std::mem::replace(&mut self.state.phase, Phase::Over) else {
            return None;
        };
        self.source.settle(&mut end, &self.state);
        self.state.note_end(&end);
        let (end, status) = end.told(&self.state.context);
        self.state.phase = Phase::Status(status);
        self.source.end(end)
    }
}
