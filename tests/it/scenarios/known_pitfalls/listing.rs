//! Listings: their pages, what they lack and what they claim too early.

use shardstream::pb;
use shardstream::pb::stream_records_response::Event;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::sim::fake::{ChildShards, FakeUpstream, ListingOrder, ShardRef, Split};
use crate::support::client::{At, Client, horizon, minutes, pass, refused, seconds};

/// A stream of so many shards, in one line of descent; the client is on the last one.
fn long_line(shards: usize) -> (Client, Vec<ShardRef>) {
    let (fake, first) = FakeUpstream::with_shard(1);
    let mut line = vec![first];
    while line.len() < shards {
        let split = Split { children: 1, ..Split::default() };
        line.extend(fake.split(line.last().expect("a shard"), split));
    }
    (Client::over(fake, line[shards - 1].clone(), |_| {}), line)
}

fn ids(shards: &[ShardRef]) -> Vec<String> {
    let mut ids: Vec<_> = shards.iter().map(|shard| shard.shard.to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn list_shards_gives_every_shard_of_a_long_listing_once() {
    for order in [ListingOrder::ById, ListingOrder::Reversed, ListingOrder::Mixed] {
        let (client, line) = long_line(250);
        client.fake.listing(|listing| listing.order = order);
        let (mut listed, mut page_token, mut pages) = (vec![], String::new(), 0);
        loop {
            let page = client.list_shards(&page_token).await.expect("a page");
            listed.extend(page.shards.into_iter().map(|shard| shard.shard_id));
            pages += 1;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!((listed, pages), (ids(&line), 3), "{order:?}");
        assert_eq!(client.fake.calls(Operation::DescribeStream), 3, "one listing for one walk");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_beyond_the_first_page_is_found() {
    let (client, line) = long_line(250);
    client.fake.write(&client.shard, 2);
    for shard in [&line[101], &line[249]] {
        client.on(shard).open(Some(horizon())).await.expect("opened");
    }
    assert_eq!(client.drain(horizon()).await.0, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn children_and_trees_beyond_the_first_page_are_found() {
    for children in [ChildShards::Known, ChildShards::Ignored, ChildShards::Itself] {
        let (client, line) = long_line(250);
        client.fake.listing(|listing| listing.children = children);
        let parent = client.on(&line[180]);
        assert_eq!(parent.child_ids().await.0, [line[181].shard.to_string()], "{children:?}");
        assert_eq!(client.on(&line[0]).walk().await.len(), 250);
    }
}

#[tokio::test(start_paused = true)]
async fn children_come_by_their_ids_however_they_are_listed() {
    for children in [ChildShards::Known, ChildShards::Ignored] {
        let client = Client::new();
        client.fake.listing(|listing| {
            (listing.order, listing.children) = (ListingOrder::Reversed, children)
        });
        let split = client.fake.split(&client.shard, Split::default());
        assert_eq!(client.child_ids().await, (ids(&split), true), "{children:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn children_that_are_not_listed_yet_are_not_none() {
    let client = Client::new();
    let split = Split { listed_after: seconds(90), ..Split::default() };
    let children = client.fake.split(&client.shard, split);
    assert_eq!(client.child_ids().await, (vec![], false));
    pass(seconds(100)).await;
    assert_eq!(client.child_ids().await, (ids(&children), true), "two is all there can be");
}

#[tokio::test(start_paused = true)]
async fn a_single_child_is_all_only_when_the_listing_has_settled() {
    let client = Client::new();
    let children = client.fake.split(&client.shard, Split { children: 1, ..Split::default() });
    assert_eq!(client.child_ids().await, (ids(&children), false), "another may come");
    pass(minutes(4)).await;
    assert_eq!(client.child_ids().await, (ids(&children), false));
    pass(minutes(2)).await;
    assert_eq!(client.child_ids().await, (ids(&children), true));
}

#[tokio::test(start_paused = true)]
async fn an_end_told_before_the_children_are_listed_says_so() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    client.fake.split(&client.shard, Split { listed_after: seconds(90), ..Split::default() });
    let rest = client.live(horizon()).await.rest().await;
    let [Event::ShardEnd(end)] = &rest.events[..] else { panic!("{:?}", rest.events) };
    assert_eq!((end.children.len(), end.complete), (0, false));

    pass(seconds(100)).await;
    let rest = client.live(At::Token(rest.token)).await.rest().await;
    let [Event::ShardEnd(end)] = &rest.events[..] else { panic!("{:?}", rest.events) };
    assert_eq!((end.children.len(), end.complete), (2, true));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_comes_in_time_although_the_listing_hangs() {
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    let mut live = client.live(horizon()).await;
    live.records(1).await;
    client.fake.listing(|listing| listing.latency = (minutes(1), minutes(1)));
    let begun = client.fake.now();
    client.fake.close(&client.shard);
    let Some(Event::ShardEnd(end)) = live.news().await.event else { panic!("no end") };
    assert!(!end.complete);
    assert!(client.fake.now() - begun < seconds(4), "{:?}", client.fake.now() - begun);
}

#[tokio::test(start_paused = true)]
async fn an_open_parent_with_a_listed_child_has_more_to_come() {
    let client = Client::new();
    let child =
        client.fake.split(&client.shard, Split { children: 1, close: false, ..Split::default() });
    client.fake.write(&client.shard, 2);
    pass(minutes(10)).await;
    assert_eq!(client.child_ids().await, (ids(&child), false));
    let mut live = client.live(horizon()).await;
    live.records(2).await;
    client.fake.write(&client.shard, 1);
    assert_eq!(live.records(1).await.0, [2], "a child ends nothing");
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_parent_is_not_listed_is_read_like_any_other() {
    let client = Client::new();
    let child = client.fake.split(&client.shard, Split { children: 1, ..Split::default() });
    client.fake.set_unlisted(&client.shard, true);
    let orphan = client.on(&child[0]);
    client.fake.write(&child[0], 2);
    let session = orphan.open(Some(horizon())).await.expect("opened");
    assert_eq!(
        session.parent_shard_id,
        client.shard.shard.to_string(),
        "the name of the parent stays known"
    );
    assert_eq!(orphan.drain(horizon()).await.0, [0, 1]);
    assert_eq!(orphan.walk().await, [(child[0].shard.to_string(), 0)]);
    refused(client.open(Some(horizon())).await, Code::NotFound, "SHARD_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn a_table_name_means_its_newest_stream() {
    let client = Client::new();
    let old = client.fake.write(&client.shard, 2).len();
    let named = |shard: &ShardRef| pb::ShardName {
        stream: "Orders".into(),
        shard_id: shard.shard.to_string(),
    };
    let open = async |name| {
        let request = pb::OpenShardRequest { shard: Some(name), ..Default::default() };
        use shardstream::grpc::generated::shard_service_server::ShardService as _;
        let answer = client.server.api.open_shard(tonic::Request::new(request)).await;
        answer.map(|answer| answer.into_inner().session.expect("a session").stream_arn)
    };
    assert_eq!(open(named(&client.shard)).await.expect("opened"), client.shard.stream.to_string());
    let (_, token) = client.drain(horizon()).await;

    pass(minutes(1)).await;
    client.fake.disable(&client.shard.stream);
    let stream = client.fake.add_stream("Orders");
    let newer = client.on(&client.fake.add_shard(&stream, None));
    client.fake.write(&newer.shard, 3);
    assert_eq!(open(named(&newer.shard)).await.expect("opened"), stream.to_string());
    refused(open(named(&client.shard)).await, Code::NotFound, "SHARD_NOT_FOUND");

    let rest = client.live(At::Token(token.clone())).await.rest().await;
    assert_eq!(
        (rest.records, rest.end),
        (vec![], Some(pb::EndReason::ShardEnd)),
        "after the {old} it covers"
    );
    refused(
        newer.read(At::Token(token)).await.map(|_| ()),
        Code::InvalidArgument,
        "TOKEN_MISMATCH",
    );
}

#[tokio::test(start_paused = true)]
async fn shards_of_one_name_in_two_streams_are_two_shards() {
    let fake = FakeUpstream::new(1);
    let (older, newer) = (fake.add_stream("Orders"), fake.add_stream("Orders"));
    let shards = [&older, &newer]
        .map(|stream| fake.add_shard_named(stream, "shardId-00000000000000000001", None));
    let clients = shards.map(|shard| Client::over(fake.clone(), shard, |_| {}));
    fake.write(&clients[0].shard, 2);
    fake.write(&clients[1].shard, 3);
    let second = clients[0].on(&clients[1].shard);
    assert_eq!(clients[0].drain(horizon()).await.0, [0, 1]);
    assert_eq!(second.drain(horizon()).await.0, [0, 1, 2]);
}
