//! `WatchShards`: the tree, then what changes, at no cost.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::pb::ReadingState::{AtTip, Drained, Reading, Trimmed, Unread, Waiting};
use shardstream::upstream::Operation;
use tokio::time::Instant;
use tonic::{Code, Request, Status};

use crate::sim::fake::{FakeUpstream, Rates, ShardRef, Split, Writing};
use crate::support::client::{
    Client, at, horizon, hours, minutes, pass, position, refused, seconds, span,
};

struct Watched {
    messages: BoxStream<'static, Result<pb::WatchShardsResponse, Status>>,
    /// The newest word on each shard.
    shards: BTreeMap<String, pb::ShardProgress>,
}

async fn open(
    client: &Client,
    change: impl FnOnce(&mut pb::WatchShardsRequest),
) -> Result<Watched, Status> {
    let api = StreamApi::new(client.server.context.clone());
    let mut request =
        pb::WatchShardsRequest { stream: client.shard.stream.to_string(), ..Default::default() };
    change(&mut request);
    let messages = api.watch_shards(Request::new(request)).await?.into_inner();
    Ok(Watched { messages, shards: BTreeMap::new() })
}

async fn watch(client: &Client) -> Watched {
    let mut watched = open(client, |_| {}).await.expect("a watch");
    watched.round().await;
    watched
}

impl Watched {
    async fn next(&mut self) -> Option<Result<pb::WatchShardsResponse, Status>> {
        self.messages.next().await
    }

    /// All messages of the next round, as one.
    async fn round(&mut self) -> pb::WatchShardsResponse {
        let mut round = pb::WatchShardsResponse::default();
        while !round.complete {
            let part = self.next().await.expect("more to come").expect("no error");
            assert!(part.shards.len() + part.removed_shard_ids.len() <= 1_000);
            assert!(part.complete || part.shards.len() + part.removed_shard_ids.len() == 1_000);
            let (shards, removed) = (
                [round.shards, part.shards.clone()].concat(),
                [round.removed_shard_ids, part.removed_shard_ids.clone()].concat(),
            );
            round = pb::WatchShardsResponse { shards, removed_shard_ids: removed, ..part };
        }
        for shard in &round.shards {
            self.shards.insert(id(shard), shard.clone());
        }
        self.shards.retain(|id, _| !round.removed_shard_ids.contains(id));
        round
    }

    fn progress(&self, shard: &ShardRef) -> &pb::ShardProgress {
        &self.shards[shard.shard.as_str()]
    }

    /// Goes on until the shard is told to be in this state.
    async fn until(&mut self, shard: &ShardRef, state: pb::ReadingState) -> Duration {
        let begun = Instant::now();
        let waiting = async {
            while self.shards.get(shard.shard.as_str()).is_none_or(|shard| shard.state() != state) {
                self.round().await;
            }
        };
        tokio::time::timeout(minutes(5), waiting).await.expect("told in time");
        begun.elapsed()
    }

    /// Nothing is told for so long.
    async fn is_silent(&mut self, time: Duration) {
        let told = tokio::time::timeout(time, self.next()).await;
        assert!(told.is_err(), "{told:?}");
    }
}

fn id(progress: &pb::ShardProgress) -> String {
    progress.shard.as_ref().expect("always set").shard_id.clone()
}

fn describes(client: &Client) -> usize {
    client.fake.calls(Operation::DescribeStream)
}

#[tokio::test(start_paused = true)]
async fn the_tree_comes_first_and_in_parts() {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let roots: Vec<_> = (0..500).map(|_| fake.add_shard(&stream, None)).collect();
    for root in &roots {
        fake.split(root, Split::default())
            .iter()
            .take(1)
            .for_each(|child| _ = fake.split(child, Split::default()));
    }
    let client = Client::over(fake, roots[0].clone(), |_| {});
    let mut watched =
        open(&client, |request| request.stream = "Orders".into()).await.expect("a watch");
    let tree = watched.round().await;
    assert_eq!(
        (tree.shards.len(), tree.stream_arn, tree.status),
        (2_500, stream.to_string(), pb::StreamStatus::Enabled.into())
    );
    assert!(tree.listed_time.is_some());
    let order: BTreeMap<_, _> =
        tree.shards.iter().enumerate().map(|(at, shard)| (id(shard), at)).collect();
    assert_eq!(order.len(), 2_500, "each once");
    for (at, shard) in tree.shards.iter().enumerate() {
        let parent = &shard.shard.as_ref().expect("always set").parent_shard_id;
        assert!(parent.is_empty() || order[parent] < at);
        assert_eq!((shard.state(), shard.subscribers), (Unread, 0));
    }
    watched.is_silent(minutes(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_one_listing_lacks_is_still_shown() {
    let client = Client::new();
    let mut watched = watch(&client).await;
    let listed = describes(&client);
    client.fake.set_unlisted(&client.shard, true);
    while describes(&client) == listed {
        watched.is_silent(seconds(5)).await;
    }
    client.fake.set_unlisted(&client.shard, false);
    watched.is_silent(minutes(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_split_is_told_and_a_shard_that_is_listed_no_more() {
    let client = Client::new();
    let mut watched = watch(&client).await;
    let children = client.fake.split(&client.shard, Split::default());
    let round = watched.round().await;
    let told: Vec<_> = round.shards.iter().map(id).collect();
    let mut family = vec![client.shard.shard.to_string()];
    family.extend(children.iter().map(|child| child.shard.to_string()));
    assert_eq!(told, family);
    assert_eq!(round.shards[0].shard.as_ref().map(pb::Shard::state), Some(pb::ShardState::Closed));

    client.fake.set_unlisted(&client.shard, true);
    let round = watched.round().await;
    assert_eq!(
        (round.removed_shard_ids, round.shards.len()),
        (vec![client.shard.shard.to_string()], 0)
    );
    client.fake.disable(&client.shard.stream);
    assert_eq!(watched.round().await.status(), pb::StreamStatus::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_may_be_a_row_that_is_not_understood_is_not_told_as_removed() {
    let client = Client::new();
    client.fake.split(&client.shard, Split::default());
    let mut watched = watch(&client).await;
    client.fake.listing(|listing| listing.unreadable = 1);
    client.fake.set_unlisted(&client.shard, true);
    watched.is_silent(minutes(10)).await;
    client.fake.listing(|listing| listing.unreadable = 0);
    let told = tokio::time::timeout(minutes(5), watched.round()).await.expect("it is gone");
    assert_eq!(told.removed_shard_ids, [client.shard.shard.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_unread_then_read_then_at_its_tip_then_drained() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut watched = watch(&client).await;
    assert_eq!(watched.progress(&client.shard).state(), Unread);

    let mut live = client.live(horizon()).await;
    live.records(3).await;
    live.heartbeat_that(|beat| beat.at_tip).await;
    assert!(watched.until(&client.shard, AtTip).await <= seconds(1));
    let progress = watched.progress(&client.shard).clone();
    assert_eq!(
        (progress.lanes, progress.subscribers, progress.lag),
        (1, 1, Some(span(Duration::ZERO)))
    );
    assert_eq!(
        (progress.sequence_number, progress.time_to_trim),
        (client.numbers()[2].to_string(), None)
    );

    let child =
        client.fake.split(&client.shard, Split { children: 1, ..Split::default() }).remove(0);
    live.rest().await;
    watched.until(&client.shard, Drained).await;
    pass(minutes(5)).await;
    assert_eq!(client.server.context.hub.reader_count(), 0);
    let mut later = watch(&client).await;
    assert_eq!(later.progress(&client.shard).state(), Drained, "after its reader is gone, too");
    assert_eq!(later.progress(&client.shard).sequence_number, client.numbers()[2].to_string());
    assert_eq!(later.progress(&child).state(), Unread);
    later.is_silent(minutes(10)).await;
}

#[tokio::test(start_paused = true)]
async fn what_descends_from_a_shard_that_is_read_is_waiting() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    let child = client
        .fake
        .split(&client.shard, Split { children: 1, close: false, ..Split::default() })
        .remove(0);
    let grandchild = client.fake.split(&child, Split { children: 1, ..Split::default() }).remove(0);
    let other = client.fake.add_shard(&client.shard.stream, None);
    let mut live = client.live(horizon()).await;
    live.records(1).await;
    let mut watched = watch(&client).await;
    let states = [&child, &grandchild, &other].map(|shard| watched.progress(shard).state());
    assert_eq!(states, [Waiting, Waiting, Unread]);
    drop(live);
    watched.until(&grandchild, Unread).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_comes_to_a_child_when_its_parent_is_drained() {
    let client = Client::new();
    client.fake.write(&client.shard, 2_500);
    let child =
        client.fake.split(&client.shard, Split { children: 1, ..Split::default() }).remove(0);
    client.fake.write(&child, 2);
    let api = StreamApi::new(client.server.context.clone());
    let request = pb::SubscribeRequest {
        stream: client.shard.stream.to_string(),
        start: Some(pb::subscribe_request::Start::Position(position(
            pb::IteratorType::TrimHorizon,
        ))),
        ..Default::default()
    };
    let mut messages = api.subscribe(Request::new(request)).await.expect("subscribed").into_inner();
    // It opens the parent, takes its first records, and reads no further.
    for _ in 0..2 {
        messages.next().await.expect("more to come").expect("no error");
    }
    let mut watched = watch(&client).await;
    let states = [&client.shard, &child].map(|shard| watched.progress(shard).state());
    assert_eq!(states, [Reading, Waiting]);
    assert!(watched.progress(&client.shard).time_to_trim.is_some());

    let reading = async {
        while let Some(message) = messages.next().await {
            message.expect("no error");
        }
    };
    let told = async {
        watched.until(&child, AtTip).await;
        assert_eq!(watched.progress(&client.shard).state(), Drained);
        assert_eq!(watched.progress(&child).subscribers, 1);
        pass(minutes(2)).await;
        watched.until(&client.shard, Drained).await
    };
    let first = futures::future::select(Box::pin(reading), Box::pin(told)).await;
    assert!(matches!(first, futures::future::Either::Right(_)), "the subscription ended");
    drop(first);
    assert_eq!(
        watched.progress(&client.shard).sequence_number,
        client.numbers()[2_499].to_string()
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_reported_is_drained_whoever_read_it() {
    let client = Client::new();
    let mut watched = watch(&client).await;
    let discovery = client.server.context.hub.discover(&client.resolved());
    client.fake.split(&client.shard, Split::default());
    discovery.ended(&client.shard.shard);
    assert!(watched.until(&client.shard, Drained).await <= seconds(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_unread_is_told() {
    let client = Client::old(hours(30));
    client
        .fake
        .write_with(&client.shard, Writing { count: 5, ago: hours(1), ..Writing::default() });
    let number = client.numbers()[0];
    client.fake.trim_to_newest(&client.shard, 2);
    let mut watched = watch(&client).await;
    client.live_with(at(number), |_| {}).await.rest().await;
    watched.until(&client.shard, Trimmed).await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_told_when_it_loses() {
    let client = Client::old(hours(30));
    client
        .fake
        .write_with(&client.shard, Writing { count: 2_000, ago: hours(20), ..Writing::default() });
    let mut live = client.live_with(horizon(), |request| request.max_batch_records = 100).await;
    live.records(200).await;
    let mut watched = watch(&client).await;
    let left = watched.progress(&client.shard).time_to_trim.expect("records wait");
    assert!(
        (hours(4) - seconds(60)..=hours(4)).contains(&Duration::from_secs(left.seconds as u64)),
        "{left:?}"
    );
    assert!(watched.progress(&client.shard).lag.is_some_and(|lag| lag.seconds > 19 * 3_600));
    live.records(1_800).await;
    live.heartbeat_that(|beat| beat.at_tip).await;
    watched.until(&client.shard, AtTip).await;
    assert_eq!(watched.progress(&client.shard).time_to_trim, None);
}

#[tokio::test(start_paused = true)]
async fn a_lag_that_only_grows_is_no_news() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut live = client.live(horizon()).await;
    live.records(3).await;
    client.fake.behave(&client.shard, |behaviour| {
        behaviour.faults = Rates { unavailable: 1.0, ..Rates::NONE }
    });
    {
        let news = live.news();
        tokio::pin!(news);
        assert!(tokio::time::timeout(seconds(10), news.as_mut()).await.is_err());
        let mut watched = watch(&client).await;
        assert_eq!(watched.progress(&client.shard).state(), Reading);
        let silent = futures::future::select(news, Box::pin(watched.is_silent(minutes(2)))).await;
        assert!(matches!(silent, futures::future::Either::Right(_)), "nothing was read");
    }
    let mut watched = watch(&client).await;
    client.fake.behave(&client.shard, |behaviour| behaviour.faults = Rates::NONE);
    client.fake.write(&client.shard, 1);
    live.records(1).await;
    // A client that does not read asks for nothing, and nothing would be known of the tip.
    let reads = async { while tokio::time::timeout(seconds(60), live.news()).await.is_err() {} };
    let at_tip = watched.until(&client.shard, AtTip);
    let futures::future::Either::Right((waited, _)) =
        futures::future::select(Box::pin(reads), Box::pin(at_tip)).await
    else {
        panic!("nothing was written");
    };
    assert!(waited < seconds(15));
}

#[tokio::test(start_paused = true)]
async fn a_round_comes_once_in_the_interval() {
    let client = Client::new();
    let mut live = client.live(horizon()).await;
    for (asked, granted) in [(Duration::ZERO, 200), (seconds(5), 5_000), (hours(1), 60_000)] {
        let mut watched =
            open(&client, |request| request.interval = Some(span(asked))).await.expect("a watch");
        watched.round().await;
        for _ in 0..3 {
            let begun = Instant::now();
            client.fake.write(&client.shard, 1);
            live.records(1).await;
            watched.round().await;
            let took = begun.elapsed();
            assert!(took <= Duration::from_millis(granted.max(3_000)), "{took:?} at {asked:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_watches_cost_what_the_survey_costs() {
    let client = Client::new();
    let first = watch(&client).await;
    let before = describes(&client);
    let mut watches = vec![first];
    for _ in 0..99 {
        watches.push(watch(&client).await);
    }
    assert_eq!(describes(&client), before);
    let silent = watches.iter_mut().map(|watch| watch.is_silent(minutes(10)));
    futures::future::join_all(silent).await;
    assert!(describes(&client) - before <= 11, "{}", describes(&client) - before);
    assert_eq!(
        client.fake.calls(Operation::GetRecords) + client.fake.calls(Operation::GetShardIterator),
        0
    );
    drop(watches);
    pass(hours(1)).await;
    assert!(describes(&client) - before <= 11, "nobody watches any more");
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_the_server_goes_and_when_the_stream_does() {
    let client = Client::new();
    let mut watched = watch(&client).await;
    client.fake.delete_stream(&client.shard.stream);
    let status =
        tokio::time::timeout(minutes(2), watched.next()).await.expect("told").expect("an end");
    refused(status, Code::NotFound, "STREAM_NOT_FOUND");
    assert!(watched.next().await.is_none());
    refused(open(&client, |_| {}).await.map(drop), Code::NotFound, "STREAM_NOT_FOUND");

    let client = Client::new();
    let mut watched = watch(&client).await;
    client.server.context.drain.cancel();
    refused(watched.next().await.expect("an end"), Code::Unavailable, "DRAINING");
    assert!(watched.next().await.is_none());
    refused(open(&client, |_| {}).await.map(drop), Code::Unavailable, "DRAINING");
}

#[tokio::test(start_paused = true)]
async fn a_watch_counts_as_a_stream() {
    let client = Client::limited(|limits: &mut Limits| limits.streams.streams = 1);
    let watched = watch(&client).await;
    refused(open(&client, |_| {}).await.map(drop), Code::ResourceExhausted, "STREAM_LIMIT");
    drop(watched);
    watch(&client).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_its_stream_as_soon_as_readers_know() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let mut live = client
        .live_with(horizon(), |request| request.set_gap_policy(pb::GapPolicy::Continue))
        .await;
    live.records(2).await;
    let mut watched = watch(&client).await;
    client.fake.delete_stream(&client.shard.stream);
    let deleted = Instant::now();
    let ended = async {
        loop {
            if let Some(status) = watched.next().await.expect("an end").err() {
                return Err::<(), _>(status);
            }
        }
    };
    let (ended, _) = tokio::join!(ended, live.rest());
    refused(ended, Code::NotFound, "STREAM_NOT_FOUND");
    assert!(deleted.elapsed() < seconds(25), "{:?}", deleted.elapsed());
}
