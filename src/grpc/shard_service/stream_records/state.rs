//! The state machine of a `StreamRecords` response, which makes one message at a time.

use std::time::Duration;

use tonic::Status;

use crate::encode::{Chunk, ReadLimit};
use crate::hub::ShardKey;
use crate::hub::cursor::Cursor;
use crate::hub::shard::poll::{BadRecord, Gap, Pending, Polled, WaitFor};
use crate::hub::shard::position::ReadPosition;
use crate::pb;
use crate::pb::stream_records_response::Event;
use crate::session::state::Superseded;
use crate::session::table::Mover;

use crate::grpc::context::Context;
use crate::grpc::encoded::{Encoded, StreamRecordsResponse};
use crate::grpc::error::CallError;
use crate::grpc::response_stream::lifetime::{Interrupt, StreamLifetime};
use crate::grpc::response_stream::options::Options;
use crate::grpc::response_stream::{MessageSource, NextMessage, StreamEnd};
use crate::grpc::wire;

/// How long to wait for the children of an ended shard before `ShardEnd` is sent without them.
const CHILDREN_PATIENCE: Duration = Duration::from_millis(1_500);

/// The state of one `StreamRecords` response.
pub struct RecordStream {
    context: Context,
    key: ShardKey,
    cursor: Cursor,
    /// Set if the stream is on a lease: newer movers supersede it. The session moves to the
    /// stream's position only when the stream ends with OK.
    mover: Option<Mover>,
    options: Options,
    /// Records sent so far.
    given: usize,
    lifetime: StreamLifetime,
    /// Whether the last heartbeat reported the tip, with no records sent since.
    told_at_tip: bool,
    /// The newest poll that found nothing, for heartbeats.
    pending: Option<Pending>,
    phase: StreamPhase,
}

/// What the stream sends next.
enum StreamPhase {
    /// Records, events, or waiting for them.
    Reading,
    /// The `ShardEnd` event.
    ShardEnd,
    /// The `End` message.
    Ending(Box<StreamEnd>),
    /// The status after the `End` message; `None` for OK.
    Status(Option<Status>),
    /// Nothing more.
    Over,
}

/// What wakes a waiting stream.
enum StreamWakeup {
    Superseded(Superseded),
    Knock(Interrupt),
    Changed,
}

impl RecordStream {
    /// A stream that begins at the cursor's position.
    pub fn new(
        context: Context,
        key: ShardKey,
        cursor: Cursor,
        options: Options,
        lifetime: StreamLifetime,
    ) -> Self {
        Self {
            context,
            key,
            cursor,
            mover: None,
            options,
            given: 0,
            lifetime,
            told_at_tip: false,
            pending: None,
            phase: StreamPhase::Reading,
        }
    }

    /// Puts the stream on the lease of `mover`, if set: from now on the session shows the stream's
    /// position.
    pub fn moved_by(mut self, mover: Option<Mover>) -> Self {
        self.mover = mover;
        self.show();
        self
    }
}

impl MessageSource for RecordStream {
    type Message = StreamRecordsResponse;

    async fn step(mut self: Box<Self>) -> NextMessage<Self> {
        while let StreamPhase::Reading = self.phase {
            if let Some(message) = self.read().await {
                return Some((Ok(message), self));
            }
        }
        if let StreamPhase::ShardEnd = self.phase {
            // Boxed, so that streams that wait for records do not carry the future that requests
            // children.
            let message = Box::pin(self.shard_end()).await;
            self.phase = StreamPhase::Ending(StreamEnd::of(pb::EndReason::ShardEnd, None, ""));
            return Some((Ok(message), self));
        }
        match std::mem::replace(&mut self.phase, StreamPhase::Over) {
            StreamPhase::Ending(ending) => {
                let (message, status) = self.end(*ending);
                self.phase = StreamPhase::Status(status);
                Some((Ok(message), self))
            }
            StreamPhase::Status(Some(status)) => Some((Err(status), self)),
            StreamPhase::Reading
            | StreamPhase::ShardEnd
            | StreamPhase::Status(None)
            | StreamPhase::Over => None,
        }
    }
}

impl RecordStream {
    /// Waits for one event and handles it; `None` when that made no message.
    async fn read(&mut self) -> Option<StreamRecordsResponse> {
        let superseded = async {
            match &self.mover {
                // Boxed: few streams are on a lease.
                Some(mover) => Box::pin(mover.superseded()).await,
                None => std::future::pending().await,
            }
        };
        // All are cancel-safe: tokens, notifications, timers, and a cursor that does not move while
        // it waits.
        let woken = tokio::select! {
            biased;
            superseded = superseded => StreamWakeup::Superseded(superseded),
            interrupt = self.lifetime.interrupt() => StreamWakeup::Knock(interrupt),
            () = self.cursor.changed() => StreamWakeup::Changed,
        };
        match woken {
            StreamWakeup::Knock(Interrupt::Drain) => {
                self.end_with(pb::EndReason::Draining, Some(self.context.draining()), "")
            }
            StreamWakeup::Superseded(Superseded::ByNewer) => self.end_with(
                pb::EndReason::Superseded,
                Some(CallError::Superseded(Superseded::ByNewer)),
                "",
            ),
            StreamWakeup::Superseded(Superseded::ByClose) => self.end_with(
                pb::EndReason::LeaseClosed,
                Some(CallError::Superseded(Superseded::ByClose)),
                "",
            ),
            StreamWakeup::Knock(Interrupt::Deadline) => {
                self.end_with(pb::EndReason::Deadline, Some(CallError::Deadline), "")
            }
            StreamWakeup::Knock(Interrupt::Age) => {
                self.phase = StreamPhase::Ending(StreamEnd::of_age());
                None
            }
            StreamWakeup::Knock(Interrupt::Heartbeat) => {
                // The last poll may be out of date, or records may have arrived.
                match self.cursor.poll(self.room(), self.ask()) {
                    Polled::Pending(pending) => self.pending = Some(pending),
                    _ => {
                        let behind = |pending| Pending { at_tip: false, ..pending };
                        self.pending = self.pending.take().map(behind);
                    }
                }
                Some(self.heartbeat())
            }
            StreamWakeup::Changed => {
                let poll = self.cursor.poll(self.room(), self.ask());
                self.react(poll)
            }
        }
    }

    /// The limits of the next message.
    fn room(&self) -> ReadLimit {
        let left = self.options.record_count.map_or(usize::MAX, |count| count - self.given);
        let records = left.min(self.options.batch_records);
        ReadLimit { records, bytes: self.options.batch_bytes, before: self.options.before }
    }

    /// What wakes the cursor. A stream that ends at the tip or at a time must be woken by every
    /// upstream response, even an empty one.
    fn ask(&self) -> WaitFor {
        if self.options.until_tip || self.options.before.is_some() {
            WaitFor::EveryResponse
        } else {
            WaitFor::Data
        }
    }

    fn react(&mut self, poll: Polled) -> Option<StreamRecordsResponse> {
        match poll {
            Polled::Records(chunk, after) => Some(self.records(chunk, after)),
            Polled::Unreadable(bad, after) => Some(self.unreadable(&bad, after)),
            Polled::Gap(gap, after) => Some(self.gap(&gap, after)),
            Polled::TooNew => self.end_with(pb::EndReason::Limit, None, ""),
            Polled::Ended => {
                self.phase = StreamPhase::ShardEnd;
                None
            }
            Polled::Refused(error) => {
                let detail = error.to_string();
                self.end_with(pb::EndReason::Refused, Some(CallError::Upstream(error)), &detail)
            }
            Polled::Full => {
                self.end_with(pb::EndReason::CatchUpLimit, Some(CallError::catch_up_limit()), "")
            }
            Polled::Pending(pending) => self.nothing_yet(pending),
        }
    }

    fn records(&mut self, chunk: Chunk, after: ReadPosition) -> StreamRecordsResponse {
        self.given += chunk.count;
        self.told_at_tip = false;
        self.context.metrics.delivered(
            self.key.stream(),
            chunk.count as u64,
            chunk.bytes.len() as u64,
        );
        self.stand_at(after);
        if self.options.record_count == Some(self.given) {
            self.phase = StreamPhase::Ending(StreamEnd::of(pb::EndReason::Limit, None, ""));
        }
        let tail = pb::StreamRecordsResponse {
            shard_id: self.key.shard().to_string(),
            token: wire::token(&self.key, &self.cursor.position),
            ..Default::default()
        };
        Encoded { slices: vec![chunk.bytes], tail }
    }

    fn unreadable(&mut self, bad: &BadRecord, after: ReadPosition) -> StreamRecordsResponse {
        self.stand_at(after);
        self.context.metrics.unreadable();
        if !self.options.skips_unreadable {
            let number = bad.sequence_number.map(|number| number.to_string());
            let token = wire::token(&self.key, &self.cursor.position);
            let refusal = CallError::Unreadable(number, bad.cause.clone(), Some(token));
            self.phase = StreamPhase::Ending(StreamEnd::of(
                pb::EndReason::Unreadable,
                Some(refusal),
                &bad.cause,
            ));
        }
        self.event(Event::Unreadable(wire::unreadable(&self.key, bad)))
    }

    fn gap(&mut self, gap: &Gap, after: ReadPosition) -> StreamRecordsResponse {
        self.stand_at(after);
        self.context.metrics.gap(gap.cause.label(), gap.certain);
        if !self.options.passes_gaps {
            let token = wire::token_behind(&self.key, gap, &self.cursor.position);
            let refusal = CallError::Trimmed(Box::new(gap.clone()), token);
            self.phase = StreamPhase::Ending(StreamEnd::of(
                pb::EndReason::Gap,
                Some(refusal),
                gap.cause.words(),
            ));
        }
        self.event(Event::Gap(wire::gap(&self.key, gap)))
    }

    /// Handles a poll that found nothing: that may need a heartbeat, or end the stream.
    fn nothing_yet(&mut self, pending: Pending) -> Option<StreamRecordsResponse> {
        let patience = self.context.limits.streams.max_upstream_outage;
        let now = self.context.now().wall;
        let outage = pending.outage.clone();
        let (at_tip, past) = (pending.at_tip, pending.past);
        // A tip known from before this stream waited is not enough to end it: the newest record
        // may be younger.
        let has_looked = pending.empties > 0;
        self.pending = Some(pending);
        if let Some(outage) = outage.filter(|outage| outage.outlasts(patience, now)) {
            let detail = outage.error.to_string();
            return self.end_with(
                pb::EndReason::Upstream,
                Some(CallError::Upstream(outage.error.clone())),
                &detail,
            );
        }
        let time_is_past = self.options.before.is_some_and(|before| past >= Some(before));
        if at_tip && has_looked && (self.options.until_tip || time_is_past) {
            return self.end_with(pb::EndReason::Limit, None, "");
        }
        (at_tip != self.told_at_tip).then(|| self.heartbeat())
    }

    fn heartbeat(&mut self) -> StreamRecordsResponse {
        self.lifetime.reset_heartbeat();
        let pending = self.pending.clone();
        let at_tip = pending.as_ref().is_some_and(|pending| pending.at_tip);
        self.told_at_tip = at_tip;
        let now = self.context.now().wall;
        let next = self.cursor.next_created().or(self.cursor.position.time);
        let lag =
            if at_tip { Some(Duration::ZERO) } else { next.map(|created| now.since(created)) };
        let outage = pending.as_ref().and_then(|pending| pending.outage.as_ref());
        self.event(Event::Heartbeat(pb::Heartbeat {
            at_tip,
            lag: lag.map(wire::duration),
            observed_time: wire::optional_time(
                pending.as_ref().and_then(|pending| pending.observed),
            ),
            upstream_error: outage
                .map(|outage| CallError::Upstream(outage.error.clone()).reason().to_owned())
                .unwrap_or_default(),
            ..Default::default()
        }))
    }

    async fn shard_end(&mut self) -> StreamRecordsResponse {
        let listings = self.context.hub.listings();
        let asked = tokio::time::timeout(CHILDREN_PATIENCE, listings.children(&self.key));
        let (children, complete) = match asked.await {
            Ok(Ok(children)) => {
                let shards =
                    children.shards.iter().map(|shard| wire::shard(self.key.stream(), shard));
                (shards.collect(), children.complete)
            }
            // Unknown is not the same as none: the client may call ListChildren.
            Ok(Err(_)) | Err(_) => (vec![], false),
        };
        self.event(Event::ShardEnd(pb::ShardEnd {
            shard_id: self.key.shard().to_string(),
            children,
            complete,
        }))
    }

    fn end_with(
        &mut self,
        reason: pb::EndReason,
        refusal: Option<CallError>,
        detail: &str,
    ) -> Option<StreamRecordsResponse> {
        self.phase = StreamPhase::Ending(StreamEnd::of(reason, refusal, detail));
        None
    }

    /// The `End` message and the status. A stream that ends with OK moves its session to its
    /// position.
    fn end(&mut self, mut ending: StreamEnd) -> (StreamRecordsResponse, Option<Status>) {
        if let (Some(mover), None) = (&self.mover, &ending.refusal) {
            let (position, exhausted) =
                (self.cursor.position.clone(), ending.reason == pb::EndReason::ShardEnd);
            let at_tip = self.pending.as_ref().is_some_and(|pending| pending.at_tip);
            if let Err(superseded) =
                mover.commit(|session| session.move_to(position, exhausted, at_tip))
            {
                ending.reason = match superseded {
                    Superseded::ByNewer => pb::EndReason::Superseded,
                    Superseded::ByClose => pb::EndReason::LeaseClosed,
                };
                ending.refusal = Some(CallError::Superseded(superseded));
            }
        }
        let (end, status) = ending.told(&self.context);
        (self.event(Event::End(end)), status)
    }

    fn event(&self, event: Event) -> StreamRecordsResponse {
        let token = wire::token(&self.key, &self.cursor.position);
        pb::StreamRecordsResponse {
            shard_id: self.key.shard().to_string(),
            token,
            event: Some(event),
            ..Default::default()
        }
        .into()
    }

    fn stand_at(&mut self, position: ReadPosition) {
        self.cursor.position = position;
        self.show();
    }

    /// Publishes the stream's position in its session, if it is on a lease.
    fn show(&self) {
        if let Some(mover) = &self.mover {
            // If it is superseded, the stream's next step notices.
            let _ = mover.commit(|session| session.streaming = Some(self.cursor.position.clone()));
        }
    }
}

impl Drop for RecordStream {
    fn drop(&mut self) {
        if let Some(mover) = &self.mover {
            let _ = mover.commit(|session| session.streaming = None);
        }
    }
}
