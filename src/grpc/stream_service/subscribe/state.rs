//! The state machine of a `Subscribe` response, which makes one message at a time.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use crate::clock::sleep_until;
use crate::encode::{Chunk, ReadLimit};
use crate::hub::ShardKey;
use crate::hub::shard::poll::{BadRecord, Gap};
use crate::model::{Checkpoint, StreamArn};
use crate::pb;
use crate::pb::subscribe_response::Event;
use crate::subscription::follow::{Follow, SubscriptionEvent, SubscriptionStatus};
use crate::subscription::token_pacing::TokenPacing;
use crate::token::ShardToken;

use crate::grpc::context::Context;
use crate::grpc::encoded::{Encoded, SubscribeResponse};
use crate::grpc::error::CallError;
use crate::grpc::response_stream::lifetime::{Interrupt, StreamLifetime};
use crate::grpc::response_stream::options::Options;
use crate::grpc::response_stream::{MessageSource, NextMessage, StreamEnd};
use crate::grpc::wire;

/// How long a stream that ends at a gap first collects the gaps of other shards.
const GAPS_PATIENCE: Duration = Duration::from_secs(5);

/// The interval between checks whether everything older than `until.time` was sent, once that time
/// has passed.
const TIME_PAUSE: Duration = Duration::from_millis(500);

/// The state of one `Subscribe` response.
pub struct Subscription {
    context: Context,
    follow: Follow,
    options: Options,
    pacing: TokenPacing,
    lifetime: StreamLifetime,
    /// Records sent so far.
    given: usize,
    /// Whether the last heartbeat reported the tip, with no records sent since.
    told_at_tip: bool,
    /// Whether the last heartbeat reported unread shards: (over the limit, not understood).
    told_unread: (bool, bool),
    /// The tip was reached so soon after a token that it is reported later.
    owes_tip: bool,
    /// When to check whether everything older than `until.time` was sent; `None` without
    /// `until.time`. Needed because a stream without new records wakes no one.
    time_due: Option<Instant>,
    /// Bytes of the newest token; the next one will be about as long.
    token_size: usize,
    /// The stream of the newest token; `None` before the first. The first message of another stream
    /// carries a token: shard tokens are valid only beside a token of their own stream.
    token_stream: Option<StreamArn>,
    phase: SubscribePhase,
}

/// What the subscription sends next.
enum SubscribePhase {
    /// Records, events, or waiting for them.
    Reading,
    /// Gaps of other shards, until the given time, before the stream ends.
    Losing(Box<StreamEnd>, Instant),
    /// The `End` message.
    Ending(Box<StreamEnd>),
    /// The status after the `End` message; `None` for OK.
    Status(Option<Status>),
    /// Nothing more.
    Over,
}

type Message = SubscribeResponse;

impl Subscription {
    /// A subscription that begins at the positions of `follow`.
    pub fn new(
        context: Context,
        follow: Follow,
        options: Options,
        checkpoint: Duration,
        lifetime: StreamLifetime,
    ) -> Self {
        let pacing = TokenPacing::new(checkpoint, Instant::now().into_std());
        let phase = SubscribePhase::Reading;
        let now = context.now();
        let left = options.before.map(|before| before.since(now.wall));
        let time_due = left.and_then(|left| now.at.checked_add(left)).map(Instant::from_std);
        Self {
            context,
            follow,
            options,
            pacing,
            lifetime,
            given: 0,
            told_at_tip: false,
            told_unread: (false, false),
            owes_tip: false,
            time_due,
            token_size: 0,
            token_stream: None,
            phase,
        }
    }
}

impl MessageSource for Subscription {
    type Message = SubscribeResponse;

    async fn step(mut self: Box<Self>) -> NextMessage<Self> {
        while let SubscribePhase::Reading = self.phase {
            if let Some(message) = self.read().await {
                return Some((Ok(message), self));
            }
        }
        if let SubscribePhase::Losing(_, until) = self.phase {
            // Boxed, so that streams that wait for records do not carry the future that finds gaps.
            let asked = Box::pin(tokio::time::timeout_at(until, self.follow.next_gap()));
            if let Ok(Some(SubscriptionEvent::Gap(key, gap, checkpoint))) = asked.await {
                let message = self.gap(&key, &gap, checkpoint);
                return Some((Ok(message), self));
            }
        }
        match std::mem::replace(&mut self.phase, SubscribePhase::Over) {
            SubscribePhase::Losing(ending, _) | SubscribePhase::Ending(ending) => {
                let (message, status) = self.end(*ending);
                self.phase = SubscribePhase::Status(status);
                Some((Ok(message), self))
            }
            SubscribePhase::Status(Some(status)) => Some((Err(status), self)),
            SubscribePhase::Reading | SubscribePhase::Status(None) | SubscribePhase::Over => None,
        }
    }
}

impl Subscription {
    /// Waits for one event and handles it; `None` when that made no message.
    async fn read(&mut self) -> Option<Message> {
        let count = self.options.record_count;
        let room = ReadLimit {
            records: count
                .map_or(usize::MAX, |count| count - self.given)
                .min(self.options.batch_records),
            bytes: self.options.batch_bytes,
            before: self.options.before,
        };
        let tip_due = self.owes_tip.then(|| Instant::from_std(self.pacing.late_at()));
        // All are cancel-safe: the lifetime, timers, and a subscription that does not move while it
        // waits.
        let told = tokio::select! {
            biased;
            interrupt = self.lifetime.interrupt() => return self.knocked(interrupt),
            () = sleep_until(tip_due) => return self.quiet(),
            () = sleep_until(self.time_due) => return self.time_passed(),
            told = self.follow.next(room) => told,
        };
        match told {
            SubscriptionEvent::Records(key, chunk, checkpoint) => {
                Some(self.records(&key, chunk, checkpoint))
            }
            SubscriptionEvent::Unreadable(key, bad, checkpoint) => {
                Some(self.unreadable(&key, &bad, checkpoint))
            }
            SubscriptionEvent::Gap(key, gap, checkpoint) => {
                if !self.options.passes_gaps {
                    let refusal = CallError::Trimmed(Box::new(gap.clone()), None);
                    self.phase = SubscribePhase::Losing(
                        StreamEnd::of(pb::EndReason::Gap, Some(refusal), gap.cause.words()),
                        Instant::now() + GAPS_PATIENCE,
                    );
                }
                Some(self.gap(&key, &gap, checkpoint))
            }
            SubscriptionEvent::Open(shard) => {
                let shard = wire::shard(self.follow.stream(), &shard);
                Some(self.event(Event::ShardOpen(pb::ShardOpen { shard: Some(shard) }), false))
            }
            SubscriptionEvent::ShardEnd(key, children, complete) => {
                let children =
                    children.iter().map(|shard| wire::shard(key.stream(), shard)).collect();
                let shard_id = key.shard().to_string();
                Some(
                    self.event(
                        Event::ShardEnd(pb::ShardEnd { shard_id, children, complete }),
                        false,
                    ),
                )
            }
            SubscriptionEvent::StreamEnd(stream, next) => Some(self.stream_end(&stream, next)),
            SubscriptionEvent::Refused(error) => {
                let detail = error.to_string();
                self.end_with(pb::EndReason::Refused, Some(CallError::Upstream(error)), &detail)
            }
            SubscriptionEvent::Full => {
                self.end_with(pb::EndReason::CatchUpLimit, Some(CallError::catch_up_limit()), "")
            }
            SubscriptionEvent::Quiet => self.quiet(),
        }
    }

    fn knocked(&mut self, interrupt: Interrupt) -> Option<Message> {
        match interrupt {
            Interrupt::Drain => {
                self.end_with(pb::EndReason::Draining, Some(self.context.draining()), "")
            }
            Interrupt::Deadline => {
                self.end_with(pb::EndReason::Deadline, Some(CallError::Deadline), "")
            }
            Interrupt::Age => {
                self.phase = SubscribePhase::Ending(StreamEnd::of_age());
                None
            }
            Interrupt::Heartbeat => {
                let standing = self.follow.standing(true);
                self.spent_patience(&standing).or_else(|| Some(self.heartbeat(&standing)))
            }
        }
    }

    fn records(&mut self, key: &ShardKey, chunk: Chunk, checkpoint: Checkpoint) -> Message {
        self.given += chunk.count;
        self.told_at_tip = false;
        self.context.metrics.delivered(key.stream(), chunk.count as u64, chunk.bytes.len() as u64);
        self.pacing.sends(chunk.bytes.len());
        if self.options.record_count == Some(self.given) {
            self.phase = SubscribePhase::Ending(StreamEnd::of(pb::EndReason::Limit, None, ""));
        }
        let token = if self.owes_token() { self.token() } else { String::new() };
        let (shard_id, shard_token) = (key.shard().to_string(), shard_token(key, checkpoint));
        let tail = pb::SubscribeResponse { shard_id, shard_token, token, ..Default::default() };
        Encoded { slices: vec![chunk.bytes], tail }
    }

    fn unreadable(&mut self, key: &ShardKey, bad: &BadRecord, checkpoint: Checkpoint) -> Message {
        self.context.metrics.unreadable();
        if !self.options.skips_unreadable {
            let number = bad.sequence_number.map(|number| number.to_string());
            let refusal = CallError::Unreadable(number, bad.cause.clone(), None);
            self.phase = SubscribePhase::Ending(StreamEnd::of(
                pb::EndReason::Unreadable,
                Some(refusal),
                &bad.cause,
            ));
        }
        let mut message = self.event(Event::Unreadable(wire::unreadable(key, bad)), false);
        message.tail.shard_token = shard_token(key, checkpoint);
        message
    }

    fn gap(&mut self, key: &ShardKey, gap: &Gap, checkpoint: Option<Checkpoint>) -> Message {
        self.context.metrics.gap(gap.cause.label(), gap.certain);
        let mut message = self.event(Event::Gap(wire::gap(key, gap)), true);
        message.tail.shard_token =
            checkpoint.map(|checkpoint| shard_token(key, checkpoint)).unwrap_or_default();
        message
    }

    fn stream_end(&mut self, stream: &StreamArn, next: Option<StreamArn>) -> Message {
        if !self.follow.goes_on() {
            self.phase = SubscribePhase::Ending(StreamEnd::of(pb::EndReason::StreamEnd, None, ""));
        }
        let next_stream_arn = next.map(|next| next.to_string()).unwrap_or_default();
        self.event(
            Event::StreamEnd(pb::StreamEnd { stream_arn: stream.to_string(), next_stream_arn }),
            true,
        )
    }

    /// Handles a quiet subscription: that may need a heartbeat, or end the stream.
    fn quiet(&mut self) -> Option<Message> {
        let mut standing = self.follow.standing(false);
        if standing.at_tip && !self.told_at_tip {
            // The states of the other shards may be out of date.
            standing = self.follow.standing(true);
        }
        if let Some(end) = self.spent_patience(&standing) {
            return Some(end);
        }
        if matches!(self.phase, SubscribePhase::Ending(..)) {
            return None;
        }
        let met = self.options.until_tip && standing.looked
            || self.options.before.is_some_and(|before| self.follow.is_beyond(before));
        if met {
            return self.end_with(pb::EndReason::Limit, None, "");
        }
        if unread(&standing) != self.told_unread {
            return Some(self.heartbeat(&standing));
        }
        let changed = standing.at_tip && !self.told_at_tip;
        let late = self.pacing.is_late(Instant::now().into_std());
        self.owes_tip = changed && !late;
        (changed && late).then(|| self.heartbeat(&standing))
    }

    /// Called once `until.time` has passed: everything older was sent when an upstream response
    /// requested since then has nothing more.
    fn time_passed(&mut self) -> Option<Message> {
        self.time_due = Some(Instant::now() + TIME_PAUSE);
        self.follow.standing(true);
        if self.options.before.is_some_and(|before| self.follow.is_beyond(before)) {
            return self.end_with(pb::EndReason::Limit, None, "");
        }
        None
    }

    /// Ends the stream if the upstream has failed, or shards were over the limit, for longer than
    /// `max_upstream_outage`.
    fn spent_patience(&mut self, standing: &SubscriptionStatus) -> Option<Message> {
        let patience = self.context.limits.streams.max_upstream_outage;
        let now = self.context.now().wall;
        if let Some((_, limit)) =
            standing.limited.filter(|(since, _)| now.since(*since) >= patience)
        {
            return self.end_with(
                pb::EndReason::ShardLimit,
                Some(limit.into()),
                &limit.to_string(),
            );
        }
        let outage = standing.outage.clone().filter(|outage| outage.outlasts(patience, now))?;
        let detail = outage.error.to_string();
        self.end_with(
            pb::EndReason::Upstream,
            Some(CallError::Upstream(outage.error.clone())),
            &detail,
        )
    }

    fn heartbeat(&mut self, standing: &SubscriptionStatus) -> Message {
        self.lifetime.reset_heartbeat();
        (self.told_at_tip, self.told_unread) = (standing.at_tip, unread(standing));
        let now = self.context.now().wall;
        let lag = if standing.at_tip {
            Some(Duration::ZERO)
        } else {
            self.follow.oldest_next().map(|created| now.since(created))
        };
        let outage = standing.outage.as_ref();
        let heartbeat = pb::Heartbeat {
            at_tip: standing.at_tip,
            lag: lag.map(wire::duration),
            observed_time: wire::optional_time(standing.observed),
            upstream_error: outage
                .map(|outage| CallError::Upstream(outage.error.clone()).reason().to_owned())
                .unwrap_or_default(),
            shards_over_limit: wire::count(standing.over_limit),
            shards_not_understood: wire::count(standing.not_understood),
        };
        self.event(Event::Heartbeat(heartbeat), true)
    }

    fn end_with(
        &mut self,
        reason: pb::EndReason,
        refusal: Option<CallError>,
        detail: &str,
    ) -> Option<Message> {
        self.phase = SubscribePhase::Ending(StreamEnd::of(reason, refusal, detail));
        None
    }

    fn end(&mut self, ending: StreamEnd) -> (Message, Option<Status>) {
        let (end, status) = ending.told(&self.context);
        (self.event(Event::End(end), true), status)
    }

    /// A message with `event`, and with a token if `with_token` is set or a token is due.
    fn event(&mut self, event: Event, with_token: bool) -> Message {
        let token = if with_token || self.owes_token() { self.token() } else { String::new() };
        pb::SubscribeResponse { token, event: Some(event), ..Default::default() }.into()
    }

    fn owes_token(&self) -> bool {
        let moved = self.token_stream.as_ref() != Some(self.follow.stream());
        moved || self.pacing.is_due(self.token_size, Instant::now().into_std())
    }

    fn token(&mut self) -> String {
        self.token_stream = Some(self.follow.stream().clone());
        let token = self.follow.token().encode();
        self.token_size = token.len();
        self.pacing.sent(token.len(), Instant::now().into_std());
        token
    }
}

/// Whether shards are unread: (over the limit, not understood).
fn unread(standing: &SubscriptionStatus) -> (bool, bool) {
    (standing.over_limit > 0, standing.not_understood > 0)
}

fn shard_token(key: &ShardKey, checkpoint: Checkpoint) -> String {
    ShardToken { stream: key.stream().clone(), shard: key.shard().clone(), checkpoint }.encode()
}
