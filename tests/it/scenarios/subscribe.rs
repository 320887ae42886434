//! Whole streams, feature by feature, over the scripted fake.

use std::collections::BTreeSet;
use std::time::Duration;

use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::model::StreamArn;
use shardstream::pb;
use shardstream::upstream::Operation;
use tonic::{Code, Request};

use crate::sim::fake::{Answer, Fault, ShardRef, Split};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Fate, Start, Until, What, Wish};
use crate::support::client::{Client, hours, pass, position, refused, seconds, stamp};
use crate::support::watcher::{Watcher, ordinal};

/// What ends a subscription at the tip.
const AT_TIP: Until = Until { records: None, time: None, at_tip: true };

/// All of a stream or a table; with a token, of the stream that it names.
fn all_of(stream: &str) -> Wish {
    let (pass_gaps, skip_unreadable, heartbeat) = (false, false, Duration::from_secs(300));
    Wish { stream: stream.to_owned(), pass_gaps, skip_unreadable, heartbeat, ..Wish::default() }
}

async fn subscribe(client: &Client, wish: Wish, start: Start) -> Watcher {
    Watcher::start(&client.server, &client.fake, &wish, start).await
}

async fn resume(client: &Client, until: Until, token: &str) -> Watcher {
    let wish = Wish { until, ..all_of("") };
    subscribe(client, wish, Start::Token(token.to_owned(), vec![])).await
}

/// The records of a shard, by their place in its full log.
fn of(client: &Client, seen: &Watcher, shard: &ShardRef) -> Vec<u64> {
    seen.records().remove(&ordinal(&client.fake, shard)).unwrap_or_default()
}

fn stream_ends(seen: &Watcher) -> Vec<(String, Option<String>)> {
    let ends = seen.messages.iter().filter_map(|message| match &message.what {
        What::StreamEnd { stream, next } => {
            Some((stream.to_string(), next.as_ref().map(StreamArn::to_string)))
        }
        _ => None,
    });
    ends.collect()
}

fn closed(code: &str) -> Option<Fate> {
    Some(Fate::Closed(code.to_owned()))
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
    let seen = subscribe(&client, all_of(root.stream.as_str()), Start::Horizon).await.rest().await;
    assert_eq!((seen.end(), seen.fate.clone()), (Some(EndReason::StreamEnd), closed("OK")));
    assert_eq!(of(&client, &seen, root), [0, 1, 2]);
    for child in &children {
        assert_eq!(of(&client, &seen, child), [0, 1], "{child:?}");
    }
    assert_eq!(of(&client, &seen, &grandchildren[0]), [0, 1]);
    assert_eq!(seen.opened()[0], root.shard.to_string());
    assert_eq!(seen.opened().len(), 1 + children.len() + grandchildren.len());
    assert_eq!(stream_ends(&seen), [(root.stream.to_string(), None)]);
    assert!(seen.gaps().is_empty());

    let again = resume(&client, Until::default(), &seen.token()).await.rest().await;
    assert_eq!(again.order(), []);
    assert_eq!(again.end(), Some(EndReason::StreamEnd));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_splits_while_it_is_followed_goes_on_in_its_children() {
    let client = Client::new();
    let (fake, root) = (&client.fake, &client.shard);
    let mut live = subscribe(&client, all_of(root.stream.as_str()), Start::Latest).await;
    fake.write(root, 2);
    live.settle(seconds(5)).await;
    assert_eq!(of(&client, &live, root), [0, 1]);
    let children = fake.split(root, Split::default());
    fake.write(&children[0], 3);
    live.settle(seconds(5)).await;
    assert_eq!(of(&client, &live, &children[0]), [0, 1, 2]);
    let token = live.token();
    drop(live);
    fake.write(&children[1], 1);
    let mut again = resume(&client, Until::default(), &token).await;
    again.settle(seconds(5)).await;
    assert_eq!(of(&client, &again, &children[1]), [0]);
}

#[tokio::test(start_paused = true)]
async fn every_token_resumes_after_what_came_before_it() {
    let client = Client::new();
    let (fake, root) = (&client.fake, &client.shard);
    fake.write(root, 5);
    let children = fake.split(root, Split::default());
    fake.write(&children[0], 5);
    fake.write(&children[1], 5);
    let wish = |until| Wish { records: 2, until, ..all_of(root.stream.as_str()) };
    let whole = subscribe(&client, wish(AT_TIP), Start::Horizon).await.rest().await;
    assert_eq!((whole.end(), whole.order().len()), (Some(EndReason::Limit), 15));
    for count in 1..15 {
        let until = Until { records: Some(count), ..Until::default() };
        let first = subscribe(&client, wish(until), Start::Horizon).await.rest().await;
        assert_eq!((first.end(), first.order().len()), (Some(EndReason::Limit), count));
        let second = resume(&client, AT_TIP, &first.token()).await.rest().await;
        assert_eq!(first.order().len() + second.order().len(), 15, "{count}");
        for shard in [root, &children[0], &children[1]] {
            assert_eq!(
                [of(&client, &first, shard), of(&client, &second, shard)].concat(),
                [0, 1, 2, 3, 4],
                "{count}"
            );
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
    let wish = Wish { by_time: true, until: AT_TIP, ..all_of(one.stream.as_str()) };
    let seen = subscribe(&client, wish, Start::Horizon).await.rest().await;
    let first = ordinal(fake, one);
    let shards: Vec<_> = seen.order().iter().map(|(shard, _)| *shard == first).collect();
    assert_eq!(shards, [true, false, true, false, true, false, true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_table_goes_on_with_its_next_stream() {
    let client = Client::new();
    let (fake, one) = (&client.fake, &client.shard);
    fake.write(one, 2);
    let mut live = subscribe(&client, all_of(one.stream.resource()), Start::Horizon).await;
    live.settle(seconds(5)).await;
    fake.disable(&one.stream);
    live.settle(seconds(100)).await;
    assert_eq!(stream_ends(&live), [(one.stream.to_string(), None)]);
    let between = live.token();
    let next = fake.add_stream(one.stream.resource());
    let shard = fake.add_shard(&next, None);
    fake.write(&shard, 3);
    live.settle(seconds(60)).await;
    assert_eq!(stream_ends(&live)[1..], [(one.stream.to_string(), Some(next.to_string()))]);
    assert_eq!(of(&client, &live, &shard), [0, 1, 2]);

    let mut again = resume(&client, Until::default(), &between).await;
    again.settle(seconds(60)).await;
    assert_eq!((again.order().len(), of(&client, &again, &shard)), (3, vec![0, 1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_search_for_the_next_stream_that_fails_does_not_say_that_there_is_none() {
    let client = Client::new();
    let (fake, one) = (&client.fake, &client.shard);
    fake.write(one, 2);
    let mut live = subscribe(&client, all_of(one.stream.resource()), Start::Horizon).await;
    live.settle(seconds(60)).await;
    fake.disable(&one.stream);
    let next = fake.add_stream(one.stream.resource());
    fake.write(&fake.add_shard(&next, None), 3);
    fake.script_listing(Operation::ListStreams, vec![Answer::Fail(Fault::Denied); 4]);
    live.settle(seconds(100)).await;
    assert_eq!(stream_ends(&live), [(one.stream.to_string(), Some(next.to_string()))]);
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
    let wish = Wish { until: AT_TIP, ..all_of(root.stream.as_str()) };
    let first = subscribe(&client, wish, Start::Horizon).await.rest().await;
    assert_eq!(first.order().len(), 42);
    for shard in &shards {
        fake.write(shard, 2);
        fake.split(shard, Split::default());
    }
    pass(hours(48)).await;
    let second = resume(&client, Until::default(), &first.token()).await.rest().await;
    assert_eq!((second.end(), second.fate.clone()), (Some(EndReason::Gap), closed("OUT_OF_RANGE")));
    let lost: BTreeSet<_> = second.gaps().into_iter().map(|gap| gap.shard).collect();
    for shard in &shards {
        assert!(lost.contains(shard.shard.as_str()), "{shard:?}");
    }
    let third = resume(&client, AT_TIP, &second.token()).await.rest().await;
    assert_eq!((third.end(), third.gaps()), (Some(EndReason::Limit), vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_wrongly_is_refused() {
    let client = Client::new();
    let stream = &client.shard.stream;
    let api = StreamApi::new(client.server.context.clone());
    let bad = async |request| api.subscribe(Request::new(request)).await.map(|_| ());
    let from = |kind| {
        let start = Some(pb::subscribe_request::Start::Position(position(kind)));
        pb::SubscribeRequest { stream: stream.to_string(), start, ..Default::default() }
    };
    let horizon = || from(pb::IteratorType::TrimHorizon);
    let unreadable = Some(pb::subscribe_request::Start::Token("x".into()));
    let resumed = pb::SubscribeRequest { start: unreadable, ..Default::default() };
    drop(client.live(crate::support::client::horizon()).await);
    let code = Code::InvalidArgument;
    let start = pb::SubscribeRequest { stream: stream.to_string(), ..Default::default() };
    refused(bad(start).await, code, "START_MISSING");
    let numbered = from(pb::IteratorType::AtSequenceNumber);
    refused(bad(numbered).await, code, "POSITION_MALFORMED");
    let mut ambiguous = horizon();
    ambiguous.shard_tokens.push("x".into());
    refused(bad(ambiguous).await, code, "START_AMBIGUOUS");
    refused(bad(resumed).await, code, "TOKEN_MALFORMED");
    let mut unknown = horizon();
    unknown.stream = "unknown".into();
    refused(bad(unknown).await, Code::NotFound, "STREAM_NOT_FOUND");
    let mut time = from(pb::IteratorType::AtTimestamp);
    let ahead = client.fake.wall().plus(hours(1));
    let at = pb::Position { time: Some(stamp(ahead)), ..position(pb::IteratorType::AtTimestamp) };
    time.start = Some(pb::subscribe_request::Start::Position(at));
    refused(bad(time).await, code, "TIME_IN_FUTURE");
}
