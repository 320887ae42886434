//! What was lost is told, and only that: by when AWS last gave a place, not by when a client asked
//! for it.

use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::upstream::Operation;
use tonic::Code;

use crate::sim::fake::{Answer, FakeUpstream, Fault, ShardRef, Split, Writing};
use crate::sim::history::subscribed::{Cause, Message, Start, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{
    At, Client, at, detail, horizon, hours, indexes, minutes, pass, refused, seconds, since, token,
};
use crate::support::watcher::Watcher;

const QUIET: Duration = Duration::from_secs(60);

/// A record for each of these ages in hours, oldest first.
fn write_aged(fake: &FakeUpstream, shard: &ShardRef, ages: &[u64]) {
    for age in ages {
        fake.write_with(shard, Writing { count: 1, ago: hours(*age), ..Writing::default() });
    }
}

/// An open shard that was made `age` hours ago, with a record for each of `ages`.
fn aged(fake: &FakeUpstream, parent: Option<&ShardRef>, age: u64, ages: &[u64]) -> ShardRef {
    let stream = fake
        .shards()
        .first()
        .map_or_else(|| fake.add_stream("Orders"), |shard| shard.stream.clone());
    let shard = fake.add_old_shard(&stream, parent, hours(age));
    write_aged(fake, &shard, ages);
    shard
}

/// A server that looks seldom: hours are long.
fn server(fake: &FakeUpstream) -> InProcess {
    let mut limits = Limits::default();
    limits.reading.idle_poll_interval = seconds(20);
    InProcess::new(fake, limits, 1)
}

async fn watch(server: &InProcess, fake: &FakeUpstream, start: Start) -> Watcher {
    Watcher::start(server, fake, &Wish::default(), start).await
}

/// Keeps a lease for so many hours and does nothing else with it.
async fn idle(client: &Client, lease: &str, time: u64) {
    for _ in 0..2 * time {
        pass(minutes(30)).await;
        client.session(lease).await;
    }
}

/// The gap that a read is refused for is a possible one; its token.
#[track_caller]
fn possible(answer: Result<pb::GetRecordsResponse, tonic::Status>) -> String {
    let lost = refused(answer, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(
        (detail(&lost, "cause"), detail(&lost, "certain")),
        ("TRIMMED".into(), "false".into())
    );
    detail(&lost, "token")
}

#[tokio::test(start_paused = true)]
async fn what_is_trimmed_while_a_stream_token_sleeps_is_told() {
    let fake = FakeUpstream::new(1);
    let shard = aged(&fake, None, 21, &[20, 18, 16, 12, 6, 2]);
    let mut first = watch(&server(&fake), &fake, Start::Horizon).await;
    let undelivered = first.until(|what| matches!(what, What::ShardOpen { .. })).await.token;
    drop(first);
    pass(hours(10)).await;
    let mut again = watch(&server(&fake), &fake, Start::Token(undelivered.clone(), vec![])).await;
    again.settle(QUIET).await;
    let told: Vec<_> =
        again.gaps().into_iter().map(|gap| (gap.shard, gap.cause, gap.certain)).collect();
    assert_eq!(told, [(shard.shard.to_string(), Cause::Trimmed, false)]);
    assert_eq!(again.records(), [(0, vec![3, 4, 5])].into());
}

#[tokio::test(start_paused = true)]
async fn a_stream_token_that_sleeps_for_a_moment_or_over_young_shards_cries_no_loss() {
    for (age, ages, sleeps) in
        [(40, vec![23, 12, 1], minutes(5)), (2, vec![2, 1], hours(10)), (40, vec![], minutes(5))]
    {
        let fake = FakeUpstream::new(1);
        aged(&fake, None, age, &ages);
        let mut first = watch(&server(&fake), &fake, Start::Horizon).await;
        let undelivered = first.until(|what| matches!(what, What::ShardOpen { .. })).await.token;
        drop(first);
        pass(sleeps).await;
        let mut again = watch(&server(&fake), &fake, Start::Token(undelivered, vec![])).await;
        again.settle(QUIET).await;
        assert_eq!((again.gaps(), again.order().len()), (vec![], ages.len()), "{age}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_old_child_lost_while_its_parent_was_read_is_told() {
    let fake = FakeUpstream::new(1);
    let parent = aged(&fake, None, 22, &[21]);
    let child = aged(&fake, Some(&parent), 21, &[20, 18, 16, 12, 6, 2]);
    let mut live = watch(&server(&fake), &fake, Start::Horizon).await;
    live.settle(QUIET).await;
    assert_eq!(live.records(), [(0, vec![0])].into(), "the child waits");
    pass(hours(10)).await;
    fake.close(&parent);
    live.settle(minutes(2)).await;
    let told: Vec<_> =
        live.gaps().into_iter().map(|gap| (gap.shard, gap.cause, gap.certain)).collect();
    assert_eq!(told, [(child.shard.to_string(), Cause::Trimmed, false)]);
    assert_eq!(live.records()[&1], [3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn an_old_child_that_is_begun_soon_has_lost_nothing() {
    let fake = FakeUpstream::new(1);
    let parent = aged(&fake, None, 40, &[]);
    let child = aged(&fake, Some(&parent), 39, &[30, 20, 1]);
    fake.split(&child, Split { children: 1, ..Split::default() });
    fake.close(&parent);
    let mut live = watch(&server(&fake), &fake, Start::Horizon).await;
    live.settle(minutes(2)).await;
    assert_eq!((live.gaps(), live.records()), (vec![], [(1, vec![1, 2])].into()));
    assert_eq!(live.opened().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_old_stream_is_quiet_at_every_resume() {
    let fake = FakeUpstream::new(1);
    aged(&fake, None, 40, &[]);
    let mut live = watch(&server(&fake), &fake, Start::Horizon).await;
    for _ in 0..2 {
        live.settle(QUIET).await;
        pass(hours(9)).await;
        live.settle(QUIET).await;
        let token = live.token();
        drop(live);
        pass(hours(20)).await;
        live = watch(&server(&fake), &fake, Start::Token(token, vec![])).await;
    }
    assert_eq!(live.settle(QUIET).await.gaps(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_trimmed_under_an_idle_session_is_told() {
    let starts: [fn(&Client) -> At; 2] =
        [|_| horizon(), |client| since(client.fake.wall().minus(hours(19)))];
    for start in starts {
        let client = Client::old(hours(40));
        write_aged(&client.fake, &client.shard, &[20, 18, 16, 12, 6]);
        let lease = client.lease(start(&client)).await;
        idle(&client, &lease, 10).await;
        let behind = possible(client.get(&lease).await);
        assert_eq!(client.drain(At::Token(behind)).await.0, [3, 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_used_soon_begins_where_aws_says() {
    let client = Client::old(hours(40));
    write_aged(&client.fake, &client.shard, &[30, 20, 6]);
    let lease = client.lease(horizon()).await;
    pass(minutes(10)).await;
    assert_eq!(client.given(&lease).await, [1, 2]);
    let token = client.open(Some(horizon())).await.expect("opened").token;
    pass(minutes(10)).await;
    assert_eq!(client.elsewhere().drain(At::Token(token)).await.0, [1, 2], "and so does its token");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_when_aws_answers_however_long_that_takes() {
    let fake = FakeUpstream::new(1);
    let shard = aged(&fake, None, 40, &[23, 20, 6]);
    let client = Client::over(fake, shard, |limits| limits.streams.max_upstream_outage = hours(10));
    client.fake.script(
        &client.shard,
        Operation::GetShardIterator,
        vec![Answer::Fail(Fault::Throttle); 10_000],
    );
    let mut live = client.live(horizon()).await;
    let until = client.fake.now() + hours(2);
    while client.fake.now() < until {
        live.heartbeat().await;
    }
    client.fake.drop_script(&client.shard);
    assert_eq!(live.records(2).await.0, [1, 2], "the first one was never given");
}

#[tokio::test(start_paused = true)]
async fn the_place_behind_a_loss_is_no_safer_than_any() {
    let client = Client::old(hours(40));
    write_aged(&client.fake, &client.shard, &[20, 18, 16, 12, 6, 1]);
    let lease = client.lease(horizon()).await;
    idle(&client, &lease, 5).await;
    let behind = possible(client.get(&lease).await);
    pass(minutes(5)).await;
    assert_eq!(
        client.elsewhere().drain(token(&behind)).await.0,
        [1, 2, 3, 4, 5],
        "it is accepted by going on"
    );
    pass(hours(10)).await;
    let again = possible(client.elsewhere().read(token(&behind)).await);
    assert_eq!(client.elsewhere().drain(At::Token(again)).await.0, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn whoever_sleeps_behind_a_certain_loss_hears_of_the_next_one() {
    let client = Client::old(hours(40));
    write_aged(&client.fake, &client.shard, &[23, 22, 21, 12, 6]);
    let first =
        client.read_with(horizon(), |request| request.max_records = 1).await.expect("read").token;
    pass(hours(2)).await;
    let change =
        |request: &mut pb::StreamRecordsRequest| request.set_gap_policy(pb::GapPolicy::Continue);
    let elsewhere = client.elsewhere();
    let mut live = elsewhere.live_with(token(&first), change).await;
    let Some(pb::stream_records_response::Event::Gap(_)) = live.news().await.event else {
        panic!("no gap")
    };
    pass(hours(11)).await;
    let Some(pb::stream_records_response::Event::Gap(again)) = live.news().await.event else {
        panic!("no gap")
    };
    assert!(!again.certain);
    assert_eq!(live.records(1).await.0, [4]);
}

#[tokio::test(start_paused = true)]
async fn the_token_behind_a_loss_steps_back_on_no_server_that_still_holds_what_came_before() {
    let client = Client::old(hours(40));
    write_aged(&client.fake, &client.shard, &[23, 23, 23, 6]);
    let mut holds = client.live(horizon()).await;
    holds.records(4).await;
    let second =
        client.read_with(horizon(), |request| request.max_records = 2).await.expect("read").token;
    pass(hours(2)).await;
    let lost =
        refused(client.elsewhere().read(token(&second)).await, Code::OutOfRange, "RECORDS_TRIMMED");
    let behind = detail(&lost, "token");
    assert_eq!(client.drain(token(&behind)).await.0, [2, 3], "in memory");
    assert_eq!(
        client.elsewhere().drain(token(&behind)).await.0,
        [3],
        "and the loss is not told again"
    );
    pass(hours(23)).await;
    refused(client.elsewhere().read(token(&behind)).await, Code::OutOfRange, "RECORDS_TRIMMED");
}

#[tokio::test(start_paused = true)]
async fn what_another_server_still_holds_of_a_told_loss_comes_once_and_in_order() {
    let client = Client::old(hours(40));
    write_aged(&client.fake, &client.shard, &[23, 23, 23, 23, 6]);
    let mut holds = client.live(horizon()).await;
    holds.records(5).await;
    let second =
        client.read_with(horizon(), |request| request.max_records = 2).await.expect("read").token;
    pass(hours(2)).await;
    let change =
        |request: &mut pb::StreamRecordsRequest| request.set_gap_policy(pb::GapPolicy::Continue);
    let mut live = client.elsewhere().live_with(token(&second), change).await;
    let told = live.news().await;
    let Some(pb::stream_records_response::Event::Gap(_)) = told.event else { panic!("no gap") };
    // The token stands behind the last record that it covers, and no server passes over what it
    // has.
    let one = |request: &mut pb::GetRecordsRequest| request.max_records = 1;
    let here = client.read_with(token(&told.token), one).await.expect("read");
    let there = live.records(1).await;
    assert_eq!((indexes(&here.records), there.0), (vec![2], vec![4]));
    assert_eq!(client.drain(token(&here.token)).await.0, [3, 4], "and from there on");
    assert_eq!(
        client.drain(token(&there.1)).await.0,
        [0; 0],
        "who has passed it does not step back"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_search_by_time_has_passed_is_no_loss_when_it_is_trimmed() {
    let client = Client::old(hours(40));
    client.fake.set_traits(|traits| traits.at_timestamp = false);
    client.fake.behave(&client.shard, |behaviour| behaviour.page_records = 2);
    write_aged(&client.fake, &client.shard, &[23, 23, 23, 23, 1]);
    client.fake.script(
        &client.shard,
        Operation::GetRecords,
        [Answer::Pass, Answer::Fail(Fault::Trimmed)],
    );
    let client = Client::over(client.fake.clone(), client.shard.clone(), |_| {});
    assert_eq!(client.drain(since(client.fake.wall().minus(hours(2)))).await.0, [4]);
}

#[tokio::test(start_paused = true)]
async fn a_number_below_a_young_shards_first_is_its_beginning() {
    let client = Client::old(minutes(10));
    client.fake.write(&client.shard, 3);
    // As AWS words it: what it does not have at the lower end is trimmed.
    let refuse = || {
        client.fake.script(
            &client.shard,
            Operation::GetShardIterator,
            [Answer::Fail(Fault::Trimmed)],
        )
    };
    refuse();
    assert_eq!(indexes(&client.read(at(1)).await.expect("no loss").records), [0, 1, 2]);
    refuse();
    let other = client.elsewhere();
    let session = other.open(Some(at(1))).await.expect("opened");
    assert_eq!(other.given(&session.lease.expect("a lease").lease_id).await, [0, 1, 2]);
    refuse();
    assert_eq!(client.elsewhere().drain(At::Token(session.token)).await.0, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_number_below_an_old_shards_first_is_no_certain_loss() {
    let client = Client::old(hours(40));
    write_aged(&client.fake, &client.shard, &[30, 6]);
    client.fake.script(&client.shard, Operation::GetShardIterator, [Answer::Fail(Fault::Trimmed)]);
    let behind = possible(client.read(at(1)).await);
    assert_eq!(client.drain(At::Token(behind)).await.0, [1]);
    pass(seconds(1)).await;
}

/// Resumes from each message's token that comes before all gaps are told: which shards' losses come
/// then, in order.
async fn losses_from(fake: &FakeUpstream, messages: &[Message]) -> Vec<Vec<String>> {
    let mut all = vec![];
    for message in messages.iter().filter(|message| matches!(message.what, What::Gap(_))) {
        let mut again =
            watch(&server(fake), fake, Start::Token(message.token.clone(), vec![])).await;
        again.settle(QUIET).await;
        all.push(again.gaps().into_iter().map(|gap| gap.shard).collect());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_gap_hides_no_other_gap() {
    let fake = FakeUpstream::new(1);
    let shards: Vec<_> = (0..3).map(|_| aged(&fake, None, 1, &[1])).collect();
    let mut first = watch(&server(&fake), &fake, Start::Horizon).await;
    first.settle(QUIET).await;
    for shard in &shards {
        fake.write(shard, 1);
        fake.close(shard);
    }
    let token = first.token();
    drop(first);
    pass(hours(50)).await;
    let mut second = watch(&server(&fake), &fake, Start::Token(token, vec![])).await;
    second.settle(QUIET).await;
    let told: Vec<_> = second.gaps().into_iter().map(|gap| gap.shard).collect();
    assert_eq!(told.len(), 3);
    assert_eq!(
        losses_from(&fake, &second.messages).await,
        [told[1..].to_vec(), told[2..].to_vec(), vec![]]
    );
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_gap_hides_nothing_that_was_lost_with_a_replaced_stream() {
    let fake = FakeUpstream::new(1);
    let shards: Vec<_> = (0..3).map(|_| aged(&fake, None, 1, &[1])).collect();
    let stream = shards[0].stream.clone();
    let wish = Wish { stream: "Orders".into(), ..Wish::default() };
    let mut first = Watcher::start(&server(&fake), &fake, &wish, Start::Horizon).await;
    first.settle(QUIET).await;
    let token = first.token();
    drop(first);
    fake.delete_stream(&stream);
    let next = fake.add_stream("Orders");
    let shard = fake.add_shard(&next, None);
    fake.write(&shard, 2);
    let mut second = watch(&server(&fake), &fake, Start::Token(token, vec![])).await;
    second.settle(QUIET).await;
    let told: Vec<_> = second.gaps().into_iter().map(|gap| (gap.shard, gap.cause)).collect();
    assert!(
        told.len() == 3 && told.iter().all(|(_, cause)| *cause == Cause::StreamReplaced),
        "{told:?}"
    );
    let told: Vec<_> = told.into_iter().map(|(shard, _)| shard).collect();
    assert_eq!(
        losses_from(&fake, &second.messages).await,
        [told[1..].to_vec(), told[2..].to_vec(), vec![]]
    );
    assert_eq!(second.records().values().map(Vec::len).sum::<usize>(), 2);
}
