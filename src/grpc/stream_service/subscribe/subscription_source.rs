//! What `Subscribe` reads, the shards of a stream, and the messages it makes of them.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::sleep_until;
use crate::encode::{Chunk, ReadLimit};
use crate::hub::{Gap, ShardKey};
use crate::model::{Checkpoint, StreamArn};
use crate::pb;
use crate::pb::subscribe_response::Event;
use crate::subscription::follow::{Follow, SubscriptionEvent, SubscriptionStatus};
use crate::subscription::token_pacing::TokenPacing;
use crate::token::ShardToken;

use crate::grpc::context::Context;
use crate::grpc::encoded::{Encoded, SubscribeResponse};
use crate::grpc::response_stream::StreamSource;
use crate::grpc::response_stream::options::Options;
use crate::grpc::response_stream::stream_end::StreamEnd;
use crate::grpc::response_stream::stream_state::{Pulse, StreamState};
use crate::grpc::wire;

/// How long a stream that ends at a gap first collects the gaps of other shards.
const GAPS_PATIENCE: Duration = Duration::from_secs(5);

/// The interval between checks whether everything older than `until.time` was sent, once that time
/// has passed.
const TIME_PAUSE: Duration = Duration::from_millis(500);

/// All shards of a stream, read from a position on.
pub(super) struct SubscriptionSource {
    follow: Follow,
    pacing: TokenPacing,
    /// Whether the last heartbeat reported unread shards: (over the limit, not understood).
    told_unread: (bool, bool),
    /// The tip was reached so soon after a token that it is reported later.
    owes_tip: bool,
    /// When to check whether everything older than `until.time` was sent; `None` without
    /// `until.time`. Needed because a stream without new records wakes no one.
    time_due: Option<Instant>,
    /// Until when a stream that ends at a gap collects the gaps of other shards; `None` for one
    /// that does not.
    collects_until: Option<Instant>,
    /// Bytes of the newest token; the next one will be about as long.
    token_size: usize,
    /// The stream of the newest token; `None` before the first. The first message of another stream
    /// carries a token: shard tokens are valid only beside a token of their own stream.
    token_stream: Option<StreamArn>,
}

type Message = SubscribeResponse;

impl SubscriptionSource {
    /// Begins at the positions of `follow`; `checkpoint` is the interval of tokens.
    pub(super) fn new(
        context: &Context,
        follow: Follow,
        options: &Options,
        checkpoint: Duration,
    ) -> Self {
        let pacing = TokenPacing::new(checkpoint, Instant::now().into_std());
        let now = context.now();
        let left = options.before.map(|before| before.since(now.wall));
        let time_due = left.and_then(|left| now.at.checked_add(left)).map(Instant::from_std);
        Self {
            follow,
            pacing,
            told_unread: (false, false),
            owes_tip: false,
            time_due,
            collects_until: None,
            token_size: 0,
            token_stream: None,
        }
    }
}

impl StreamSource for SubscriptionSource {
    type Message = Message;
    /// `None` when it is time to check whether everything older than `until.time` was sent.
    type Event = Option<SubscriptionEvent>;

    async fn wait(&mut self, limit: ReadLimit) -> Option<SubscriptionEvent> {
        let tip_due = self.owes_tip.then(|| Instant::from_std(self.pacing.late_at()));
        // All are cancel-safe: timers, and a subscription that does not move while it waits.
        tokio::select! {
            biased;
            () = sleep_until(tip_due) => Some(SubscriptionEvent::Quiet),
            () = sleep_until(self.time_due) => None,
            event = self.follow.next(limit) => Some(event),
        }
    }

    async fn handle(
        &mut self,
        event: Option<SubscriptionEvent>,
        stream: &mut StreamState,
    ) -> Option<Message> {
        match event {
            Some(event) => self.told(event, stream),
            None => self.time_passed(stream),
        }
    }

    fn heartbeat(&mut self, stream: &mut StreamState) -> Option<Message> {
        let standing = self.follow.standing(true);
        self.bear(&standing, stream);
        Some(self.pulse(&standing, stream))
    }

    async fn before_end(&mut self, stream: &mut StreamState) -> Option<Message> {
        let until = self.collects_until?;
        let next = tokio::time::timeout_at(until, self.follow.next_gap());
        match next.await {
            Ok(Some(SubscriptionEvent::Gap(key, gap, checkpoint))) => {
                Some(self.gap(&key, &gap, checkpoint, stream))
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn end(&mut self, end: pb::End) -> Option<Message> {
        Some(self.event(Event::End(end), true))
    }
}

impl SubscriptionSource {
    fn told(&mut self, event: SubscriptionEvent, stream: &mut StreamState) -> Option<Message> {
        match event {
            SubscriptionEvent::Records(key, chunk, checkpoint) => {
                Some(self.records(&key, chunk, checkpoint, stream))
            }
            SubscriptionEvent::Unreadable(key, bad, checkpoint) => {
                stream.unreadable(&bad, || None);
                let unreadable = Event::Unreadable(wire::unreadable(&key, &bad));
                let mut message = self.event(unreadable, false);
                message.tail.shard_token = shard_token(&key, checkpoint);
                Some(message)
            }
            SubscriptionEvent::Gap(key, gap, checkpoint) => {
                let message = self.gap(&key, &gap, checkpoint, stream);
                self.collects_until =
                    (!stream.is_reading()).then(|| Instant::now() + GAPS_PATIENCE);
                Some(message)
            }
            SubscriptionEvent::Open(shard) => {
                let shard = Some(wire::shard(self.follow.stream(), &shard));
                Some(self.event(Event::ShardOpen(pb::ShardOpen { shard }), false))
            }
            SubscriptionEvent::ShardEnd(key, children, complete) => {
                let children =
                    children.iter().map(|shard| wire::shard(key.stream(), shard)).collect();
                let shard_id = key.shard().to_string();
                let end = pb::ShardEnd { shard_id, children, complete };
                Some(self.event(Event::ShardEnd(end), false))
            }
            SubscriptionEvent::StreamEnd(ended, next) => {
                if !self.follow.goes_on() {
                    stream.end::<Message>(StreamEnd::of(pb::EndReason::StreamEnd, None, ""));
                }
                let end = pb::StreamEnd {
                    stream_arn: ended.to_string(),
                    next_stream_arn: next.map(|next| next.to_string()).unwrap_or_default(),
                };
                Some(self.event(Event::StreamEnd(end), true))
            }
            SubscriptionEvent::Refused(error) => stream.refused(error),
            SubscriptionEvent::Forbidden(refused) => stream.end(StreamEnd::refused(refused.into())),
            SubscriptionEvent::Full => stream.full(),
            SubscriptionEvent::Quiet => self.quiet(stream),
        }
    }

    fn records(
        &mut self,
        key: &ShardKey,
        chunk: Chunk,
        checkpoint: Checkpoint,
        stream: &mut StreamState,
    ) -> Message {
        stream.records(key.stream(), &chunk);
        self.pacing.sends(chunk.bytes.len());
        let token = if self.owes_token() { self.token() } else { String::new() };
        let (shard_id, shard_token) = (key.shard().to_string(), shard_token(key, checkpoint));
        let tail = pb::SubscribeResponse { shard_id, shard_token, token, ..Default::default() };
        Encoded { slices: vec![chunk.bytes], tail }
    }

    fn gap(
        &mut self,
        key: &ShardKey,
        gap: &Gap,
        checkpoint: Option<Checkpoint>,
        stream: &mut StreamState,
    ) -> Message {
        stream.gap(gap, || None);
        let mut message = self.event(Event::Gap(wire::gap(key, gap)), true);
        message.tail.shard_token =
            checkpoint.map(|checkpoint| shard_token(key, checkpoint)).unwrap_or_default();
        message
    }

    /// Handles a quiet subscription: that may need a heartbeat, or end the stream.
    fn quiet(&mut self, stream: &mut StreamState) -> Option<Message> {
        let mut standing = self.follow.standing(false);
        if standing.at_tip && !stream.told_at_tip {
            // The states of the other shards may be out of date.
            standing = self.follow.standing(true);
        }
        self.bear(&standing, stream);
        if !stream.is_reading() {
            return None;
        }
        let met = stream.options.until_tip && standing.looked
            || stream.options.before.is_some_and(|before| self.follow.is_beyond(before));
        if met {
            return stream.end_at_limit();
        }
        if unread(&standing) != self.told_unread {
            return Some(self.pulse(&standing, stream));
        }
        let changed = standing.at_tip && !stream.told_at_tip;
        let late = self.pacing.is_late(Instant::now().into_std());
        self.owes_tip = changed && !late;
        (changed && late).then(|| self.pulse(&standing, stream))
    }

    /// Called once `until.time` has passed: everything older was sent when an upstream response
    /// requested since then has nothing more.
    fn time_passed(&mut self, stream: &mut StreamState) -> Option<Message> {
        self.time_due = Some(Instant::now() + TIME_PAUSE);
        self.follow.standing(true);
        let before = stream.options.before?;
        if self.follow.is_beyond(before) { stream.end_at_limit() } else { None }
    }

    /// Ends the stream if the upstream has failed, or shards were over the limit, for longer than
    /// `max_upstream_outage`.
    fn bear(&self, standing: &SubscriptionStatus, stream: &mut StreamState) {
        let patience = stream.context.limits.streams.max_upstream_outage;
        let now = stream.context.now().wall;
        let limited = standing.limited.filter(|(since, _)| now.since(*since) >= patience);
        if let Some((_, limit)) = limited {
            let (reason, detail) = (pb::EndReason::ShardLimit, limit.to_string());
            stream.end::<Message>(StreamEnd::of(reason, Some(limit.into()), &detail));
        } else if let Some(outage) = &standing.outage {
            stream.bear(outage);
        }
    }

    fn pulse(&mut self, standing: &SubscriptionStatus, stream: &mut StreamState) -> Message {
        self.told_unread = unread(standing);
        let heartbeat = stream.heartbeat(&Pulse {
            at_tip: standing.at_tip,
            next_created: if standing.at_tip { None } else { self.follow.oldest_next() },
            observed: standing.observed,
            outage: standing.outage.as_deref(),
            over_limit: standing.over_limit,
            not_understood: standing.not_understood,
        });
        self.event(Event::Heartbeat(heartbeat), true)
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
