//! The real Subscribe, called in process: its messages are what a client would get, bytes and all,
//! but nothing travels.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, LocalBoxStream};
use prost::Message as _;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::model::{StreamArn, Timestamp};
use shardstream::pb;
use tonic::{Request, Status};

use super::told::{number, observed, record};
use super::{InProcess, told};
use crate::sim::history::subscribed::{
    Cause, Fate, Gap, Message, SeenRecord, ShardRow, Start, Told, What, Wish,
};

/// A wish as the message that asks for it.
pub fn request(wish: &Wish, start: Start) -> pb::SubscribeRequest {
    use pb::subscribe_request::Start as Asked;
    let position = |kind: pb::IteratorType, time: Option<Timestamp>| {
        Asked::Position(pb::Position {
            iterator_type: kind.into(),
            time: time.map(told::time),
            ..Default::default()
        })
    };
    let (place, shard_tokens) = match start {
        Start::Horizon => (position(pb::IteratorType::TrimHorizon, None), vec![]),
        Start::Latest => (position(pb::IteratorType::Latest, None), vec![]),
        Start::Since(time) => (position(pb::IteratorType::AtTimestamp, Some(time)), vec![]),
        Start::Token(token, newer) => (Asked::Token(token), newer),
    };
    let until = pb::Until {
        record_count: wish.until.records.unwrap_or(0) as i64,
        time: wish.until.time.map(told::time),
        at_tip: wish.until.at_tip,
    };
    let order = if wish.by_time { pb::RecordOrder::ByTime } else { pb::RecordOrder::PerShard };
    let gap_policy = if wish.pass_gaps { pb::GapPolicy::Continue } else { pb::GapPolicy::Fail };
    pb::SubscribeRequest {
        stream: wish.stream.clone(),
        start: Some(place),
        shard_tokens,
        order: order.into(),
        merge_wait: Some(told::duration(wish.merge_wait)),
        until: Some(until),
        max_batch_records: wish.records as i32,
        max_batch_bytes: wish.bytes as i32,
        heartbeat_interval: Some(told::duration(wish.heartbeat)),
        checkpoint_interval: Some(told::duration(wish.checkpoint)),
        gap_policy: gap_policy.into(),
        unreadable_policy: told::unreadable_policy(wish.skip_unreadable).into(),
    }
}

impl InProcess {
    /// Subscribes with a request of one's own.
    pub async fn subscribe_with(
        &self,
        request: Request<pb::SubscribeRequest>,
    ) -> Result<LocalBoxStream<'static, Told>, (String, String)> {
        let api = StreamApi::new(self.context.clone());
        let messages = api.subscribe(request).await.map_err(refused)?.into_inner();
        let told = stream::unfold(Some(messages), |messages| async {
            let mut messages = messages?;
            match messages.next().await {
                None => Some((Told::Closed(Fate::Closed("OK".into())), None)),
                Some(Ok(message)) => {
                    Some((Told::Message(Box::new(read(&message.encode_to_vec()))), Some(messages)))
                }
                Some(Err(status)) => Some((Told::Closed(closed(status)), None)),
            }
        });
        Ok(told.boxed_local())
    }
}

fn refused(status: Status) -> (String, String) {
    let refusal = told::refusal(status);
    (refusal.code, refusal.reason)
}

/// A stream's status comes behind its `end`; without one the reason is looked at too.
fn closed(status: Status) -> Fate {
    Fate::Closed(told::code(status.code()).into())
}

fn row(shard: Option<pb::Shard>) -> ShardRow {
    let shard = shard.expect("a shard");
    let stream = StreamArn::parse(&shard.stream_arn).expect("an ARN");
    let parent = Some(shard.parent_shard_id).filter(|parent| !parent.is_empty());
    ShardRow { stream, shard: shard.shard_id, parent }
}

/// A message as it comes over the wire.
pub fn read(bytes: &[u8]) -> Message {
    use pb::subscribe_response::Event;
    let message = pb::SubscribeResponse::decode(bytes).expect("a message");
    assert!(
        message.records.is_empty() || message.event.is_none(),
        "records and an event in one message"
    );
    let what = match message.event {
        None => {
            let records = message
                .records
                .into_iter()
                .map(record)
                .map(|(id, number)| SeenRecord { id, number });
            let records = records.collect();
            What::Records { shard: message.shard_id.clone(), records }
        }
        Some(Event::Heartbeat(beat)) => What::Heartbeat {
            at_tip: beat.at_tip,
            lag: beat.lag.map(|lag| Duration::new(lag.seconds as u64, lag.nanos as u32)),
            observed: observed(beat.observed_time),
            upstream_error: beat.upstream_error,
            over_limit: beat.shards_over_limit as usize,
            not_understood: beat.shards_not_understood as usize,
        },
        Some(Event::ShardOpen(open)) => What::ShardOpen { shard: row(open.shard) },
        Some(Event::ShardEnd(end)) => What::ShardEnd {
            shard: end.shard_id,
            children: end.children.into_iter().map(|child| row(Some(child))).collect(),
            complete: end.complete,
        },
        Some(Event::Gap(gap)) => What::Gap(Gap {
            cause: match gap.cause() {
                pb::GapCause::Trimmed => Cause::Trimmed,
                pb::GapCause::ShardExpired => Cause::ShardExpired,
                pb::GapCause::StreamReplaced => Cause::StreamReplaced,
                pb::GapCause::Unspecified => panic!("a gap without a cause"),
            },
            after: number(&gap.after_sequence_number),
            before: number(&gap.before_sequence_number),
            certain: gap.certain,
            shard: gap.shard_id,
        }),
        Some(Event::Unreadable(told)) => What::Unreadable {
            number: number(&told.sequence_number),
            after: number(&told.after_sequence_number),
            shard: told.shard_id,
        },
        Some(Event::StreamEnd(end)) => What::StreamEnd {
            stream: StreamArn::parse(&end.stream_arn).expect("an ARN"),
            next: (!end.next_stream_arn.is_empty())
                .then(|| StreamArn::parse(&end.next_stream_arn).expect("an ARN")),
        },
        Some(Event::End(end)) => What::End { reason: told::reason(end.reason()) },
    };
    Message {
        at: Duration::ZERO,
        bytes: bytes.len(),
        shard_token: message.shard_token,
        token: message.token,
        what,
    }
}
