//! bloop's `Coordinator`, which follows whole streams: each of its defects mended.

use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::upstream::Operation;

use crate::sim::fake::{Answer, FakeUpstream, Fault, ShardRef, Split};
use crate::sim::history::EndReason;
use crate::sim::history::subscribed::{Start, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::sim::service::Service as _;
use crate::support::client::{hours, minutes, pass, seconds};
use crate::support::watcher::{Watcher, ordinal};

const QUIET: Duration = Duration::from_secs(20);

/// A server over one stream with so many roots.
fn stage(roots: usize) -> (FakeUpstream, InProcess, Vec<ShardRef>) {
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let shards = (0..roots).map(|_| fake.add_shard(&stream, None)).collect();
    let server = elsewhere(&fake);
    (fake, server, shards)
}

fn elsewhere(fake: &FakeUpstream) -> InProcess {
    InProcess::new(fake, Limits::default(), 1)
}

async fn watch(server: &InProcess, fake: &FakeUpstream, start: Start) -> Watcher {
    Watcher::start(server, fake, &Wish::default(), start).await
}

fn resume(token: &str) -> Start {
    Start::Token(token.into(), vec![])
}

fn counted(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[tokio::test(start_paused = true)]
async fn pages_of_one_shard_outlive_the_trouble_of_another() {
    let (fake, server, shards) = stage(2);
    fake.write(&shards[0], 3);
    fake.write(&shards[1], 3);
    for fault in [Fault::Expired, Fault::Throttle, Fault::Unavailable, Fault::Denied] {
        fake.script(&shards[1], Operation::GetRecords, [Answer::Fail(fault)]);
    }
    let mut watcher = watch(&server, &fake, Start::Horizon).await;
    watcher.settle(QUIET).await;
    assert_eq!(watcher.records(), [(0, counted(3)), (1, counted(3))].into());
}

#[tokio::test(start_paused = true)]
async fn trim_horizon_is_the_horizon_and_an_unknown_type_is_refused() {
    let (fake, server, shards) = stage(1);
    fake.write(&shards[0], 3);
    let mut watcher = watch(&server, &fake, Start::Horizon).await;
    assert_eq!(watcher.settle(QUIET).await.records(), [(0, counted(3))].into());

    use shardstream::grpc::generated::stream_service_server::StreamService as _;
    for kind in
        [pb::IteratorType::Unspecified as i32, pb::IteratorType::AtSequenceNumber as i32, 77]
    {
        let position = pb::Position { iterator_type: kind, ..Default::default() };
        let start = Some(pb::subscribe_request::Start::Position(position));
        let request = pb::SubscribeRequest { stream: "Orders".into(), start, ..Default::default() };
        let api = shardstream::grpc::stream_service::StreamApi::new(server.context.clone());
        let answer = api.subscribe(tonic::Request::new(request)).await.map(|_| ());
        assert_eq!(answer.expect_err("refused").code(), tonic::Code::InvalidArgument, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_is_a_time_whatever_its_zone() {
    let (fake, server, shards) = stage(2);
    fake.write(&shards[0], 2);
    pass(minutes(5)).await;
    let time = fake.wall();
    fake.write(&shards[0], 2);
    fake.write(&shards[1], 1);
    pass(seconds(5)).await;
    let mut watcher = watch(&server, &fake, Start::Since(time)).await;
    assert_eq!(watcher.settle(QUIET).await.records(), [(0, vec![2, 3]), (1, vec![0])].into());
}

#[tokio::test(start_paused = true)]
async fn a_finished_shard_is_not_read_again_after_a_start_elsewhere() {
    let (fake, server, shards) = stage(1);
    fake.write(&shards[0], 3);
    let child = fake.split(&shards[0], Split { children: 1, ..Split::default() }).remove(0);
    fake.write(&child, 1);
    let mut first = watch(&server, &fake, Start::Horizon).await;
    first.settle(QUIET).await;
    // A start by time on the same server, then its token: the finished parent is no part of it.
    pass(minutes(2)).await;
    let mut second = watch(&server, &fake, Start::Since(fake.wall())).await;
    second.settle(QUIET).await;
    fake.write(&child, 2);
    let mut third = watch(&server, &fake, resume(&second.token())).await;
    assert_eq!(third.settle(QUIET).await.records(), [(1, vec![1, 2])].into());
}

#[tokio::test(start_paused = true)]
async fn a_token_with_an_unfinished_parent_begins_the_child_after_it_and_once() {
    let (fake, server, shards) = stage(1);
    fake.write(&shards[0], 3);
    let child = fake.split(&shards[0], Split { children: 1, ..Split::default() }).remove(0);
    fake.write(&child, 2);
    let wish = Wish { records: 1, checkpoint: Duration::from_millis(100), ..Wish::default() };
    let mut watcher = Watcher::start(&server, &fake, &wish, Start::Horizon).await;
    watcher.settle(QUIET).await;
    assert_eq!(watcher.order(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]);
    // Whichever token it goes on from, the rest comes in order, and nothing of it twice.
    let mut seen = 0;
    for message in &watcher.messages {
        if let What::Records { records, .. } = &message.what {
            seen += records.len();
        }
        if message.token.is_empty() || matches!(message.what, What::End { .. }) {
            continue;
        }
        let mut again = watch(&elsewhere(&fake), &fake, resume(&message.token)).await;
        assert_eq!(again.settle(QUIET).await.order(), watcher.order()[seen..], "after {seen}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leaf_that_is_gone_leaves_its_living_child() {
    let (fake, server, shards) = stage(2);
    fake.write(&shards[0], 2);
    fake.write(&shards[1], 2);
    let mut watcher = watch(&server, &fake, Start::Horizon).await;
    watcher.settle(QUIET).await;
    let token = watcher.token();
    drop(watcher);
    // A1 closes and is gone a day later, A2 lives.
    let child = fake.split(&shards[0], Split { children: 1, ..Split::default() }).remove(0);
    pass(hours(25)).await;
    fake.write(&child, 2);
    fake.write(&shards[1], 1);
    let mut watcher = watch(&elsewhere(&fake), &fake, resume(&token)).await;
    watcher.settle(QUIET).await;
    assert_eq!(watcher.records(), [(1, vec![2]), (ordinal(&fake, &child), counted(2))].into());
    // What happened in A1 after the token nobody can know.
    assert!(watcher.gaps().iter().all(|gap| !gap.certain), "{:?}", watcher.gaps());
    assert!(
        watcher.gaps().iter().any(|gap| gap.shard == shards[0].shard.as_str()),
        "{:?}",
        watcher.gaps()
    );
}

#[tokio::test(start_paused = true)]
async fn children_that_are_listed_late_are_found() {
    for late in [10, 90, 280] {
        let (fake, server, shards) = stage(1);
        fake.write(&shards[0], 2);
        let mut watcher = watch(&server, &fake, Start::Horizon).await;
        watcher.settle(QUIET).await;
        let children =
            fake.split(&shards[0], Split { listed_after: seconds(late), ..Split::default() });
        for child in &children {
            fake.write(child, 2);
        }
        watcher.settle(minutes(6)).await;
        assert_eq!(
            watcher.records(),
            [(0, counted(2)), (1, counted(2)), (2, counted(2))].into(),
            "{late} s late"
        );
        assert_eq!(watcher.end(), None, "nor does it end meanwhile");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_closes_while_a_time_is_looked_for_has_children() {
    for knows in [true, false] {
        let (fake, server, shards) = stage(1);
        fake.set_traits(|traits| traits.at_timestamp = knows);
        fake.write(&shards[0], 5);
        pass(minutes(5)).await;
        let time = fake.wall();
        fake.behave(&shards[0], |shard| {
            (shard.latency, shard.page_records) = ((seconds(2), seconds(2)), 1)
        });
        let starting = watch(&server, &fake, Start::Since(time));
        let closing = async {
            // After the listing, before the looking ends.
            pass(seconds(3)).await;
            let child = fake.split(&shards[0], Split { children: 1, ..Split::default() }).remove(0);
            fake.write(&child, 3);
        };
        let (mut watcher, ()) = tokio::join!(starting, closing);
        assert_eq!(
            watcher.settle(minutes(2)).await.records(),
            [(1, counted(3))].into(),
            "AT_TIMESTAMP: {knows}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_changes_nothing_for_others() {
    let (fake, server, shards) = stage(1);
    fake.write(&shards[0], 2);
    let mut watcher = watch(&server, &fake, Start::Horizon).await;
    watcher.settle(QUIET).await;
    for (stream, token) in
        [("Elsewhere", watcher.token()), ("Orders", "not a token".into()), ("", "AAAA".into())]
    {
        let wish = Wish { stream: stream.into(), ..Wish::default() };
        let (code, _) = server.subscribe(&wish, resume(&token)).await.err().expect("refused");
        assert!(["INVALID_ARGUMENT", "NOT_FOUND"].contains(&code.as_str()), "{code}");
    }
    fake.write(&shards[0], 1);
    assert_eq!(watcher.settle(QUIET).await.records(), [(0, counted(3))].into());
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_iterator_is_refused_at_first_is_read_all_the_same() {
    let (fake, server, shards) = stage(1);
    fake.write(&shards[0], 1);
    let mut watcher = watch(&server, &fake, Start::Horizon).await;
    watcher.settle(QUIET).await;
    let child = fake.split(&shards[0], Split { children: 1, ..Split::default() }).remove(0);
    let refusals = [Fault::Throttle, Fault::Unavailable, Fault::Denied].map(Answer::Fail);
    fake.script(&child, Operation::GetShardIterator, refusals);
    fake.write(&child, 2);
    watcher.settle(minutes(1)).await;
    assert_eq!(watcher.records(), [(0, counted(1)), (1, counted(2))].into());
    let mut again = watch(&elsewhere(&fake), &fake, resume(&watcher.token())).await;
    assert_eq!(again.settle(QUIET).await.records(), [].into(), "and the token has it");
}

#[tokio::test(start_paused = true)]
async fn records_of_a_shard_keep_their_order_whatever_their_stamps() {
    use crate::sim::fake::Writing;
    let fake = FakeUpstream::new(1);
    let stream = fake.add_stream("Orders");
    let shards = [(); 2].map(|()| fake.add_old_shard(&stream, None, minutes(10)));
    for ago in [101, 100, 102, 60] {
        fake.write_with(&shards[0], Writing { ago: seconds(ago), ..Writing::default() });
    }
    fake.write_with(&shards[1], Writing { count: 2, ago: seconds(90), ..Writing::default() });
    let wish = Wish {
        by_time: true,
        records: 1,
        checkpoint: Duration::from_millis(100),
        ..Wish::default()
    };
    let mut watcher = Watcher::start(&elsewhere(&fake), &fake, &wish, Start::Horizon).await;
    watcher.settle(QUIET).await;
    assert_eq!(
        watcher.order(),
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (0, 3)],
        "heads only are compared"
    );
    let mut seen = 0;
    for message in &watcher.messages {
        if let What::Records { records, .. } = &message.what {
            seen += records.len();
        }
        if !message.token.is_empty() {
            let mut again =
                Watcher::start(&elsewhere(&fake), &fake, &wish, resume(&message.token)).await;
            assert_eq!(again.settle(QUIET).await.order(), watcher.order()[seen..], "after {seen}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_never_stops_the_others() {
    let (fake, server, shards) = stage(3);
    pass(seconds(30)).await;
    let mut watcher = watch(&server, &fake, Start::Latest).await;
    watcher.settle(minutes(40)).await;
    for shard in &shards {
        fake.expire_iterators(shard);
    }
    fake.write(&shards[1], 2);
    assert_eq!(watcher.settle(QUIET).await.records(), [(1, counted(2))].into());
    fake.write(&shards[2], 1);
    assert_eq!(watcher.settle(QUIET).await.records(), [(1, counted(2)), (2, counted(1))].into());
}

#[tokio::test(start_paused = true)]
async fn records_have_their_keys() {
    let (fake, server, shards) = stage(1);
    fake.write(&shards[0], 3);
    use futures::StreamExt as _;
    use prost::Message as _;
    use shardstream::grpc::generated::stream_service_server::StreamService as _;
    let api = shardstream::grpc::stream_service::StreamApi::new(server.context.clone());
    let until = Some(pb::Until { record_count: 3, ..Default::default() });
    let position =
        pb::Position { iterator_type: pb::IteratorType::TrimHorizon.into(), ..Default::default() };
    let start = Some(pb::subscribe_request::Start::Position(position));
    let request =
        pb::SubscribeRequest { stream: "Orders".into(), start, until, ..Default::default() };
    let messages: Vec<_> = api
        .subscribe(tonic::Request::new(request))
        .await
        .expect("let in")
        .into_inner()
        .collect()
        .await;
    let messages = messages.into_iter().map(|message| message.expect("no error").encode_to_vec());
    let read =
        |bytes: Vec<u8>| pb::SubscribeResponse::decode(&bytes[..]).expect("a message").records;
    let records: Vec<_> = messages.flat_map(read).collect();
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.key.contains_key("pk")), "{records:?}");
}

/// bloop's documents say one thing of a place behind the horizon and its code another. Here it is a
/// gap, then the shard's own oldest record.
#[tokio::test(start_paused = true)]
async fn a_place_behind_the_horizon_goes_on_at_the_horizon_and_says_so() {
    let (fake, server, shards) = stage(1);
    fake.write(&shards[0], 2);
    let mut watcher = watch(&server, &fake, Start::Horizon).await;
    watcher.settle(QUIET).await;
    fake.write(&shards[0], 3);
    let token = watcher.token();
    drop(watcher);
    pass(hours(25)).await;
    fake.write(&shards[0], 2);
    let mut watcher = watch(&elsewhere(&fake), &fake, resume(&token)).await;
    watcher.settle(QUIET).await;
    assert_eq!((watcher.gaps().len(), watcher.records()), (1, [(0, vec![5, 6])].into()));
    let wish = Wish { pass_gaps: false, ..Wish::default() };
    let mut failing = Watcher::start(&elsewhere(&fake), &fake, &wish, resume(&token)).await;
    failing.settle(QUIET).await;
    assert_eq!((failing.end(), failing.gaps().len()), (Some(EndReason::Gap), 1));
    let mut going_on =
        Watcher::start(&elsewhere(&fake), &fake, &wish, resume(&failing.token())).await;
    assert_eq!(
        going_on.settle(QUIET).await.records(),
        [(0, vec![5, 6])].into(),
        "one reconnect goes on"
    );
}
