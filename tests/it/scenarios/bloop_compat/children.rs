//! Children and trees.

use shardstream::model::{Shard, ShardId};
use shardstream::upstream::{DescribePage, Operation, Upstream as _};

use crate::sim::fake::{Answer, ChildShards, ListingOrder, ShardRef, Split};
use crate::support::client::{Client, horizon, pass, seconds};

fn ids(shards: &[ShardRef]) -> Vec<String> {
    let mut ids: Vec<_> = shards.iter().map(|shard| shard.shard.to_string()).collect();
    ids.sort();
    ids
}

/// The next whole listing shows these shards, whatever there is.
async fn list(client: &Client, shards: &[(&str, Option<&str>)]) {
    let page = client.fake.describe_stream(&client.shard.stream, None, None).await.expect("a page");
    let id = |text: &str| ShardId::parse(text).expect("an id");
    let row = |(name, parent): &(&str, Option<&str>)| Shard {
        id: id(name),
        parent: parent.map(id),
        starting: None,
        ending: None,
    };
    let answer =
        Answer::Describe(DescribePage { shards: shards.iter().map(row).collect(), ..page });
    client.fake.script_listing(Operation::DescribeStream, vec![answer; 4]);
}

fn named(client: &Client, id: &str) -> Client {
    client.on(&ShardRef {
        stream: client.shard.stream.clone(),
        shard: ShardId::parse(id).expect("an id"),
    })
}

#[tokio::test(start_paused = true)]
async fn children_are_whoever_names_the_shard_as_parent() {
    for knows in [true, false] {
        for answers in [ChildShards::Known, ChildShards::Ignored, ChildShards::Itself] {
            for order in [ListingOrder::ById, ListingOrder::Reversed, ListingOrder::Mixed] {
                let client = Client::new();
                let children = client.fake.split(&client.shard, Split::default());
                let grandchildren = client.fake.split(&children[0], Split::default());
                client.fake.add_shard(&client.shard.stream, None);
                client.fake.set_traits(|traits| traits.child_shards = knows);
                client.fake.listing(|listing| (listing.children, listing.order) = (answers, order));
                assert_eq!(
                    client.child_ids().await,
                    (ids(&children), true),
                    "{knows} {answers:?} {order:?}"
                );
                assert_eq!(client.on(&children[0]).child_ids().await, (ids(&grandchildren), true));
                assert_eq!(client.on(&children[1]).child_ids().await, (vec![], false));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_child_that_appears_later_is_found() {
    let client = Client::new();
    let first = client.fake.split(&client.shard, Split { children: 1, ..Split::default() });
    assert_eq!(client.child_ids().await, (ids(&first), false));
    let second = client.fake.add_shard(&client.shard.stream, Some(&client.shard));
    pass(seconds(1)).await;
    assert_eq!(client.child_ids().await, (ids(&[first[0].clone(), second]), true));
}

#[tokio::test(start_paused = true)]
async fn an_open_shard_and_one_whose_children_are_late_are_told_apart() {
    let client = Client::new();
    assert_eq!(client.child_ids().await, (vec![], false), "open");
    client.fake.disable(&client.shard.stream);
    assert_eq!(
        client.child_ids().await,
        (vec![], true),
        "the stream is disabled: nothing will come"
    );
}

#[tokio::test(start_paused = true)]
async fn a_listing_with_a_shard_twice_gives_it_once() {
    let client = Client::new();
    client.fake.set_traits(|traits| traits.child_shards = false);
    list(
        &client,
        &[("p", None), ("a", Some("p")), ("b", Some("p")), ("a", Some("p")), ("c", Some("a"))],
    )
    .await;
    let parent = named(&client, "p");
    assert_eq!(parent.child_ids().await.0, ["a", "b"]);
    let walked = parent.walk().await;
    assert_eq!(
        walked,
        [("p", 0), ("a", 1), ("b", 1), ("c", 2)].map(|(id, depth)| (id.to_owned(), depth))
    );
}

#[tokio::test(start_paused = true)]
async fn a_cycle_ends_a_walk() {
    let client = Client::new();
    list(&client, &[("a", Some("b")), ("b", Some("a")), ("c", Some("c"))]).await;
    assert_eq!(named(&client, "a").walk().await, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    assert_eq!(named(&client, "c").walk().await, [("c".to_owned(), 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_walk_goes_breadth_first_and_siblings_by_id() {
    let client = Client::new();
    client.fake.listing(|listing| listing.order = ListingOrder::Mixed);
    let children = client.fake.split(&client.shard, Split::default());
    let left = client.fake.split(&children[0], Split::default());
    let right = client.fake.split(&children[1], Split { children: 1, ..Split::default() });
    let level = |shards: &[ShardRef], depth| {
        ids(shards).into_iter().map(move |id| (id, depth)).collect::<Vec<_>>()
    };
    let expected = [
        level(std::slice::from_ref(&client.shard), 0),
        level(&children, 1),
        level(&left, 2),
        level(&right, 2),
    ];
    assert_eq!(client.walk().await, expected.concat());
    assert_eq!(
        client.on(&children[1]).walk().await,
        [level(&children[1..], 0), level(&right, 1)].concat()
    );
}

#[tokio::test(start_paused = true)]
async fn children_can_be_asked_for_whatever_the_session_does() {
    use shardstream::grpc::generated::shard_service_server::ShardService as _;
    use shardstream::pb;
    let client = Client::new();
    client.fake.write(&client.shard, 1);
    let children = client.fake.split(&client.shard, Split::default());
    let unplaced = client.open(None).await.expect("opened").lease.expect("a lease").lease_id;
    let exhausted = client.lease(horizon()).await;
    client.given(&exhausted).await;
    assert!(client.get(&exhausted).await.expect("read").exhausted);
    client.forget_calls();
    for lease in [unplaced, exhausted] {
        let target = Some(pb::list_children_request::Target::LeaseId(lease));
        let request = tonic::Request::new(pb::ListChildrenRequest { target });
        let answer = client.server.api.list_children(request).await.expect("children").into_inner();
        assert_eq!(answer.children.len(), children.len());
    }
    assert_eq!(client.calls(), [], "children get no iterator");
}
