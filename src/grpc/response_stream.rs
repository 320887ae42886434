//! What all response streams with records have in common: their options, what ends them besides
//! what they read, what happens when one of them faults, and how their messages become bytes.

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

/// A response stream as a state that is asked for one message after the other.
pub trait MessageSource: Send + Sized + 'static {
    /// What it sends.
    type Message: Send + 'static;

    /// The next message, and the state to ask again; `None` when all is said. Boxed, because a
    /// future keeps whatever is moved into it more than once, and thousands of streams keep this
    /// one while they wait.
    fn step(self: Box<Self>) -> impl Future<Output = NextMessage<Self>> + Send;
}

/// What comes of asking a stream for its next message.
pub type NextMessage<S> = Option<(Result<<S as MessageSource>::Message, Status>, Box<S>)>;

/// How a stream of records ends: kept in a box, for it is large and comes once.
#[derive(Debug)]
pub struct StreamEnd {
    /// Why.
    pub reason: pb::EndReason,
    /// What its status will be, unless it is OK.
    pub refusal: Option<CallError>,
    /// For people.
    pub detail: String,
}

impl StreamEnd {
    /// An end for `reason`; `detail` is for people.
    pub fn of(reason: pb::EndReason, refusal: Option<CallError>, detail: &str) -> Box<Self> {
        Box::new(Self { reason, refusal, detail: detail.to_owned() })
    }

    /// The end of a stream that is as old as one may be. Whoever comes again at once meets no
    /// crowd: no two streams have the same age to reach.
    pub fn of_age() -> Box<Self> {
        let refusal = CallError::Draining(Duration::ZERO);
        Self::of(pb::EndReason::MaxAge, Some(refusal), "the stream is as old as one may be")
    }

    /// The last message, and the status behind it.
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
            // An access that is denied may be granted again: the stream may be opened again later.
            pb::EndReason::Upstream => refusal.status_as(Code::Unavailable),
            _ => refusal.status(),
        });
        (end, status)
    }
}
