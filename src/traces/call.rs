//! The spans of calls: begun here, and put into a queue of which the exporter takes them.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::model::Timestamp;

use super::context::TraceContext;
use super::messages::{KeyValue, Span, Status};

/// A server's span, and what went wrong, as OTLP says it.
const SERVER: i32 = 2;
const ERROR: i32 = 2;

/// The statuses that semantic conventions count as a server's own fault.
const FAULTS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// Where spans are begun. A cheap clone.
#[derive(Clone, Debug)]
pub struct Traces {
    queue: mpsc::Sender<EndedSpan>,
    clock: Clock,
    chance: Arc<Mutex<fastrand::Rng>>,
    metrics: Metrics,
}

/// The span of one call; dropped, it has ended.
#[derive(Debug)]
pub struct CallSpan {
    traces: Traces,
    method: &'static str,
    own: TraceContext,
    parent: Option<u64>,
    begun: Timestamp,
    code: &'static str,
}

/// A span that is over.
#[derive(Debug)]
pub(super) struct EndedSpan {
    pub(super) method: &'static str,
    pub(super) own: TraceContext,
    pub(super) parent: Option<u64>,
    pub(super) begun: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) code: &'static str,
}

impl Traces {
    /// Spans go to `queue`; what finds it full is counted and gone. `chance` makes their ids.
    pub(super) fn new(
        queue: mpsc::Sender<EndedSpan>,
        clock: Clock,
        chance: fastrand::Rng,
        metrics: Metrics,
    ) -> Self {
        Self { queue, clock, chance: Arc::new(Mutex::new(chance)), metrics }
    }

    /// Begins the span of a call of `method`, such as `shardstream.v1.ShardService/GetRecords`, in
    /// the trace of its caller, or in a new one.
    pub fn begin(&self, method: &'static str, of: Option<TraceContext>) -> CallSpan {
        let mut chance = self.chance.lock();
        let parent = chance.u64(1..);
        let own = match of {
            Some(of) => TraceContext { parent, ..of },
            None => TraceContext { trace_id: chance.u128(1..), parent, sampled: true },
        };
        drop(chance);
        CallSpan {
            traces: self.clone(),
            method,
            own,
            parent: of.map(|of| of.parent),
            begun: self.clock.now().wall,
            // Without an answer, the client has given it up.
            code: "CANCELLED",
        }
    }
}

impl CallSpan {
    /// Which trace the call is of, and its own span in it, for whatever else tells of it.
    pub fn context(&self) -> TraceContext {
        self.own
    }

    /// The call's answer has begun, with this status if it has one already: the span ends. That of
    /// a response stream too, for a span of days is of no use.
    pub fn answered(mut self, code: &'static str) {
        self.code = code;
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if !self.own.sampled {
            return;
        }
        let ended = EndedSpan {
            method: self.method,
            own: self.own,
            parent: self.parent,
            begun: self.begun,
            ended: self.traces.clock.now().wall,
            code: self.code,
        };
        if self.traces.queue.try_send(ended).is_err() {
            self.traces.metrics.spans("dropped", 1);
        }
    }
}

impl From<EndedSpan> for Span {
    fn from(span: EndedSpan) -> Self {
        let faulty = FAULTS.contains(&span.code);
        Self {
            trace_id: span.own.trace_id.to_be_bytes().to_vec(),
            span_id: span.own.parent.to_be_bytes().to_vec(),
            parent_span_id: span.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
            name: span.method.to_owned(),
            kind: SERVER,
            start_time_unix_nano: nanos(span.begun),
            end_time_unix_nano: nanos(span.ended.max(span.begun)),
            attributes: vec![
                KeyValue::text("rpc.system.name", "grpc"),
                KeyValue::text("rpc.method", span.method),
                KeyValue::text("rpc.response.status_code", span.code),
            ],
            status: faulty.then_some(Status { code: ERROR }),
        }
    }
}

fn nanos(time: Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(time.nanos()))
}
