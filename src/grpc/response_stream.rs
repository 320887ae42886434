//! What all response streams (server-streaming RPCs) have in common: options, lifetime, how they
//! end, how a panic in one is contained, and how their messages become bytes.

pub mod body;
pub mod lifetime;
pub mod messages;
pub mod options;

use std::time::Duration;

use tonic::{Code, Status};

use crate::pb;

use super::context::Context;
use super::error::CallError;
use super::wire;

/// A response stream as a state machine that makes one message at a time.
pub trait MessageSource: Send + Sized + 'static {
    /// The type of its messages.
    type Message: Send + 'static;

    /// The next message, and the state to call again; `None` at the end. Boxed: a future stores
    /// what is moved into it more than once, and thousands of waiting streams keep this future.
    fn step(self: Box<Self>) -> impl Future<Output = NextMessage<Self>> + Send;
}

/// The outcome of [`MessageSource::step`].
pub type NextMessage<S> = Option<(Result<<S as MessageSource>::Message, Status>, Box<S>)>;

/// How a stream of records ends. Kept boxed: it is large and needed once.
#[derive(Debug)]
pub struct StreamEnd {
    /// The reason in the `End` message.
    pub reason: pb::EndReason,
    /// The source of the stream's status; `None` for OK.
    pub refusal: Option<CallError>,
    /// A text for people.
    pub detail: String,
}

impl StreamEnd {
    /// An end for `reason`; `detail` is for people.
    pub fn of(reason: pb::EndReason, refusal: Option<CallError>, detail: &str) -> Box<Self> {
        Box::new(Self { reason, refusal, detail: detail.to_owned() })
    }

    /// The end of a stream at its maximum age. Clients may reconnect at once: the maximum age is
    /// jittered per stream, so they do not all come together.
    pub fn of_age() -> Box<Self> {
        let refusal = CallError::Draining(Duration::ZERO);
        Self::of(pb::EndReason::MaxAge, Some(refusal), "the stream is as old as one may be")
    }

    /// The `End` message, and the status that follows it; `None` for OK.
    pub fn told(self, context: &Context) -> (pb::End, Option<Status>) {
        let Self { reason, refusal, detail } = self;
        let delay = match (reason, &refusal) {
            (pb::EndReason::Draining, Some(CallError::Draining(delay))) => Some(*delay),
            (pb::EndReason::Draining | pb::EndReason::Upstream | pb::EndReason::ShardLimit, _) => {
                Some(context.come_again())
            }
            _ => None,
        };
        let end = pb::End { reason: reason.into(), retry_delay: delay.map(wire::duration), detail };
        let status = refusal.map(|refusal| match reason {
            // Denied access may be granted later, so the client may reopen the stream.
            pb::EndReason::Upstream => refusal.status_as(Code::Unavailable),
            _ => refusal.status(),
        });
        (end, status)
    }
}
