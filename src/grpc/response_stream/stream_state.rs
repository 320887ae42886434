//! The state of a response stream that does not depend on what it reads: what it may still send,
//! what it told last, and whether it ends; and the client's policies, which end it.

use std::time::Duration;

use tonic::Status;

use crate::audit::event::Subject;
use crate::encode::{Chunk, ReadLimit};
use crate::grpc::call_audit::{CallAudit, StreamAudit};
use crate::grpc::context::{Context, StreamPermit};
use crate::grpc::error::CallError;
use crate::grpc::wire;
use crate::hub::{BadRecord, Gap, Outage, ReadPosition};
use crate::model::{StreamArn, Timestamp};
use crate::pb;
use crate::session::Mover;
use crate::upstream::UpstreamError;

use super::lease::StreamLease;
use super::lifetime::{Interrupt, StreamLifetime};
use super::options::Options;
use super::stream_end::StreamEnd;

/// What every response stream knows of itself.
pub(crate) struct StreamState {
    /// What all services share.
    pub context: Context,
    /// The options as granted.
    pub options: Options,
    /// Whether the last heartbeat reported the tip, with no records sent since.
    pub told_at_tip: bool,
    /// The lease that the stream runs on; `None` for most.
    pub lease: Option<StreamLease>,
    pub(super) phase: Phase,
    lifetime: StreamLifetime,
    /// Records sent so far.
    given: usize,
    /// Told of what is sent, and of the end; `None` without an audit log.
    audit: Option<Box<StreamAudit>>,
}

/// What the stream sends next.
pub(super) enum Phase {
    /// Records, events, or waiting for them.
    Reading,
    /// What comes before the end, and the end.
    Ending(Box<StreamEnd>),
    /// The status after the end; `None` for OK.
    Status(Option<Status>),
    /// Nothing more.
    Over,
}

/// What a heartbeat says.
pub(crate) struct Pulse<'a> {
    /// Everything up to the tip was sent.
    pub at_tip: bool,
    /// The creation time of the next record; `None` if it is not known.
    pub next_created: Option<Timestamp>,
    /// Up to when the shards are known to be read.
    pub observed: Option<Timestamp>,
    /// The upstream's failure that the stream waits for.
    pub outage: Option<&'a Outage>,
    /// How many shards are unread because of the server's limit.
    pub over_limit: usize,
    /// How many listed shards cannot be understood.
    pub not_understood: usize,
}

impl StreamState {
    /// A stream that begins now.
    pub(crate) fn new(context: &Context, options: Options, permit: StreamPermit) -> Self {
        let lifetime = StreamLifetime::new(context, &options, permit);
        Self {
            context: context.clone(),
            options,
            told_at_tip: false,
            lease: None,
            phase: Phase::Reading,
            lifetime,
            given: 0,
            audit: None,
        }
    }

    /// Has the audit log told that the stream is of this.
    pub(crate) fn of(mut self, subject: Subject) -> Self {
        let call = self.context.audit.clone();
        self.audit = call.and_then(|call| CallAudit::stream_opened(call, subject));
        self
    }

    /// The stream ends as `end` says.
    pub(super) fn note_end(&mut self, end: &StreamEnd) {
        if let Some(audit) = &mut self.audit {
            audit.ends(end.word());
        }
    }

    /// Puts the stream on the lease of `mover`, if set: from now on the session shows the stream's
    /// position.
    pub(crate) fn on_lease(mut self, mover: Option<Mover>, position: &ReadPosition) -> Self {
        self.lease = mover.map(|mover| StreamLease::new(mover, position));
        self
    }

    /// The limits of the next message.
    pub(crate) fn read_limit(&self) -> ReadLimit {
        let left = self.options.record_count.map_or(usize::MAX, |count| count - self.given);
        let records = left.min(self.options.batch_records);
        ReadLimit { records, bytes: self.options.batch_bytes, before: self.options.before }
    }

    /// Whether nothing ends the stream yet.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Reading)
    }

    /// Ends the stream. Returns no message, for handlers that end with this.
    pub(crate) fn end<M>(&mut self, end: Box<StreamEnd>) -> Option<M> {
        self.phase = Phase::Ending(end);
        None
    }

    /// Ends the stream as `until` says.
    pub(crate) fn end_at_limit<M>(&mut self) -> Option<M> {
        self.end(StreamEnd::of(pb::EndReason::Limit, None, ""))
    }

    /// Ends the stream: AWS rejects its position as malformed.
    pub(crate) fn refused<M>(&mut self, error: UpstreamError) -> Option<M> {
        let detail = error.to_string();
        self.end(StreamEnd::of(pb::EndReason::Refused, Some(CallError::Upstream(error)), &detail))
    }

    /// Ends the stream: too many positions behind the window of its shard wait to be read.
    pub(crate) fn full<M>(&mut self) -> Option<M> {
        let refusal = CallError::catch_up_limit();
        self.end(StreamEnd::of(pb::EndReason::CatchUpLimit, Some(refusal), ""))
    }

    /// Ends the stream if the outage lasts longer than a stream may wait.
    pub(crate) fn bear(&mut self, outage: &Outage) {
        let patience = self.context.limits.streams.max_upstream_outage;
        if outage.outlasts(patience, self.context.now().wall) {
            let (refusal, detail) =
                (CallError::Upstream(outage.error.clone()), outage.error.to_string());
            self.phase =
                Phase::Ending(StreamEnd::of(pb::EndReason::Upstream, Some(refusal), &detail));
        }
    }

    /// Counts records that are sent now, the last ones if the client asked for so many.
    pub(crate) fn records(&mut self, stream: &StreamArn, chunk: &Chunk) {
        self.given += chunk.count;
        self.told_at_tip = false;
        let (records, bytes) = (chunk.count as u64, chunk.bytes.len() as u64);
        self.context.metrics.delivered(stream, records, bytes);
        if let Some(audit) = &mut self.audit {
            audit.sent(records, bytes);
        }
        if self.options.record_count == Some(self.given) {
            self.phase = Phase::Ending(StreamEnd::of(pb::EndReason::Limit, None, ""));
        }
    }

    /// Counts a gap that is sent now, which ends the stream unless the client's policy is to go on.
    /// `token`: where to go on, for the status.
    pub(crate) fn gap(&mut self, gap: &Gap, token: impl FnOnce() -> Option<String>) {
        self.context.metrics.gap(gap.cause.label(), gap.certain);
        if !self.options.passes_gaps && self.is_reading() {
            let refusal = CallError::Trimmed(Box::new(gap.clone()), token());
            let end = StreamEnd::of(pb::EndReason::Gap, Some(refusal), gap.cause.words());
            self.phase = Phase::Ending(end);
        }
    }

    /// As [`Self::gap`], for a record that cannot be read.
    pub(crate) fn unreadable(&mut self, bad: &BadRecord, token: impl FnOnce() -> Option<String>) {
        self.context.metrics.unreadable();
        if !self.options.skips_unreadable {
            let number = bad.sequence_number.map(|number| number.to_string());
            let refusal = CallError::Unreadable(number, bad.cause.clone(), token());
            let end = StreamEnd::of(pb::EndReason::Unreadable, Some(refusal), &bad.cause);
            self.phase = Phase::Ending(end);
        }
    }

    /// The heartbeat that says `pulse`. The next one is due an interval from now.
    pub(crate) fn heartbeat(&mut self, pulse: &Pulse<'_>) -> pb::Heartbeat {
        self.lifetime.reset_heartbeat();
        self.told_at_tip = pulse.at_tip;
        let now = self.context.now().wall;
        let lag = match pulse.at_tip {
            true => Some(Duration::ZERO),
            false => pulse.next_created.map(|created| now.since(created)),
        };
        let error = |outage: &Outage| CallError::Upstream(outage.error.clone()).reason().to_owned();
        pb::Heartbeat {
            at_tip: pulse.at_tip,
            lag: lag.map(wire::duration),
            observed_time: wire::optional_time(pulse.observed),
            upstream_error: pulse.outage.map(error).unwrap_or_default(),
            shards_over_limit: wire::count(pulse.over_limit),
            shards_not_understood: wire::count(pulse.not_understood),
        }
    }

    /// Waits for what interrupts the stream. Cancel-safe.
    pub(super) async fn interrupt(&self) -> Interrupt {
        let superseded = async {
            match &self.lease {
                // Boxed: few streams are on a lease.
                Some(lease) => Box::pin(lease.superseded()).await,
                None => std::future::pending().await,
            }
        };
        // Both are cancel-safe: a notification, and the lifetime's token and timers.
        tokio::select! {
            biased;
            superseded = superseded => Interrupt::Superseded(superseded),
            interrupt = self.lifetime.interrupt() => interrupt,
        }
    }
}
