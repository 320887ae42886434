//! How a response stream ends: why, with which status, and when the client may come again.

use std::time::Duration;

use tonic::{Code, Status};

use crate::grpc::context::Context;
use crate::grpc::error::CallError;
use crate::grpc::wire;
use crate::pb;
use crate::session::Superseded;

/// How a response stream ends. Kept boxed: it is large and needed once.
#[derive(Debug)]
pub(crate) struct StreamEnd {
    /// The reason in the `End` message.
    pub reason: pb::EndReason,
    /// The source of the stream's status; `None` for OK.
    pub refusal: Option<CallError>,
    /// A text for people.
    pub detail: String,
}

impl StreamEnd {
    /// An end for `reason`; `detail` is for people.
    pub(crate) fn of(reason: pb::EndReason, refusal: Option<CallError>, detail: &str) -> Box<Self> {
        Box::new(Self { reason, refusal, detail: detail.to_owned() })
    }

    /// The end of a stream at its maximum age. Clients may reconnect at once: the maximum age is
    /// jittered per stream, so they do not all come together.
    pub(crate) fn of_age() -> Box<Self> {
        let refusal = CallError::Draining(Duration::ZERO);
        Self::of(pb::EndReason::MaxAge, Some(refusal), "the stream is as old as one may be")
    }

    /// The end of a stream whose caller would not be let in any more, or not to what comes next.
    pub(crate) fn refused(refusal: CallError) -> Box<Self> {
        let detail = refusal.status().message().to_owned();
        Self::of(pb::EndReason::Refused, Some(refusal), &detail)
    }

    /// The end of a stream whose lease was taken over or closed.
    pub(crate) fn superseded(by: Superseded) -> Box<Self> {
        let reason = match by {
            Superseded::ByNewer => pb::EndReason::Superseded,
            Superseded::ByClose => pb::EndReason::LeaseClosed,
        };
        Self::of(reason, Some(CallError::Superseded(by)), "")
    }

    /// Why it ends, in the words of the contract.
    pub(super) fn word(&self) -> &'static str {
        match (self.reason, &self.refusal) {
            (pb::EndReason::Unspecified, Some(refusal)) => refusal.reason(),
            (reason, _) => reason.as_str_name().trim_start_matches("END_REASON_"),
        }
    }

    /// The `End` message, and the status that follows it; `None` for OK.
    pub(super) fn told(self, context: &Context) -> (pb::End, Option<Status>) {
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
