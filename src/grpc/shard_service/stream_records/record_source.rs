//! What `StreamRecords` reads, one shard, and the messages it makes of it.

use std::time::Duration;

use crate::encode::{Chunk, ReadLimit};
use crate::hub::{BadRecord, Cursor, Gap, Pending, Polled, ReadPosition, ShardKey, WaitFor};
use crate::pb;
use crate::pb::stream_records_response::Event;

use crate::grpc::context::Context;
use crate::grpc::encoded::{Encoded, StreamRecordsResponse};
use crate::grpc::response_stream::StreamSource;
use crate::grpc::response_stream::options::Options;
use crate::grpc::response_stream::stream_end::StreamEnd;
use crate::grpc::response_stream::stream_state::{Pulse, StreamState};
use crate::grpc::wire;

/// How long to wait for the children of an ended shard before `ShardEnd` is sent without them.
const CHILDREN_PATIENCE: Duration = Duration::from_millis(1_500);

/// One shard, read from a position on.
pub(super) struct RecordSource {
    key: ShardKey,
    cursor: Cursor,
    /// The newest poll that found nothing, for heartbeats.
    pending: Option<Pending>,
    /// The shard was read to its end, which is not sent yet.
    owes_shard_end: bool,
}

type Message = StreamRecordsResponse;

impl RecordSource {
    /// Begins at the cursor's position.
    pub(super) fn new(key: ShardKey, cursor: Cursor) -> Self {
        Self { key, cursor, pending: None, owes_shard_end: false }
    }
}

impl StreamSource for RecordSource {
    type Message = Message;
    type Event = ();

    async fn wait(&mut self, _: ReadLimit) {
        // Cancel-safe: a cursor does not move while it waits.
        self.cursor.changed().await;
    }

    async fn handle(&mut self, (): (), stream: &mut StreamState) -> Option<Message> {
        match self.cursor.poll(stream.read_limit(), wait_for(&stream.options)) {
            Polled::Records(chunk, after) => Some(self.records(chunk, after, stream)),
            Polled::Unreadable(bad, after) => Some(self.unreadable(&bad, after, stream)),
            Polled::Gap(gap, after) => Some(self.gap(&gap, after, stream)),
            Polled::TooNew => stream.end_at_limit(),
            Polled::Ended => {
                self.owes_shard_end = true;
                stream.end(StreamEnd::of(pb::EndReason::ShardEnd, None, ""))
            }
            Polled::Refused(error) => stream.refused(error),
            Polled::Full => stream.full(),
            Polled::Pending(pending) => self.nothing_yet(pending, stream),
        }
    }

    fn heartbeat(&mut self, stream: &mut StreamState) -> Option<Message> {
        // The last poll may be out of date, or records may have arrived.
        match self.cursor.poll(stream.read_limit(), wait_for(&stream.options)) {
            Polled::Pending(pending) => self.pending = Some(pending),
            _ => {
                let behind = |pending| Pending { at_tip: false, ..pending };
                self.pending = self.pending.take().map(behind);
            }
        }
        Some(self.pulse(stream))
    }

    async fn before_end(&mut self, stream: &mut StreamState) -> Option<Message> {
        match std::mem::take(&mut self.owes_shard_end) {
            true => Some(self.shard_end(&stream.context).await),
            false => None,
        }
    }

    fn settle(&mut self, end: &mut StreamEnd, stream: &StreamState) {
        if let (Some(lease), None) = (&stream.lease, &end.refusal) {
            let exhausted = end.reason == pb::EndReason::ShardEnd;
            let at_tip = self.pending.as_ref().is_some_and(|pending| pending.at_tip);
            if let Err(by) = lease.move_to(self.cursor.position.clone(), exhausted, at_tip) {
                *end = *StreamEnd::superseded(by);
            }
        }
    }

    fn end(&mut self, end: pb::End) -> Option<Message> {
        Some(self.event(Event::End(end)))
    }
}

impl RecordSource {
    fn records(&mut self, chunk: Chunk, after: ReadPosition, stream: &mut StreamState) -> Message {
        stream.records(self.key.stream(), &chunk);
        self.move_to(after, stream);
        let tail = pb::StreamRecordsResponse {
            shard_id: self.key.shard().to_string(),
            token: wire::token(&self.key, &self.cursor.position),
            ..Default::default()
        };
        Encoded { slices: vec![chunk.bytes], tail }
    }

    fn unreadable(
        &mut self,
        bad: &BadRecord,
        after: ReadPosition,
        stream: &mut StreamState,
    ) -> Message {
        self.move_to(after, stream);
        stream.unreadable(bad, || Some(wire::token(&self.key, &self.cursor.position)));
        self.event(Event::Unreadable(wire::unreadable(&self.key, bad)))
    }

    fn gap(&mut self, gap: &Gap, after: ReadPosition, stream: &mut StreamState) -> Message {
        self.move_to(after, stream);
        stream.gap(gap, || wire::token_behind(&self.key, gap, &self.cursor.position));
        self.event(Event::Gap(wire::gap(&self.key, gap)))
    }

    /// Handles a poll that found nothing: that may need a heartbeat, or end the stream.
    fn nothing_yet(&mut self, pending: Pending, stream: &mut StreamState) -> Option<Message> {
        let outage = pending.outage.clone();
        let (at_tip, past) = (pending.at_tip, pending.past);
        // A tip known from before this stream waited is not enough to end it: the newest record
        // may be younger.
        let has_looked = pending.empties > 0;
        self.pending = Some(pending);
        if let Some(outage) = outage {
            stream.bear(&outage);
        }
        if !stream.is_reading() {
            return None;
        }
        let time_is_past = stream.options.before.is_some_and(|before| past >= Some(before));
        if at_tip && has_looked && (stream.options.until_tip || time_is_past) {
            return stream.end_at_limit();
        }
        (at_tip != stream.told_at_tip).then(|| self.pulse(stream))
    }

    fn pulse(&self, stream: &mut StreamState) -> Message {
        let pending = self.pending.as_ref();
        let heartbeat = stream.heartbeat(&Pulse {
            at_tip: pending.is_some_and(|pending| pending.at_tip),
            next_created: self.cursor.next_created().or(self.cursor.position.time),
            observed: pending.and_then(|pending| pending.observed),
            outage: pending.and_then(|pending| pending.outage.as_deref()),
            over_limit: 0,
            not_understood: 0,
        });
        self.event(Event::Heartbeat(heartbeat))
    }

    async fn shard_end(&self, context: &Context) -> Message {
        let listings = context.hub.listings();
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

    fn event(&self, event: Event) -> Message {
        let token = wire::token(&self.key, &self.cursor.position);
        pb::StreamRecordsResponse {
            shard_id: self.key.shard().to_string(),
            token,
            event: Some(event),
            ..Default::default()
        }
        .into()
    }

    fn move_to(&mut self, position: ReadPosition, stream: &StreamState) {
        self.cursor.position = position;
        if let Some(lease) = &stream.lease {
            lease.show(&self.cursor.position);
        }
    }
}

/// What wakes the cursor. A stream that ends at the tip or at a time must be woken by every upstream
/// response, even an empty one.
fn wait_for(options: &Options) -> WaitFor {
    if options.until_tip || options.before.is_some() {
        WaitFor::EveryResponse
    } else {
        WaitFor::Data
    }
}
