//! One survey a stream: what it finds, and what it asks of AWS for all who follow.

use std::time::Duration;

use shardstream::hub::ResolvedStream;
use shardstream::hub::discovery::{Catalog, ChildrenKnown, Discovery, ListingError};
use shardstream::limits::Limits;
use shardstream::model::{ShardId, StreamStatus};
use shardstream::upstream::{ErrorClass, Operation};
use tokio::time::Instant;

use crate::sim::fake::{Answer, Asked, ChildShards, FakeUpstream, Fault, Rates, ShardRef, Split};
use crate::support::client::{Client, hours, minutes, pass, seconds};

const LATE: Split = Split { children: 2, close: true, listed_after: Duration::from_secs(3) };

fn discover(client: &Client) -> Discovery {
    client.server.context.hub.discover(&client.resolved())
}

async fn ready(client: &Client) -> Discovery {
    let discovery = discover(client);
    discovery.ready(Instant::now()).await.expect("listed");
    discovery
}

/// Over a stream of so many open shards, each on its own.
fn wide(shards: usize) -> (Client, Vec<ShardRef>) {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let shards: Vec<_> = (0..shards).map(|_| fake.add_shard(&stream, None)).collect();
    (Client::over(fake, shards[0].clone(), |_| {}), shards)
}

fn known(discovery: &Discovery, shard: &ShardRef) -> ChildrenKnown {
    discovery.read(|catalog| catalog.children_known(&shard.shard))
}

fn ids(known: &ChildrenKnown) -> Vec<ShardId> {
    known.shards.iter().map(|shard| shard.id.clone()).collect()
}

fn names(shards: &[ShardRef]) -> Vec<ShardId> {
    shards.iter().map(|shard| shard.shard.clone()).collect()
}

/// Waits until the chart says so; returns how long that took.
async fn until(
    discovery: &Discovery,
    most: Duration,
    reached: impl Fn(&Catalog) -> bool,
) -> Duration {
    let begun = Instant::now();
    let reaching = async {
        loop {
            let seen = discovery.version();
            if discovery.read(&reached) {
                return;
            }
            discovery.changed(seen).await;
        }
    };
    tokio::time::timeout(most, reaching).await.expect("reached in time");
    begun.elapsed()
}

fn describes(fake: &FakeUpstream) -> usize {
    fake.calls(Operation::DescribeStream)
}

fn is_look(asked: &Asked) -> bool {
    matches!(asked, Asked::Describe { children_of: Some(_), .. })
}

fn looks_for(fake: &FakeUpstream, shard: &ShardRef) -> usize {
    let is_for = |asked: &Asked| matches!(asked, Asked::Describe { children_of: Some(of), .. } if *of == shard.shard);
    fake.all_calls().iter().filter(|call| is_for(&call.asked)).count()
}

#[tokio::test(start_paused = true)]
async fn a_listing_begun_since_is_in_the_chart_when_it_is_ready() {
    let client = Client::new();
    let discovery = ready(&client).await;
    let begun = Instant::now();
    let other = client.fake.add_shard(&client.shard.stream, None);
    discovery.ready(begun).await.expect("listed");
    assert!(discovery.read(|catalog| catalog.is_listed(&other.shard) == Some(true)));
    assert!(discovery.read(Catalog::listed_at) >= Some(begun.into_std()));
    let before = describes(&client.fake);
    discovery.ready(begun).await.expect("listed");
    assert_eq!(describes(&client.fake), before, "what is known is not asked for again");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_followers_cost_what_one_does() {
    let client = Client::new();
    let followers: Vec<_> = (0..100).map(|_| discover(&client)).collect();
    let since = Instant::now();
    futures::future::try_join_all(followers.iter().map(|discovery| discovery.ready(since)))
        .await
        .expect("listed");
    assert_eq!(describes(&client.fake), 1);

    let children = client.fake.split(&client.shard, Split::default());
    followers.iter().for_each(|discovery| discovery.ended(&client.shard.shard));
    futures::future::join_all(followers.iter().map(|discovery| async {
        until(discovery, seconds(2), |catalog| catalog.children_known(&client.shard.shard).complete)
            .await
    }))
    .await;
    assert_eq!(ids(&known(&followers[0], &client.shard)), names(&children));
    assert_eq!(describes(&client.fake), 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_listed_late_is_found_by_bounded_looks() {
    let client = Client::new();
    let discovery = ready(&client).await;
    let children = client.fake.split(&client.shard, LATE);
    discovery.ended(&client.shard.shard);
    let looked =
        until(&discovery, seconds(1), |catalog| catalog.children_known(&client.shard.shard).looked)
            .await;
    assert!(looked < Duration::from_millis(100), "{looked:?}");
    assert!(
        !known(&discovery, &client.shard).complete
            && known(&discovery, &client.shard).shards.is_empty()
    );
    let found = until(&discovery, seconds(10), |catalog| {
        catalog.children_known(&client.shard.shard).complete
    })
    .await;
    assert!(found < seconds(5), "{found:?}");
    assert_eq!(ids(&known(&discovery, &client.shard)), names(&children));
    assert!(looks_for(&client.fake, &client.shard) <= 6);
    let looks = looks_for(&client.fake, &client.shard);
    pass(minutes(5)).await;
    assert_eq!(looks_for(&client.fake, &client.shard), looks, "what is found is not looked for");
}

#[tokio::test(start_paused = true)]
async fn a_child_listed_after_the_last_look_is_found_by_the_heartbeat() {
    let client = Client::new();
    let discovery = ready(&client).await;
    let children =
        client.fake.split(&client.shard, Split { listed_after: seconds(100), ..Split::default() });
    discovery.ended(&client.shard.shard);
    until(&discovery, minutes(3), |catalog| catalog.children_known(&client.shard.shard).complete)
        .await;
    assert_eq!(ids(&known(&discovery, &client.shard)), names(&children));
    assert_eq!(looks_for(&client.fake, &client.shard), 7);
}

#[tokio::test(start_paused = true)]
async fn an_only_child_gets_one_more_look_and_is_all_when_listings_have_settled() {
    let client = Client::new();
    let discovery = ready(&client).await;
    client.fake.split(&client.shard, Split { children: 1, ..Split::default() });
    discovery.ended(&client.shard.shard);
    pass(minutes(4)).await;
    assert_eq!(looks_for(&client.fake, &client.shard), 2);
    assert!(!known(&discovery, &client.shard).complete, "another may come");
    pass(seconds(130)).await;
    assert!(known(&discovery, &client.shard).complete);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_stream_has_no_more_children() {
    let client = Client::new();
    let discovery = ready(&client).await;
    client.fake.disable(&client.shard.stream);
    discovery.ended(&client.shard.shard);
    until(&discovery, seconds(1), |catalog| catalog.children_known(&client.shard.shard).complete)
        .await;
    pass(seconds(30)).await;
    assert_eq!(looks_for(&client.fake, &client.shard), 1);
    let status =
        discovery.read(|catalog| catalog.description().and_then(|description| description.status));
    assert_eq!(status, Some(StreamStatus::Disabled));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_know_child_shards_is_listed_instead() {
    let client = Client::new();
    client.fake.set_traits(|traits| traits.child_shards = false);
    let discovery = ready(&client).await;
    let children = client.fake.split(&client.shard, LATE);
    discovery.ended(&client.shard.shard);
    until(&discovery, seconds(5), |catalog| catalog.children_known(&client.shard.shard).complete)
        .await;
    assert_eq!(ids(&known(&discovery, &client.shard)), names(&children));
    assert_eq!(looks_for(&client.fake, &client.shard), 0);
    assert!(describes(&client.fake) < 9, "{}", describes(&client.fake));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_refuses_child_shards_is_listed_instead() {
    let client = Client::new();
    let discovery = ready(&client).await;
    let children = client.fake.split(&client.shard, LATE);
    client.fake.script_listing(Operation::DescribeStream, [Answer::Fail(Fault::Invalid)]);
    discovery.ended(&client.shard.shard);
    until(&discovery, seconds(5), |catalog| catalog.children_known(&client.shard.shard).complete)
        .await;
    assert_eq!(ids(&known(&discovery, &client.shard)), names(&children));
    assert_eq!(looks_for(&client.fake, &client.shard), 1);
    assert!(discovery.read(|catalog| catalog.outage().is_none()));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_answers_everything_to_child_shards_is_asked_once() {
    let (client, shards) = wide(250);
    client.fake.listing(|listing| listing.children = ChildShards::Ignored);
    let discovery = ready(&client).await;
    let children =
        client.fake.split(&shards[3], Split { listed_after: seconds(1), ..Split::default() });
    discovery.ended(&shards[3].shard);
    until(&discovery, seconds(20), |catalog| catalog.children_known(&shards[3].shard).complete)
        .await;
    assert_eq!(ids(&known(&discovery, &shards[3])), names(&children));
    assert_eq!(looks_for(&client.fake, &shards[3]), 3, "three pages, once");
    let strangers = shards.iter().filter(|shard| known(&discovery, shard).shards.len() > 2).count();
    assert_eq!(strangers, 0);
}

#[tokio::test(start_paused = true)]
async fn the_row_of_the_shard_itself_tells_that_it_is_closed() {
    let client = Client::new();
    client.fake.listing(|listing| listing.children = ChildShards::Itself);
    let discovery = ready(&client).await;
    client.fake.split(&client.shard, Split::default());
    discovery.ended(&client.shard.shard);
    until(&discovery, seconds(1), |catalog| {
        catalog.graph().get(&client.shard.shard).is_some_and(|shard| shard.is_closed())
    })
    .await;
    assert_eq!(describes(&client.fake), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_ends_at_once_cost_listings_and_not_a_call_each() {
    let (client, shards) = wide(1_000);
    let discovery = ready(&client).await;
    let before = describes(&client.fake);
    for shard in &shards {
        client
            .fake
            .split(shard, Split { children: 1, listed_after: seconds(1), ..Split::default() });
        discovery.ended(&shard.shard);
    }
    let all = |catalog: &Catalog| {
        shards.iter().all(|shard| !catalog.children_known(&shard.shard).shards.is_empty())
    };
    let took = until(&discovery, minutes(2), all).await;
    let calls = describes(&client.fake) - before;
    assert!(calls <= 60, "{calls} calls");
    assert!(took < seconds(20), "{took:?}");
    pass(minutes(2)).await;
    let alone = client.fake.all_calls().into_iter().filter(|call| is_look(&call.asked)).count();
    assert!(alone <= 10, "{alone} calls for single shards");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_shards_are_listed_inside_the_budget() {
    let (client, shards) = wide(10_000);
    let begun = client.fake.now();
    let discovery = ready(&client).await;
    assert_eq!(discovery.read(|catalog| catalog.graph().len()), 10_000);
    // While a long listing runs, an end is still looked for at once.
    let next = discovery.read(Catalog::listed_at);
    let children = client.fake.split(&shards[5_000], Split::default());
    let relisting = discovery.ready(Instant::now());
    tokio::pin!(relisting);
    let _ = tokio::time::timeout(seconds(4), relisting.as_mut()).await;
    discovery.ended(&shards[5_000].shard);
    until(&discovery, seconds(2), |catalog| catalog.children_known(&shards[5_000].shard).complete)
        .await;
    assert_eq!(discovery.read(Catalog::listed_at), next, "the listing is still running");
    assert_eq!(ids(&known(&discovery, &shards[5_000])), names(&children));
    relisting.await.expect("listed");

    let took = (client.fake.now() - begun).as_secs_f64();
    let (calls, budget) =
        (describes(&client.fake), Limits::default().reading.describe_calls_per_second);
    assert!(calls as f64 <= (took + 1.0) * budget, "{calls} calls in {took} s");
    assert_eq!(calls, 202);
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_is_slow_and_slower_with_more_pages() {
    for (shards, most) in [(1, 61), (1_000, 620), (2_500, 25 * 37)] {
        let (client, _) = wide(shards);
        let discovery = ready(&client).await;
        let before = describes(&client.fake);
        pass(hours(1)).await;
        let calls = describes(&client.fake) - before;
        assert!(calls <= most && calls >= most / 2, "{calls} calls an hour over {shards} shards");
        drop(discovery);
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_heals_and_is_told_meanwhile() {
    let client = Client::new();
    let discovery = ready(&client).await;
    client.fake.listing(|listing| listing.faults = Rates { throttle: 1.0, ..Rates::NONE });
    let children = client.fake.split(&client.shard, Split::default());
    let before = describes(&client.fake);
    discovery.ended(&client.shard.shard);
    pass(minutes(2)).await;
    let trouble = discovery.read(|catalog| catalog.outage().map(|error| error.class));
    assert_eq!(trouble, Some(ErrorClass::Throttled));
    let calls = describes(&client.fake) - before;
    assert!((10..40).contains(&calls), "{calls} calls in two minutes of trouble");

    let error = discovery.ready(Instant::now()).await.expect_err("throttled");
    assert!(matches!(error, ListingError::Upstream(error) if error.class == ErrorClass::Throttled));

    client.fake.listing(|listing| listing.faults = Rates::NONE);
    until(&discovery, seconds(11), |catalog| catalog.children_known(&client.shard.shard).complete)
        .await;
    assert_eq!(ids(&known(&discovery, &client.shard)), names(&children));
    assert!(discovery.read(|catalog| catalog.outage().is_none()));
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_the_upstream_fails_is_told_soon() {
    let client = Client::new();
    client.fake.listing(|listing| listing.faults = Rates { denied: 1.0, ..Rates::NONE });
    let discovery = discover(&client);
    discovery.ready(Instant::now()).await.expect_err("denied");
    pass(minutes(3)).await;
    for _ in 0..20 {
        let begun = Instant::now();
        discovery.ready(begun).await.expect_err("denied");
        assert!(begun.elapsed() < Duration::from_millis(1_200), "{:?}", begun.elapsed());
    }
    client.fake.listing(|listing| listing.faults = Rates::NONE);
    discovery.ready(Instant::now()).await.expect("listed");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_is_given_up() {
    let client = Client::new();
    let discovery = ready(&client).await;
    client.fake.script_listing(
        Operation::DescribeStream,
        [Answer::Fail(Fault::Hang), Answer::Fail(Fault::Hang)],
    );
    client.fake.split(&client.shard, Split::default());
    discovery.ended(&client.shard.shard);
    until(&discovery, seconds(130), |catalog| catalog.children_known(&client.shard.shard).complete)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_deleted_is_gone() {
    let client = Client::new();
    let discovery = ready(&client).await;
    client.fake.delete_stream(&client.shard.stream);
    until(&discovery, seconds(90), Catalog::is_gone).await;
    let before = describes(&client.fake);
    assert!(matches!(discovery.ready(Instant::now()).await, Err(ListingError::StreamNotFound(_))));
    discovery.ended(&client.shard.shard);
    pass(hours(1)).await;
    assert!(describes(&client.fake) - before <= 62, "still looked at by the heartbeat, no more");
    assert!(
        discovery.read(|catalog| catalog.graph().get(&client.shard.shard).is_some()),
        "what was known stays known"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_known_is_told() {
    let client = Client::new();
    client.fake.delete_stream(&client.shard.stream);
    let discovery = discover(&client);
    assert!(matches!(discovery.ready(Instant::now()).await, Err(ListingError::StreamNotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_being_made_is_not_ready() {
    let client = Client::new();
    client.fake.set_status(&client.shard.stream, StreamStatus::Enabling);
    let discovery = discover(&client);
    let not_ready = discovery.ready(Instant::now()).await;
    assert_eq!(not_ready, Err(ListingError::NotReady(client.shard.stream.clone())));
    client.fake.set_status(&client.shard.stream, StreamStatus::Enabled);
    discovery.ready(Instant::now()).await.expect("listed");
}

#[tokio::test(start_paused = true)]
async fn the_survey_ends_when_nobody_follows() {
    let client = Client::new();
    let discovery = ready(&client).await;
    let before = describes(&client.fake);
    drop(discovery);
    pass(seconds(20)).await;
    let discovery = self::discover(&client);
    assert!(discovery.read(|catalog| catalog.listed_at().is_some()), "remembered for a while");
    drop(discovery);
    pass(hours(2)).await;
    assert_eq!(describes(&client.fake), before, "nothing is asked for nobody");
    let discovery = self::discover(&client);
    assert!(discovery.read(|catalog| catalog.listed_at().is_none()));
    client.server.clone().shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn shards_that_come_and_go_for_weeks_are_forgotten() {
    let client = Client::new();
    client.fake.behave_all(|behaviour| behaviour.keep = Some(hours(24)));
    let discovery = ready(&client).await;
    let mut shard = client.shard.clone();
    for _ in 0..6 * 14 {
        pass(hours(4)).await;
        discovery.ended(&shard.shard);
        shard = client.fake.split(&shard, Split { children: 1, ..Split::default() }).remove(0);
        client.fake.write(&shard, 1);
    }
    pass(minutes(2)).await;
    let (known, listed) = discovery.read(|catalog| {
        let listed = catalog
            .graph()
            .shards()
            .filter(|shard| catalog.is_listed(&shard.id) == Some(true))
            .count();
        (catalog.graph().len(), listed)
    });
    assert!(known <= 20 && listed <= 9, "{known} known, {listed} listed");
    assert!(discovery.read(|catalog| !catalog.is_ended(&client.shard.shard)));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_one_listing_lacks_is_listed_again() {
    let client = Client::new();
    let discovery = ready(&client).await;
    client.fake.set_unlisted(&client.shard, true);
    discovery.ready(Instant::now()).await.expect("listed");
    assert!(discovery.read(|catalog| catalog.is_listed(&client.shard.shard) == Some(false)
        && catalog.graph().len() == 1));
    client.fake.set_unlisted(&client.shard, false);
    discovery.ready(Instant::now()).await.expect("listed");
    assert!(discovery.read(|catalog| catalog.is_listed(&client.shard.shard) == Some(true)));
}

#[tokio::test(start_paused = true)]
async fn after_a_stream_comes_the_oldest_newer_one_of_its_table() {
    let client = Client::new();
    let listings = client.server.context.hub.listings();
    assert_eq!(listings.next_stream(&client.resolved()).await, Ok(None));
    client.fake.add_stream("Others");
    pass(seconds(5)).await;
    let next = client.fake.add_stream("Orders");
    pass(seconds(5)).await;
    client.fake.add_stream("Orders");
    let found = listings.next_stream(&client.resolved()).await.expect("listed");
    assert_eq!(found.as_ref().map(ResolvedStream::arn), Some(&next));
    client.fake.listing(|listing| listing.faults = Rates { unavailable: 1.0, ..Rates::NONE });
    let error = listings.next_stream(&client.resolved()).await.expect_err("down");
    let ListingError::Upstream(error) = error else { panic!("{error}") };
    assert_eq!(error.class, ErrorClass::Unavailable);
}
