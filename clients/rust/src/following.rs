//! One stream of records across all its connections: makes requests, takes messages, decides what
//! happens next. Pure but for the draw of a pause.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::backoff::{Backoff, Timing};
use crate::error::Error;
use crate::progress::{Covered, Progress};
use crate::record::{Event, Message, Record};
use crate::v1::subscribe_response::Event as Raw;
use crate::v1::{self, EndReason, IteratorType, SubscribeResponse};

/// How far before its opening a stream that started at LATEST goes on when it broke before its
/// first token: the server's `Date` has whole seconds, and clocks differ a little.
const LATEST_SLACK: Duration = Duration::from_secs(3);

/// Where to start.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Start {
    /// The oldest record that is kept.
    #[default]
    TrimHorizon,
    /// What is written from now on.
    Latest,
    /// The first record made at or after a time.
    Time(SystemTime),
    /// The first record of a shard that has this sequence number or a greater one.
    AtSequenceNumber(String),
    /// The first record of a shard that has a greater sequence number.
    AfterSequenceNumber(String),
    /// A position that was kept: a token, or the text of a [`TokenStore`](crate::TokenStore).
    Token(String),
}

impl Start {
    fn position(&self) -> Option<v1::Position> {
        let of = |kind: IteratorType, number: &str, time| {
            let sequence_number = number.to_owned();
            Some(v1::Position { iterator_type: kind.into(), sequence_number, time })
        };
        match self {
            Self::TrimHorizon => of(IteratorType::TrimHorizon, "", None),
            Self::Latest => of(IteratorType::Latest, "", None),
            Self::Time(time) => of(IteratorType::AtTimestamp, "", Some((*time).into())),
            Self::AtSequenceNumber(number) => of(IteratorType::AtSequenceNumber, number, None),
            Self::AfterSequenceNumber(number) => {
                of(IteratorType::AfterSequenceNumber, number, None)
            }
            Self::Token(_) => None,
        }
    }
}

/// Makes the type of a `start` field: each request has one of its own.
macro_rules! start {
    ($name:ident, $field:ty) => {
        pub(crate) fn $name(start: &Start) -> Option<$field> {
            type Field = $field;
            match (start.position(), start) {
                (Some(position), _) => Some(Field::Position(position)),
                (None, Start::Token(token)) => {
                    Some(Field::Token(token.split(' ').next().unwrap_or_default().to_owned()))
                }
                (None, _) => None,
            }
        }
    };
}

start!(subscribe_start, v1::subscribe_request::Start);
start!(shard_start, v1::shard_start::Start);
start!(open_start, v1::open_shard_request::Start);
start!(jump_start, v1::jump_to_request::Start);

/// What to do about a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// End with an error whose token goes on.
    #[default]
    Fail,
    /// Give an event in its place and go on.
    Continue,
}

/// What is followed.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A whole stream, by its table's name or ARN.
    Stream(String),
    /// One shard; none where the token names it.
    Shard(Option<v1::ShardName>),
    /// The shard of a session.
    Lease(String),
}

/// How it is followed.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) on_gap: Policy,
    pub(crate) on_unreadable: Policy,
    pub(crate) heartbeats: bool,
    pub(crate) interval: Duration,
    /// The other fields of the request.
    pub(crate) fields: v1::SubscribeRequest,
}

/// The request that goes on.
pub(crate) enum Request {
    Subscribe(v1::SubscribeRequest),
    StreamRecords(v1::StreamRecordsRequest),
}

pub(crate) struct Following {
    source: Source,
    start: Start,
    options: Options,
    timing: Timing,
    backoff: Backoff,
    progress: Progress,
    /// How many records the program was given.
    count: i64,
    // Of the stream that is open now:
    losses: Vec<Event>,
    end: Option<v1::End>,
    newest: String,
    served: bool,
}

impl Following {
    pub(crate) fn new(
        source: Source,
        start: Start,
        options: Options,
        timing: Timing,
        now: Instant,
    ) -> Self {
        let mut following = Self {
            source,
            start: Start::default(),
            options,
            timing,
            backoff: Backoff::new(timing, now),
            progress: Progress::default(),
            count: 0,
            losses: Vec::new(),
            end: None,
            newest: String::new(),
            served: false,
        };
        following.start_at(start);
        following
    }

    /// Starts there; an empty token changes nothing.
    pub(crate) fn start_at(&mut self, start: Start) {
        match start {
            Start::Token(token) if token.trim().is_empty() => {}
            Start::Token(token) => self.progress = Progress::at(&token),
            start => self.start = start,
        }
    }

    /// Goes on after everything that is covered; empty before the first token.
    pub(crate) fn position(&self) -> String {
        self.progress.position()
    }

    /// Whether there is nothing to come again for: the server has said so, or the limit is met that
    /// the program set. Asking for none that are left would be asking for all.
    pub(crate) fn is_over(&self) -> bool {
        let reason = self.end.as_ref().map(v1::End::reason);
        let limit = self.options.fields.until.as_ref().map_or(0, |until| until.record_count);
        matches!(reason, Some(EndReason::Limit | EndReason::ShardEnd | EndReason::StreamEnd))
            || (limit > 0 && self.count >= limit)
    }

    /// After how long without a message the connection counts as dead.
    pub(crate) fn silence(&self) -> Duration {
        3 * self.options.interval.max(self.timing.least_heartbeat)
    }

    /// The last message of the stream that is open, once it came.
    pub(crate) fn end(&self) -> Option<&v1::End> {
        self.end.as_ref()
    }

    /// The request that goes on from here.
    pub(crate) fn request(&mut self, now: Instant) -> Request {
        self.progress.resume();
        self.backoff.opening(now);
        (self.losses, self.end, self.served) = (Vec::new(), None, false);
        self.newest.clear();
        let mut fields = self.options.fields.clone();
        if let Some(until) = &mut fields.until
            && until.record_count > 0
        {
            until.record_count -= self.count;
        }
        fields.heartbeat_interval = prost_types::Duration::try_from(self.options.interval).ok();
        let start = match self.progress.token() {
            "" => self.start.clone(),
            token => Start::Token(token.to_owned()),
        };
        let Source::Stream(stream) = &self.source else {
            return Request::StreamRecords(self.stream_records(&start, fields));
        };
        fields.stream.clone_from(stream);
        fields.start = subscribe_start(&start);
        fields.shard_tokens = self.progress.shard_tokens();
        fields.set_gap_policy(self.gap_policy());
        fields.set_unreadable_policy(unreadable_policy(self.options.on_unreadable));
        Request::Subscribe(fields)
    }

    fn stream_records(
        &self,
        start: &Start,
        fields: v1::SubscribeRequest,
    ) -> v1::StreamRecordsRequest {
        use v1::stream_records_request::Source as Field;
        let (source, token) = match &self.source {
            Source::Lease(lease) => {
                (Field::LeaseId(lease.clone()), self.progress.token().to_owned())
            }
            Source::Shard(shard) => {
                let start = shard_start(start);
                (Field::Start(v1::ShardStart { shard: shard.clone(), start }), String::new())
            }
            Source::Stream(_) => unreachable!("a stream is subscribed to"),
        };
        v1::StreamRecordsRequest {
            source: Some(source),
            token,
            until: fields.until,
            max_batch_records: fields.max_batch_records,
            max_batch_bytes: fields.max_batch_bytes,
            heartbeat_interval: fields.heartbeat_interval,
            gap_policy: self.gap_policy().into(),
            unreadable_policy: unreadable_policy(self.options.on_unreadable).into(),
        }
    }

    fn gap_policy(&self) -> v1::GapPolicy {
        match self.options.on_gap {
            Policy::Fail => v1::GapPolicy::Fail,
            Policy::Continue => v1::GapPolicy::Continue,
        }
    }

    /// Notes that a message came; returns what is covered when the program is done with it.
    fn heard(&mut self, raw: &SubscribeResponse, now: Instant) -> Covered {
        let is_well =
            matches!(&raw.event, Some(Raw::Heartbeat(beat)) if beat.upstream_error.is_empty());
        self.backoff.heard(is_well || !raw.records.is_empty(), now);
        if !raw.token.is_empty() {
            self.newest.clone_from(&raw.token);
        }
        match &raw.event {
            Some(Raw::End(end)) => self.end = Some(end.clone()),
            _ => self.served = true,
        }
        Covered::by(raw)
    }

    /// The same for a message that is given as it is.
    pub(crate) fn take_whole(&mut self, raw: &SubscribeResponse, now: Instant) -> Covered {
        self.count += i64::try_from(raw.records.len()).unwrap_or(i64::MAX);
        self.heard(raw, now)
    }

    /// The message for the program, and what is covered when it is done with that. `None` when
    /// there is nothing in it for a program: that is covered at once.
    pub(crate) fn take(
        &mut self,
        raw: SubscribeResponse,
        now: Instant,
    ) -> Option<(Message, Covered)> {
        let covered = self.heard(&raw, now);
        let event = raw.event.and_then(event);
        let fails = |policy| policy == Policy::Fail;
        match event {
            // Not covered, nor is what follows: whoever starts again is told of the loss again,
            // until it is accepted.
            Some(loss @ Event::Gap(_)) if fails(self.options.on_gap) => {
                self.losses.push(loss);
                return None;
            }
            Some(loss @ Event::Unreadable(_)) if fails(self.options.on_unreadable) => {
                self.losses.push(loss);
                return None;
            }
            _ => {}
        }
        let fresh = self.progress.give(&raw.shard_id, raw.records);
        let is_quiet = match &event {
            None => true,
            Some(Event::Heartbeat(_)) => !self.options.heartbeats,
            Some(_) => false,
        };
        if is_quiet && fresh.is_empty() {
            self.cover(covered);
            return None;
        }
        let event = event.filter(|_| !is_quiet);
        self.count += i64::try_from(fresh.len()).unwrap_or(i64::MAX);
        let records = fresh.into_iter().map(|record| Record::new(record, &raw.shard_id)).collect();
        Some((Message { shard_id: raw.shard_id, records, event, token: raw.token }, covered))
    }

    /// The program is done with a message.
    pub(crate) fn cover(&mut self, covered: Covered) {
        if self.losses.is_empty() {
            self.progress.cover(covered);
        }
    }

    /// How long to wait before going on; what must not be repeated comes back as the error, with
    /// the token that goes on.
    pub(crate) fn again(
        &mut self,
        mut error: Error,
        now: Instant,
    ) -> Result<(Duration, Error), Error> {
        if error.token.is_empty() {
            // The token of the last message stands behind the loss; what is covered, before it.
            let is_loss = !self.losses.is_empty();
            error.0.token = if is_loss { self.newest.clone() } else { self.position() };
        }
        error.0.losses.clone_from(&self.losses);
        let asked = error.retry_delay.unwrap_or_default();
        let (pause, error) = self.backoff.pause(error, now)?;
        let is_old =
            self.end.as_ref().is_some_and(|end| end.reason() == EndReason::MaxAge) && self.served;
        Ok((if is_old { asked } else { pause }, error))
    }

    /// LATEST was found when the stream was opened, at `opened` by the server's clock. If it
    /// breaks before its first token the next one starts then.
    pub(crate) fn anchor(&mut self, opened: Option<SystemTime>) {
        if self.progress.token().is_empty()
            && self.start == Start::Latest
            && let Some(opened) = opened
        {
            self.start = Start::Time(opened - LATEST_SLACK);
        }
    }
}

pub(crate) fn unreadable_policy(policy: Policy) -> v1::UnreadablePolicy {
    match policy {
        Policy::Fail => v1::UnreadablePolicy::Fail,
        Policy::Continue => v1::UnreadablePolicy::Skip,
    }
}

/// The event for a program; `None` for the end, which the client deals with.
fn event(raw: Raw) -> Option<Event> {
    Some(match raw {
        Raw::Heartbeat(heartbeat) => Event::Heartbeat(heartbeat),
        Raw::ShardOpen(open) => Event::ShardOpen(open),
        Raw::ShardEnd(end) => Event::ShardEnd(end),
        Raw::Gap(gap) => Event::Gap(gap),
        Raw::Unreadable(unreadable) => Event::Unreadable(unreadable),
        Raw::StreamEnd(end) => Event::StreamEnd(end),
        Raw::End(_) => return None,
    })
}
