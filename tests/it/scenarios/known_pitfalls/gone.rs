//! A shard that AWS says it does not have: in passing, or for good.

use std::time::Duration;

use shardstream::limits::Limits;
use shardstream::pb;
use shardstream::upstream::Operation;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::sim::fake::{Answer, FakeUpstream, Fault, Split};
use crate::sim::history::subscribed::{Message, Start, What, Wish};
use crate::sim::inprocess::InProcess;
use crate::support::client::{
    At, Client, Live, detail, horizon, hours, latest, minutes, pass, refused, seconds, token,
};
use crate::support::watcher::Watcher;

const CONTINUE: fn(&mut pb::StreamRecordsRequest) =
    |request| request.set_gap_policy(pb::GapPolicy::Continue);

/// A stream that has read three records, and then meets so many refusals.
async fn refused_in_passing(operation: Operation, times: usize) -> (Client, Live) {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let mut live = client.live_with(horizon(), CONTINUE).await;
    live.records(3).await;
    client.fake.expire_iterators(&client.shard);
    client.fake.script(&client.shard, operation, vec![Answer::Fail(Fault::NotFound); times]);
    (client, live)
}

/// Follows the stream, which has nothing but heartbeats to say for so long.
async fn beats_for(client: &Client, live: &mut Live, time: Duration) {
    let begun = client.fake.now();
    while client.fake.now() - begun < time {
        live.heartbeat().await;
    }
}

fn listings(client: &Client) -> Vec<std::time::Duration> {
    let calls = client.fake.all_calls().into_iter();
    calls
        .filter(|call| call.operation == Operation::DescribeStream)
        .map(|call| call.started)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_passing_ends_no_shard_that_is_listed() {
    for operation in [Operation::GetRecords, Operation::GetShardIterator] {
        for times in [1, 8] {
            let (client, mut live) = refused_in_passing(operation, times).await;
            client.fake.write(&client.shard, 2);
            let (records, token) = live.records(2).await;
            assert_eq!(records, [3, 4], "{operation:?} refused {times} times");
            client.fake.write(&client.shard, 1);
            assert_eq!(
                client.elsewhere().drain(At::Token(token)).await.0,
                [5],
                "the token goes on, too"
            );
            let (beat, _) = live.heartbeat().await;
            assert_eq!(beat.upstream_error, "", "over and forgotten");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_passing_does_not_move_a_latest_to_the_horizon() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    pass(seconds(10)).await;
    client.fake.script(&client.shard, Operation::GetShardIterator, [Answer::Fail(Fault::NotFound)]);
    let session = client.open(Some(latest())).await.expect("asked again inside");
    let lease = session.lease.expect("a lease").lease_id;
    client.fake.write(&client.shard, 1);
    assert_eq!(client.given(&lease).await, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_gone_when_two_listings_apart_from_each_other_do_not_have_it() {
    let (client, live) = refused_in_passing(Operation::GetRecords, 0).await;
    client.fake.set_gone(&client.shard, true);
    client.fake.set_unlisted(&client.shard, true);
    let (begun, known) = (client.fake.now(), listings(&client).len());
    let rest = live.rest().await;
    assert_eq!(
        (rest.gap().0, rest.end),
        (pb::GapCause::ShardExpired, Some(pb::EndReason::ShardEnd))
    );
    let asked = &listings(&client)[known..];
    assert!(asked.len() >= 2 && asked[1] - asked[0] >= seconds(10), "{asked:?}");
    assert!(client.fake.now() - begun < minutes(1), "and it is told soon");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_one_listing_misses_in_passing_is_not_gone() {
    let (client, mut live) = refused_in_passing(Operation::GetRecords, 0).await;
    client.fake.set_gone(&client.shard, true);
    client.fake.set_unlisted(&client.shard, true);
    pass(seconds(1)).await;
    live.heartbeat_that(|beat| !beat.upstream_error.is_empty()).await;
    client.fake.set_unlisted(&client.shard, false);
    pass(minutes(2)).await;
    client.fake.set_gone(&client.shard, false);
    client.fake.write(&client.shard, 1);
    assert_eq!(live.records(1).await.0, [3]);
}

#[tokio::test(start_paused = true)]
async fn listings_that_fail_prove_nothing() {
    let (client, mut live) = refused_in_passing(Operation::GetRecords, 0).await;
    client.fake.set_gone(&client.shard, true);
    client.fake.set_unlisted(&client.shard, true);
    client.fake.script_listing(Operation::DescribeStream, vec![Answer::Fail(Fault::Denied); 20]);
    beats_for(&client, &mut live, minutes(3)).await;
    client.fake.set_gone(&client.shard, false);
    client.fake.write(&client.shard, 1);
    assert_eq!(live.records(1).await.0, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_denied_shard_that_may_be_a_row_that_is_not_understood_is_not_gone() {
    let (client, mut live) = refused_in_passing(Operation::GetRecords, 0).await;
    client.fake.set_gone(&client.shard, true);
    client.fake.set_unlisted(&client.shard, true);
    client.fake.listing(|listing| listing.unreadable = 1);
    beats_for(&client, &mut live, minutes(3)).await;
    client.fake.set_gone(&client.shard, false);
    client.fake.write(&client.shard, 1);
    assert_eq!(live.records(1).await.0, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_listed_open_shard_that_cannot_be_read_ends_no_stream_before_patience_does() {
    let (client, live) = refused_in_passing(Operation::GetRecords, 0).await;
    client.fake.set_gone(&client.shard, true);
    let begun = client.fake.now();
    let rest = live.rest().await;
    assert_eq!(
        (rest.end, rest.events.len()),
        (Some(pb::EndReason::Upstream), 0),
        "{:?}",
        rest.events
    );
    assert!(client.fake.now() - begun >= minutes(5));
    client.fake.set_gone(&client.shard, false);
    client.fake.write(&client.shard, 1);
    assert_eq!(
        client.elsewhere().drain(At::Token(rest.token)).await.0,
        [3],
        "the token reads it again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_may_be_listed_for_longer_than_it_is_kept() {
    let client = Client::old(hours(25));
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    client.fake.set_gone(&client.shard, true);
    let rest = client.live_with(horizon(), CONTINUE).await.rest().await;
    assert_eq!(
        (rest.gap().0, rest.end),
        (pb::GapCause::ShardExpired, Some(pb::EndReason::ShardEnd))
    );
    let status = refused(client.open(Some(horizon())).await, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(detail(&status, "cause"), "SHARD_EXPIRED", "whoever asks while it is known");
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_is_not_gone_while_it_is_listed_and_must_still_hold_what_it_gave() {
    let client = Client::old(hours(25));
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let lease = client.lease(horizon()).await;
    let first = client.get_with(&lease, |request| request.max_records = 1).await.expect("read");
    client.fake.set_gone(&client.shard, true);
    client.fake.expire_iterators(&client.shard);
    let (here, elsewhere) = (client.on(&client.shard), client.elsewhere());
    let begun = client.fake.now();
    while client.fake.now() - begun < minutes(3) {
        refused(
            elsewhere.read(token(&first.token)).await,
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
        );
        pass(seconds(1)).await;
    }
    client.fake.set_gone(&client.shard, false);
    pass(minutes(1)).await;
    assert_eq!(elsewhere.drain(token(&first.token)).await.0, [1, 2]);
    assert_eq!(here.given(&lease).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_listed_shard_is_not_gone_for_refusals_among_other_failures() {
    let client = Client::old(hours(25));
    client.fake.write(&client.shard, 3);
    client.fake.close(&client.shard);
    let mixed = (0..60)
        .map(|call| Answer::Fail(if call % 3 == 0 { Fault::Unavailable } else { Fault::NotFound }));
    client.fake.script(&client.shard, Operation::GetShardIterator, mixed.collect::<Vec<_>>());
    let live = client.live_with(horizon(), CONTINUE).await;
    let over = async {
        pass(minutes(2)).await;
        client.fake.drop_script(&client.shard);
    };
    let (rest, ()) = tokio::join!(live.rest(), over);
    assert_eq!(
        (rest.records, rest.events.len(), rest.end),
        (vec![0, 1, 2], 1, Some(pb::EndReason::ShardEnd))
    );
}

/// A shard that was read as far as its first record, and is gone: who read it, and the stream's
/// token behind the loss.
async fn gone_behind_its_first_record() -> (Client, String, String) {
    let client = Client::old(hours(25));
    client.fake.behave(&client.shard, |behaviour| behaviour.page_records = 1);
    client.fake.write(&client.shard, 3);
    let lease = client.lease(horizon()).await;
    client.get_with(&lease, |request| request.max_records = 1).await.expect("read");
    let live = client.live_with(token(&client.session(&lease).await.token), CONTINUE).await;
    client.fake.set_gone(&client.shard, true);
    client.fake.set_unlisted(&client.shard, true);
    let rest = live.rest().await;
    assert_eq!(
        (rest.gap().0, rest.end),
        (pb::GapCause::ShardExpired, Some(pb::EndReason::ShardEnd))
    );
    (client, lease, rest.token)
}

#[tokio::test(start_paused = true)]
async fn the_token_behind_a_shard_that_is_gone_repeats_and_loses_nothing_should_it_come_back() {
    let (client, _, behind) = gone_behind_its_first_record().await;
    client.fake.set_gone(&client.shard, false);
    client.fake.set_unlisted(&client.shard, false);
    assert_eq!(client.elsewhere().drain(token(&behind)).await.0, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_read_of_a_shard_that_is_gone_has_no_place_behind_the_loss() {
    let (client, lease, _) = gone_behind_its_first_record().await;
    let status = refused(client.get(&lease).await, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(detail(&status, "cause"), "SHARD_EXPIRED");
    assert!(!status.get_details_error_info().expect("an ErrorInfo").metadata.contains_key("token"));
}

#[tokio::test(start_paused = true)]
async fn a_young_shard_that_a_listing_misses_is_not_gone_for_its_token() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let first =
        client.read_with(horizon(), |request| request.max_records = 1).await.expect("read").token;
    client.fake.set_unlisted(&client.shard, true);
    let elsewhere = client.elsewhere();
    refused(elsewhere.read(token(&first)).await, Code::Unavailable, "UPSTREAM_UNAVAILABLE");
    client.fake.set_unlisted(&client.shard, false);
    // That it was not listed is remembered for so long.
    pass(seconds(10)).await;
    assert_eq!(elsewhere.drain(token(&first)).await.0, [1, 2]);
}

/// Everybody follows the whole stream; its root gets children, and then calls fail so often.
async fn split_under_refusals(operation: Operation, times: usize) -> Watcher {
    let (fake, root) = FakeUpstream::with_shard(1);
    let server = InProcess::new(&fake, Limits::default(), 1);
    fake.write(&root, 2);
    let mut watcher = Watcher::start(&server, &fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(seconds(20)).await;
    let denied = vec![Answer::Fail(Fault::NotFound); times];
    match operation {
        Operation::DescribeStream | Operation::ListStreams => {
            fake.script_listing(operation, denied)
        }
        Operation::GetRecords | Operation::GetShardIterator => {
            fake.script(&root, operation, denied)
        }
    }
    fake.write(&root, 1);
    for child in fake.split(&root, Split { listed_after: seconds(30), ..Split::default() }) {
        fake.write(&child, 2);
    }
    watcher.settle(minutes(2)).await;
    watcher
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_passing_loses_a_subscription_nothing() {
    for (operation, times) in
        [(Operation::DescribeStream, 1), (Operation::DescribeStream, 4), (Operation::GetRecords, 3)]
    {
        let watcher = split_under_refusals(operation, times).await;
        assert_eq!(watcher.gaps(), [], "{operation:?}");
        assert_eq!(
            watcher.records(),
            [(0, vec![0, 1, 2]), (1, vec![0, 1]), (2, vec![0, 1])].into(),
            "{operation:?}"
        );
        assert_eq!(watcher.end(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_passing_does_not_replace_a_stream_that_is_resumed() {
    let (fake, root) = FakeUpstream::with_shard(1);
    let server = |seed| InProcess::new(&fake, Limits::default(), seed);
    fake.write(&root, 2);
    let mut watcher = Watcher::start(&server(1), &fake, &Wish::default(), Start::Horizon).await;
    watcher.settle(seconds(20)).await;
    let token = watcher.token();
    drop(watcher);
    fake.write(&root, 3);
    fake.disable(&root.stream);
    pass(minutes(1)).await;
    let next = fake.add_stream("Orders");
    fake.write(&fake.add_shard(&next, None), 2);
    fake.script_listing(Operation::DescribeStream, [Answer::Fail(Fault::NotFound)]);
    let mut resumed =
        Watcher::start(&server(2), &fake, &Wish::default(), Start::Token(token, vec![])).await;
    resumed.settle(minutes(1)).await;
    assert_eq!(resumed.gaps(), []);
    assert_eq!(resumed.records(), [(0, vec![2, 3, 4]), (1, vec![0, 1])].into());
}

/// Follows a whole stream, by a server of so much patience, and sees it deleted.
async fn deleted_under_a_subscription(patience: Duration) -> Watcher {
    let (fake, root) = FakeUpstream::with_shard(1);
    let mut limits = Limits::default();
    limits.streams.max_upstream_outage = patience;
    fake.write(&root, 2);
    let mut watcher =
        Watcher::start(&InProcess::new(&fake, limits, 1), &fake, &Wish::default(), Start::Horizon)
            .await;
    watcher.settle(seconds(20)).await;
    fake.delete_stream(&root.stream);
    watcher.settle(minutes(5)).await;
    watcher
}

/// A subscription by table goes on waiting for the next stream.
fn is_told_of(watcher: &Watcher) -> bool {
    let ended =
        watcher.messages.iter().any(|message| matches!(message.what, What::StreamEnd { .. }));
    ended && watcher.gaps().len() == 1 && watcher.end().is_none()
}

#[tokio::test(start_paused = true)]
async fn the_shards_of_a_deleted_stream_have_no_children_to_come() {
    let watcher = deleted_under_a_subscription(minutes(5)).await;
    let complete = |message: &Message| match message.what {
        What::ShardEnd { complete, .. } => Some(complete),
        _ => None,
    };
    assert_eq!(watcher.messages.iter().filter_map(complete).collect::<Vec<_>>(), [true]);
    assert!(is_told_of(&watcher), "{:?}", watcher.messages);
}

#[tokio::test(start_paused = true)]
async fn patience_does_not_end_before_it_can_be_known_that_a_stream_is_gone() {
    let watcher = deleted_under_a_subscription(seconds(1)).await;
    assert!(is_told_of(&watcher), "{:?}", watcher.messages);
}
