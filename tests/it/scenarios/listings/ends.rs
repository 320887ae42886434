//! Only an absent last key ends a listing; one that never ends is given up, and one that fails is
//! told.

use std::collections::BTreeMap;
use std::time::Duration;

use shardstream::grpc::generated::stream_service_server::StreamService as _;
use shardstream::grpc::stream_service::StreamApi;
use shardstream::hub::NamedStream;
use shardstream::limits::Limits;
use shardstream::model::{Shard, StreamStatus};
use shardstream::pb;
use shardstream::upstream::{DescribePage, Operation, StreamsPage};
use tonic::{Code, Request};

use crate::sim::fake::{Answer, FakeUpstream, Fault, Rates, ShardRef, Split};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Start, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{Client, hours, minutes, pass, refused, seconds};
use crate::support::watcher::Watcher;

/// A stream of so many open shards.
fn wide(shards: usize) -> (Client, Vec<ShardRef>) {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let shards: Vec<_> = (0..shards).map(|_| fake.add_shard(&stream, None)).collect();
    (Client::over(fake, shards[0].clone(), |_| {}), shards)
}

/// A page of a listing with these shards, and the key behind which it says that more follows.
fn page(fake: &FakeUpstream, shards: &[ShardRef], last: Option<&ShardRef>) -> Answer {
    let all = fake.listed(&shards[0].stream);
    let row = |shard: &ShardRef| {
        all.shards.iter().find(|row| row.id == shard.shard).expect("listed").clone()
    };
    let shards: Vec<Shard> = shards.iter().map(row).collect();
    Answer::Describe(DescribePage {
        shards,
        last_evaluated: last.map(|last| last.shard.clone()),
        ..all
    })
}

fn hollow(fake: &FakeUpstream, last: &ShardRef) -> Answer {
    let all = fake.listed(&last.stream);
    Answer::Describe(DescribePage {
        shards: vec![],
        last_evaluated: Some(last.shard.clone()),
        ..all
    })
}

async fn watch(fake: &FakeUpstream, server: &InProcess, start: Start) -> Watcher {
    let wish = Wish { heartbeat: seconds(5), ..Wish::default() };
    Watcher::start(server, fake, &wish, start).await
}

/// The reasons that heartbeats told, each once in a row.
fn told(watcher: &Watcher) -> Vec<String> {
    let beats = watcher.messages.iter().filter_map(|message| match &message.what {
        What::Heartbeat { upstream_error, .. } => Some(upstream_error.clone()),
        _ => None,
    });
    let mut told: Vec<_> = beats.collect();
    told.dedup();
    told
}

#[tokio::test(start_paused = true)]
async fn a_page_without_shards_does_not_end_a_listing() {
    // An empty page may say that it ends where the one before it did, or further on.
    for further in [1, 2] {
        let (client, shards) = wide(6);
        let fake = &client.fake;
        let script = [
            page(fake, &shards[..2], Some(&shards[1])),
            hollow(fake, &shards[further]),
            page(fake, &shards[2..], None),
        ];
        fake.script_listing(Operation::DescribeStream, script.clone());
        assert_eq!(client.list_shards("").await.expect("a page").shards.len(), 6);

        fake.script_listing(Operation::DescribeStream, script);
        for shard in &shards {
            fake.write(shard, 1);
        }
        pass(seconds(10)).await;
        let mut watcher = watch(fake, &client.server, Start::Horizon).await;
        watcher.settle(seconds(10)).await;
        assert_eq!(
            watcher.records(),
            (0..6).map(|shard| (shard, vec![0])).collect::<BTreeMap<_, _>>()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_listing_may_have_many_empty_pages() {
    // Empty pages end where the one before did; there are more of them than of any listing that
    // stands.
    let (client, shards) = wide(60);
    let fake = &client.fake;
    let pages = shards
        .chunks(2)
        .flat_map(|pair| [page(fake, pair, Some(&pair[1])), hollow(fake, &pair[1])]);
    let script: Vec<Answer> = pages.chain([page(fake, &shards[58..], None)]).collect();
    fake.script_listing(Operation::DescribeStream, script);
    assert_eq!(client.list_shards("").await.expect("a page").shards.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_of_streams_does_not_end_their_listing() {
    let client = Client::new();
    let before = client.fake.add_stream("Others");
    let last_evaluated = Some(before.to_string());
    let hollow = Answer::Streams(StreamsPage { last_evaluated, ..StreamsPage::default() });
    client.fake.script_listing(Operation::ListStreams, [hollow.clone(), hollow, Answer::Pass]);
    let named = NamedStream::parse("Unders").expect("a name");
    let later = client.fake.add_stream("Unders");
    let resolved = client.server.context.hub.listings().resolve(&named).await.expect("listed");
    assert_eq!(resolved.arn(), &later);
}

#[tokio::test(start_paused = true)]
async fn pages_of_streams_that_lead_nowhere_are_given_up_and_told() {
    let client = Client::new();
    let api = StreamApi::new(client.server.context.clone());
    client.fake.listing(|listing| listing.endless = true);
    let (mut page_token, mut pages) = (String::new(), 0);
    let told = loop {
        let request =
            pb::ListStreamsRequest { page_token: page_token.clone(), ..Default::default() };
        match api.list_streams(Request::new(request)).await {
            Ok(page) => page_token = page.into_inner().next_page_token,
            Err(status) => break status,
        }
        pages += 1;
        assert!(!page_token.is_empty() && pages < 10, "{pages} pages");
    };
    refused::<()>(Err(told), Code::Unavailable, "UPSTREAM_UNAVAILABLE");
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_an_end_is_given_up_and_told() {
    let (client, _) = wide(3);
    client.fake.listing(|listing| listing.endless = true);
    refused(client.list_shards("").await, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
    let asked = client.fake.calls(Operation::DescribeStream);
    assert!(asked < 30, "{asked} calls");
    let names = client
        .server
        .context
        .hub
        .listings()
        .resolve(&NamedStream::parse("Orders").expect("a name"))
        .await;
    assert!(names.is_err(), "{names:?}");
    assert!(client.fake.calls(Operation::ListStreams) < 30);
}

#[tokio::test(start_paused = true)]
async fn listings_that_are_denied_are_told_while_shards_flow_and_end_the_subscription() {
    for endless in [false, true] {
        let client = Client::new();
        let fake = &client.fake;
        let mut watcher = watch(fake, &client.server, Start::Horizon).await;
        watcher.settle(seconds(20)).await;
        assert_eq!(told(&watcher), [""]);
        fake.listing(|listing| match endless {
            true => listing.endless = true,
            false => listing.faults = Rates { denied: 1.0, ..Rates::NONE },
        });
        // One that lacks its rights does not notice by the children of shards that end, where those
        // are told.
        let reason = if endless { "UPSTREAM_UNAVAILABLE" } else { "UPSTREAM_ACCESS_DENIED" };
        for _ in 0..6 {
            fake.write(&client.shard, 1);
            watcher.settle(seconds(15)).await;
        }
        assert_eq!(told(&watcher), ["", reason], "and records flow all the time");
        for _ in 0..60 {
            if watcher.end().is_some() {
                break;
            }
            fake.write(&client.shard, 1);
            watcher.settle(seconds(6)).await;
        }
        assert_eq!(watcher.end(), Some(EndReason::Upstream));
        assert!(watcher.records()[&0].len() > 20, "they did: {:?}", watcher.records());
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_heals_is_told_no_more() {
    let client = Client::new();
    let fake = &client.fake;
    let mut watcher = watch(fake, &client.server, Start::Horizon).await;
    watcher.settle(seconds(10)).await;
    fake.listing(|listing| listing.faults = Rates { denied: 1.0, ..Rates::NONE });
    watcher.settle(minutes(3)).await;
    fake.listing(|listing| listing.faults = Rates::NONE);
    watcher.settle(minutes(5)).await;
    assert_eq!(told(&watcher), ["", "UPSTREAM_ACCESS_DENIED", ""]);
    assert_eq!(watcher.end(), None);
}

#[tokio::test(start_paused = true)]
async fn a_next_stream_that_cannot_be_looked_for_is_told_and_ends_the_subscription() {
    let client = Client::new();
    let fake = &client.fake;
    let wish = Wish { stream: "Orders".into(), heartbeat: seconds(5), ..Wish::default() };
    let mut watcher = Watcher::start(&client.server, fake, &wish, Start::Horizon).await;
    watcher.settle(seconds(10)).await;
    fake.script_listing(Operation::ListStreams, vec![Answer::Fail(Fault::Denied); 200]);
    fake.disable(&client.shard.stream);
    watcher.settle(minutes(10)).await;
    assert_eq!(told(&watcher), ["", "UPSTREAM_ACCESS_DENIED"]);
    assert_eq!(watcher.end(), Some(EndReason::Upstream));
}

/// A parent that is read to its end, with a child; the listings lack the parent for so long.
async fn orphaned(lacking: Duration) -> Watcher {
    let (fake, parent) = FakeUpstream::with_shard(1);
    fake.write(&parent, 3);
    let child = fake.split(&parent, Split { children: 1, ..Split::default() }).remove(0);
    fake.write(&child, 2);
    let grandchild = fake.split(&child, Split { children: 1, ..Split::default() }).remove(0);
    fake.write(&grandchild, 2);
    pass(minutes(1)).await;
    fake.hide(&parent, lacking);
    let server = InProcess::new(&fake, Limits::default(), 1);
    let mut watcher = watch(&fake, &server, Start::Horizon).await;
    watcher.settle(minutes(3)).await;
    watcher
}

#[tokio::test(start_paused = true)]
async fn a_young_parent_that_one_listing_lacks_is_waited_for() {
    let order = orphaned(seconds(1)).await.order();
    assert_eq!(order, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_two_listings_lack_is_not_waited_for() {
    let watcher = orphaned(minutes(30)).await;
    assert_eq!(watcher.order(), [(1, 0), (1, 1), (2, 0), (2, 1)]);
    let first = watcher
        .messages
        .iter()
        .find(|message| matches!(message.what, What::Records { .. }))
        .expect("records");
    assert!(first.at < minutes(1) + seconds(5), "{:?}", first.at);
}

#[tokio::test(start_paused = true)]
async fn a_family_that_is_found_without_its_parent_waits_while_others_flow() {
    let client = Client::new();
    let fake = &client.fake;
    let mut watcher = watch(fake, &client.server, Start::Horizon).await;
    watcher.settle(seconds(10)).await;
    // Born together and listed without the parent at first; nothing that ended leads there.
    let parent = fake.add_shard(&client.shard.stream, None);
    fake.write(&parent, 2);
    let child = fake.split(&parent, Split { children: 1, ..Split::default() }).remove(0);
    fake.write(&child, 2);
    fake.script_listing(
        Operation::DescribeStream,
        [page(fake, &[client.shard.clone(), child], None)],
    );
    watcher.settle(minutes(3)).await;
    assert_eq!(watcher.order(), [(1, 0), (1, 1), (2, 0), (2, 1)]);
    let status = client
        .server
        .context
        .hub
        .discover(&client.resolved())
        .read(|catalog| catalog.description().and_then(|known| known.status));
    assert_eq!(status, Some(StreamStatus::Enabled));
}

#[tokio::test(start_paused = true)]
async fn a_family_that_waits_for_its_parent_is_no_tip_and_in_the_token() {
    let client = Client::new();
    let fake = &client.fake;
    let mut watcher = watch(fake, &client.server, Start::Horizon).await;
    watcher.settle(seconds(10)).await;
    let parent = fake.add_shard(&client.shard.stream, None);
    let child = fake.split(&parent, Split { children: 1, ..Split::default() }).remove(0);
    // Listed without its parent, and then nothing is listed for a while.
    let without = page(fake, &[client.shard.clone(), child.clone()], None);
    fake.script_listing(Operation::DescribeStream, [without]);
    fake.listing(|listing| listing.faults = Rates { unavailable: 1.0, ..Rates::NONE });
    let known = watcher.messages.len();
    watcher.settle(minutes(2)).await;
    let mut tips = watcher.messages[known..].iter().filter_map(|message| match message.what {
        What::Heartbeat { at_tip, .. } => Some(at_tip),
        _ => None,
    });
    assert_eq!(tips.next_back(), Some(false), "a shard that is not begun is listed");
    let token = watcher.token();
    drop(watcher);
    fake.listing(|listing| listing.faults = Rates::NONE);
    fake.write(&child, 2);
    pass(hours(30)).await;
    for shard in [&parent, &child] {
        fake.set_gone(shard, true);
        fake.set_unlisted(shard, true);
    }
    let elsewhere = InProcess::new(fake, Limits::default(), 2);
    let mut resumed = watch(fake, &elsewhere, Start::Token(token, vec![])).await;
    resumed.settle(minutes(3)).await;
    assert!(
        resumed.gaps().iter().any(|gap| gap.shard == child.shard.to_string()),
        "{:?}",
        resumed.gaps()
    );
}
