//! Whole streams, feature by feature, over the scripted fake.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use prost::Message as _;
use shardstream::grpc::encoded::SubscribeResponse;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::model::StreamArn;
use shardstream::pb;
use shardstream::pb::subscribe_response::Event;
use tonic::{Code, Request, Status};

use crate::support::client::{Client, hours, pass, position, refused, seconds, stamp};
use crate::support::fake::{EntryId, ShardRef, Split};

/// A subscription under way, and all it has told.
struct Subscriber {
    messages: BoxStream<'static, Result<SubscribeResponse, Status>>,
    /// The records of each shard, by their place in its full log.
    records: BTreeMap<String, Vec<u64>>,
    /// In the order in which they came: `shard index`.
    order: Vec<(String, u64)>,
    events: Vec<Event>,
    token: String,
    shard_tokens: BTreeMap<String, String>,
    end: Option<pb::EndReason>,
    code: Option<Code>,
}

impl Subscriber {
    fn take(&mut self, message: Result<SubscribeResponse, Status>) {
        let message = match message {
            Ok(message) => pb::SubscribeResponse::decode(&message.encode_to_vec()[..]).expect("a valid message"),
            Err(status) => return self.code = Some(status.code()),
        };
        assert!(self.end.is_none(), "nothing after the end");
        if !message.token.is_empty() {
            self.token = message.token;
            self.shard_tokens.clear();
        } else if !message.shard_token.is_empty() {
            self.shard_tokens.insert(message.shard_id.clone(), message.shard_token);
        }
        for record in &message.records {
            let id = &record.meta.as_ref().expect("meta").change.as_ref().expect("a change").id;
            let index = EntryId::parse(id).expect("a record of the fake").index;
            self.records.entry(message.shard_id.clone()).or_default().push(index);
            self.order.push((message.shard_id.clone(), index));
        }
        match message.event {
            Some(Event::End(end)) => self.end = Some(end.reason()),
            Some(event) => self.events.push(event),
            None => {}
        }
    }

    /// Everything until nothing has come for so long.
    async fn settle(&mut self, quiet: u64) {
        while let Ok(Some(message)) = tokio::time::timeout(seconds(quiet), self.messages.next()).await {
            self.take(message);
            if self.code.is_some() {
                return;
            }
        }
    }

    /// Everything until the stream ends.
    async fn rest(mut self) -> Self {
        while let Some(message) = self.messages.next().await {
            self.take(message);
        }
        self.code.get_or_insert(Code::Ok);
        self
    }

    fn of(&self, shard: &ShardRef) -> Vec<u64> {
        self.records.get(shard.shard.as_str()).cloned().unwrap_or_default()
    }

    fn gaps(&self) -> Vec<&pb::Gap> {
        self.events.iter().filter_map(|event| if let Event::Gap(gap) = event { Some(gap) } else { None }).collect()
    }

    fn opened(&self) -> Vec<&str> {
        let mut opened = vec![];
        for event in &self.events {
            if let Event::ShardOpen(open) = event {
                opened.push(open.shard.as_ref().expect("set").shard_id.as_str());
            }
        }
        opened
    }

    fn stream_ends(&self) -> Vec<(&str, &str)> {
        let mut ends = vec![];
        for event in &self.events {
            if let Event::StreamEnd(end) = event {
                ends.push((end.stream_arn.as_str(), end.next_stream_arn.as_str()));
            }
        }
        ends
    }
}

fn from(stream: &StreamArn, kind: pb::IteratorType) -> pb::SubscribeRequest {
    let start = Some(pb::subscribe_request::Start::Position(position(kind)));
    let heartbeat = Some(prost_types::Duration { seconds: 300, nanos: 0 });
    pb::SubscribeRequest { stream: stream.to_string(), start, heartbeat_interval: heartbeat, ..Default::default() }
}

fn horizon(stream: &StreamArn) -> pb::SubscribeRequest {
    from(stream, pb::IteratorType::TrimHorizon)
}

fn resumed(token: &str) -> pb::SubscribeRequest {
    let start = Some(pb::subscribe_request::Start::Token(token.into()));
    let heartbeat_interval = Some(prost_types::Duration { seconds: 300, nanos: 0 });
    pb::SubscribeRequest { start, heartbeat_interval, ..Default::default() }
}

async fn subscribe(client: &Client, request: pb::SubscribeRequest) -> Subscriber {
    try_subscribe(client, request).await.expect("subscribed")
}

async fn try_subscribe(client: &Client, request: pb::SubscribeRequest) -> Result<Subscriber, Status> {
    let api = StreamApi::new(client.server.context.clone());
    let messages = api.subscribe(Request::new(request)).await?.into_inner();
    Ok(Subscriber {
        messages,
        records: BTreeMap::new(),
        order: vec![],
        events: vec![],
        token: String::new(),
        shard_tokens: BTreeMap::new(),
        end: None,
        code: None,
    })
}

#[tokio::test(start_paused = true)]
async fn children_come_after_their_parents_and_the_stream_ends() {
    let client = Client::new();
    let (fake, root) = (&client.fake, &client.shard);
    fake.write(root, 3);
    let children = fake.split(root, Split::default());
    for child in &children {
        fake.write(child, 2);
    }
    let grandchildren = fake.split(&children[0], Split::default());
    fake.write(&grandchildren[0], 2);
    fake.disable(&root.stream);
    let seen = subscribe(&client, horizon(&root.stream)).await.rest().await;
    assert_eq!((seen.end, seen.code), (Some(pb::EndReason::StreamEnd), Some(Code::Ok)));
    assert_eq!(seen.of(root), [0, 1, 2]);
    for child in &children {
        assert_eq!(seen.of(child), [0, 1], "{child:?}");
    }
    assert_eq!(seen.of(&grandchildren[0]), [0, 1]);
    assert_eq!(seen.opened()[0], root.shard.as_str());
    assert_eq!(seen.opened().len(), 1 + children.len() + grandchildren.len());
    assert_eq!(seen.stream_ends(), [(root.stream.as_str(), "")]);
    assert!(seen.gaps().is_empty());

    let again = subscribe(&client, resumed(&seen.token)).await.rest().await;
    assert!(again.order.is_empty(), "{:?}", again.order);
    assert_eq!(again.end, Some(pb::EndReason::StreamEnd));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_splits_while_it_is_followed_goes_on_in_its_children() {
    let client = Client::new();
    let (fake, root) = (&client.fake, &client.shard);
    let mut live = subscribe(&client, from(&root.stream, pb::IteratorType::Latest)).await;
    fake.write(root, 2);
    live.settle(5).await;
    assert_eq!(live.of(root), [0, 1]);
    let children = fake.split(root, Split::default());
    fake.write(&children[0], 3);
    live.settle(5).await;
    assert_eq!(live.of(&children[0]), [0, 1, 2]);
    let token = live.token.clone();
    drop(live);
    fake.write(&children[1], 1);
    let mut again = subscribe(&client, resumed(&token)).await;
    again.settle(5).await;
    assert_eq!(again.of(&children[1]), [0]);
}

#[tokio::test(start_paused = true)]
async fn every_token_resumes_after_what_came_before_it() {
    let client = Client::new();
    let (fake, root) = (&client.fake, &client.shard);
    fake.write(root, 5);
    let children = fake.split(root, Split::default());
    fake.write(&children[0], 5);
    fake.write(&children[1], 5);
    let request = || pb::SubscribeRequest {
        max_batch_records: 2,
        until: Some(pb::Until { at_tip: true, ..Default::default() }),
        ..horizon(&root.stream)
    };
    let whole = subscribe(&client, request()).await.rest().await;
    assert_eq!((whole.end, whole.order.len()), (Some(pb::EndReason::Limit), 15));
    for count in 1..15 {
        let until = Some(pb::Until { record_count: count, ..Default::default() });
        let first = subscribe(&client, pb::SubscribeRequest { until, ..request() }).await.rest().await;
        assert_eq!((first.end, first.order.len() as i64), (Some(pb::EndReason::Limit), count));
        let until = Some(pb::Until { at_tip: true, ..Default::default() });
        let second = subscribe(&client, pb::SubscribeRequest { until, ..resumed(&first.token) }).await.rest().await;
        assert_eq!(first.order.len() + second.order.len(), 15, "{count}");
        for shard in [root, &children[0], &children[1]] {
            assert_eq!([first.of(shard), second.of(shard)].concat(), [0, 1, 2, 3, 4], "{count}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn by_time_the_oldest_head_goes_first() {
    let client = Client::new();
    let (fake, one) = (&client.fake, &client.shard);
    let two = fake.add_shard(&one.stream, None);
    for _ in 0..5 {
        fake.write(one, 1);
        pass(seconds(3)).await;
        fake.write(&two, 1);
        pass(seconds(3)).await;
    }
    let until = Some(pb::Until { at_tip: true, ..Default::default() });
    let request = pb::SubscribeRequest { order: pb::RecordOrder::ByTime.into(), until, ..horizon(&one.stream) };
    let seen = subscribe(&client, request).await.rest().await;
    let shards: Vec<_> = seen.order.iter().map(|(shard, _)| shard == one.shard.as_str()).collect();
    assert_eq!(shards, [true, false, true, false, true, false, true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_table_goes_on_with_its_next_stream() {
    let client = Client::new();
    let (fake, one) = (&client.fake, &client.shard);
    fake.write(one, 2);
    let request = pb::SubscribeRequest { stream: one.stream.resource().to_owned(), ..horizon(&one.stream) };
    let mut live = subscribe(&client, request).await;
    live.settle(5).await;
    fake.disable(&one.stream);
    live.settle(100).await;
    assert_eq!(live.stream_ends(), [(one.stream.as_str(), "")]);
    let between = live.token.clone();
    let next = fake.add_stream(one.stream.resource());
    let shard = fake.add_shard(&next, None);
    fake.write(&shard, 3);
    live.settle(60).await;
    assert_eq!(live.stream_ends()[1..], [(one.stream.as_str(), next.as_str())]);
    assert_eq!(live.of(&shard), [0, 1, 2]);

    let mut again = subscribe(&client, resumed(&between)).await;
    again.settle(60).await;
    assert_eq!((again.order.len(), again.of(&shard)), (3, vec![0, 1, 2]));
}

#[tokio::test(start_paused = true)]
async fn what_expired_while_nobody_read_is_one_reconnect() {
    let client = Client::new();
    let (fake, root) = (&client.fake, &client.shard);
    let mut shards = vec![root.clone()];
    for _ in 0..20 {
        shards.push(fake.add_shard(&root.stream, None));
    }
    for shard in &shards {
        fake.write(shard, 2);
    }
    let until = Some(pb::Until { at_tip: true, ..Default::default() });
    let first = subscribe(&client, pb::SubscribeRequest { until, ..horizon(&root.stream) }).await.rest().await;
    assert_eq!(first.order.len(), 42);
    for shard in &shards {
        fake.write(shard, 2);
        fake.split(shard, Split::default());
    }
    pass(hours(48)).await;
    let second = subscribe(&client, resumed(&first.token)).await.rest().await;
    assert_eq!((second.end, second.code), (Some(pb::EndReason::Gap), Some(Code::OutOfRange)));
    let lost: std::collections::BTreeSet<_> = second.gaps().iter().map(|gap| gap.shard_id.clone()).collect();
    for shard in &shards {
        assert!(lost.contains(shard.shard.as_str()), "{shard:?}");
    }
    let third = subscribe(&client, pb::SubscribeRequest { until, ..resumed(&second.token) }).await.rest().await;
    assert_eq!((third.end, third.gaps().len()), (Some(pb::EndReason::Limit), 0), "{:?}", third.gaps());
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_wrongly_is_refused() {
    let client = Client::new();
    let stream = &client.shard.stream;
    let bad = |request| try_subscribe(&client, request);
    let shard_token = client.live(crate::support::client::horizon()).await;
    drop(shard_token);
    let code = Code::InvalidArgument;
    let none = |_: Subscriber| ();
    let start = pb::SubscribeRequest { stream: stream.to_string(), ..Default::default() };
    refused(bad(start).await.map(none), code, "START_MISSING");
    let numbered = from(stream, pb::IteratorType::AtSequenceNumber);
    refused(bad(numbered).await.map(none), code, "POSITION_MALFORMED");
    let mut ambiguous = horizon(stream);
    ambiguous.shard_tokens.push("x".into());
    refused(bad(ambiguous).await.map(none), code, "START_AMBIGUOUS");
    refused(bad(resumed("x")).await.map(none), code, "TOKEN_MALFORMED");
    let mut unknown = horizon(stream);
    unknown.stream = "unknown".into();
    refused(bad(unknown).await.map(none), Code::NotFound, "STREAM_NOT_FOUND");
    let mut time = from(stream, pb::IteratorType::AtTimestamp);
    let ahead = client.fake.wall().plus(hours(1));
    let at = pb::Position { time: Some(stamp(ahead)), ..position(pb::IteratorType::AtTimestamp) };
    time.start = Some(pb::subscribe_request::Start::Position(at));
    refused(bad(time).await.map(none), code, "TIME_IN_FUTURE");
}
