//! Loss that AWS does not tell of, and what a checkpoint may say.

use shardstream::pb;
use tonic::Code;

use crate::support::client::{
    At, Client, at, detail, horizon, hours, indexes, latest, minutes, pass, refused, seconds,
    since, token,
};

const CONTINUE: fn(&mut pb::StreamRecordsRequest) =
    |request| request.set_gap_policy(pb::GapPolicy::Continue);

#[tokio::test(start_paused = true)]
async fn a_token_at_the_horizon_does_not_hide_what_was_trimmed_since() {
    let client = Client::new();
    let session = client.open(Some(horizon())).await.expect("opened");
    client.fake.write(&client.shard, 3);
    pass(hours(25)).await;
    client.fake.write(&client.shard, 2);
    let elsewhere = client.elsewhere();
    let lost =
        refused(elsewhere.read(token(&session.token)).await, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(
        (detail(&lost, "cause"), detail(&lost, "certain")),
        ("TRIMMED".into(), "false".into())
    );
    assert_eq!(
        elsewhere.drain(At::Token(detail(&lost, "token"))).await.0,
        [3, 4],
        "one reconnect goes on"
    );

    let rest = client.elsewhere().live(token(&session.token)).await.rest().await;
    assert_eq!((rest.gap(), rest.end), ((pb::GapCause::Trimmed, false), Some(pb::EndReason::Gap)));
    assert_eq!((rest.records, rest.code), (vec![], Some(Code::OutOfRange)));
    let mut live = client.elsewhere().live_with(token(&session.token), CONTINUE).await;
    assert!(live.news().await.event.is_some(), "the gap first");
    assert_eq!(live.records(2).await.0, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn asking_for_the_horizon_is_no_gap() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    pass(hours(25)).await;
    client.fake.write(&client.shard, 2);
    assert_eq!(client.drain(horizon()).await.0, [3, 4]);
    let lease = client.lease(horizon()).await;
    assert_eq!(client.given(&lease).await, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn records_trimmed_behind_a_number_are_told() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let answer =
        client.read_with(horizon(), |request| request.max_records = 1).await.expect("read");
    pass(hours(25)).await;
    client.fake.write(&client.shard, 2);
    let lost =
        refused(client.read(token(&answer.token)).await, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(client.drain(At::Token(detail(&lost, "token"))).await.0, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_gap_names_the_record_behind_it_where_that_was_read_already() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let first =
        client.read_with(horizon(), |request| request.max_records = 1).await.expect("read").token;
    pass(hours(25)).await;
    client.fake.write(&client.shard, 2);
    let names = async |client: &Client| {
        let mut live = client.live_with(token(&first), CONTINUE).await;
        let told = live.news().await;
        let Some(pb::stream_records_response::Event::Gap(gap)) = told.event else {
            panic!("{told:?}")
        };
        assert_eq!(live.records(2).await.0, [3, 4]);
        assert_eq!(
            client.elsewhere().drain(token(&told.token)).await.0,
            [3, 4],
            "its token stands behind it"
        );
        gap.before_sequence_number
    };
    assert_eq!(names(&client).await, "", "nobody has read what comes behind it");
    assert_eq!(names(&client).await, client.numbers()[3].to_string());
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_asked_for_and_is_trimmed_is_certainly_lost() {
    let client = Client::new();
    client.fake.write(&client.shard, 3);
    let number = client.numbers()[0];
    pass(hours(25)).await;
    client.fake.write(&client.shard, 2);
    let lost = refused(client.open(Some(at(number))).await, Code::OutOfRange, "RECORDS_TRIMMED");
    assert_eq!(detail(&lost, "certain"), "true");
}

#[tokio::test(start_paused = true)]
async fn records_trimmed_under_an_iterator_are_certainly_lost() {
    let client = Client::new();
    client.fake.write(&client.shard, 2);
    let mut live = client.live_with(horizon(), CONTINUE).await;
    live.records(2).await;
    client.fake.behave(&client.shard, |shard| shard.latency = (seconds(1), seconds(1)));
    client.fake.write(&client.shard, 4);
    client.fake.trim_to_newest(&client.shard, 1);
    let Some(pb::stream_records_response::Event::Gap(gap)) = live.news().await.event else {
        panic!("no gap")
    };
    assert!(gap.certain);
    assert_eq!(gap.after_sequence_number, client.numbers()[1].to_string());
    assert_eq!(live.records(1).await.0, [5]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_table_does_not_cry_loss_each_day() {
    // Read seldom: a day is long.
    let client = Client::limited(|limits| limits.reading.idle_poll_interval = seconds(20));
    client.fake.write(&client.shard, 3);
    let mut live = client.live(horizon()).await;
    let (_, mut newest) = live.records(3).await;
    for _ in 0..30 {
        pass(hours(1)).await;
        newest = live.heartbeat().await.1;
    }
    client.fake.write(&client.shard, 2);
    assert_eq!(live.records(2).await.0, [3, 4], "the stream itself goes on");
    let elsewhere = client.elsewhere();
    assert_eq!(
        elsewhere.drain(At::Token(newest)).await.0,
        [3, 4],
        "the number is trimmed, and nothing behind it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_by_time_does_not_hide_what_was_trimmed_since() {
    let client = Client::new();
    pass(seconds(10)).await;
    for start in [latest(), since(client.fake.wall())] {
        let session = client.open(Some(start)).await.expect("opened");
        client.fake.write(&client.shard, 3);
        pass(hours(25)).await;
        client.fake.write(&client.shard, 2);
        let answer = client.elsewhere().read(token(&session.token)).await;
        refused(answer, Code::OutOfRange, "RECORDS_TRIMMED");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_before_the_horizon_is_answered_from_it_and_says_so() {
    let client = Client::old(hours(40));
    client.fake.write(&client.shard, 2);
    let lease = client.lease(latest()).await;
    let early = client.seek(&lease, client.fake.wall().minus(hours(30))).await.expect("found");
    assert!(early.from_horizon);
    assert_eq!(indexes(&early.records), [0, 1]);
    let late = client.seek(&lease, client.fake.wall().minus(minutes(30))).await.expect("found");
    assert!(!late.from_horizon);
}

#[tokio::test(start_paused = true)]
async fn a_token_covers_what_was_sent_and_nothing_else() {
    let client = Client::new();
    client.fake.write(&client.shard, 10);
    let lease = client.lease(horizon()).await;
    let some = client.get_with(&lease, |request| request.max_records = 4).await.expect("read");
    assert_eq!(indexes(&some.records), [0, 1, 2, 3]);
    assert_eq!(client.session(&lease).await.token, some.token);
    assert_eq!(client.elsewhere().drain(At::Token(some.token)).await.0, [4, 5, 6, 7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn every_message_of_a_stream_bears_its_own_place() {
    let client = Client::new();
    client.fake.write(&client.shard, 9);
    let mut live = client.live_with(horizon(), |request| request.max_batch_records = 3).await;
    for first in [0, 3, 6] {
        let (records, token) = live.records(3).await;
        assert_eq!(records, [first, first + 1, first + 2]);
        let behind: Vec<u64> = (first + 3..9).collect();
        assert_eq!(client.elsewhere().drain(At::Token(token)).await.0, behind);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_left_moves_no_session() {
    let client = Client::new();
    client.fake.write(&client.shard, 6);
    let lease = client.lease(horizon()).await;
    let source = Some(pb::stream_records_request::Source::LeaseId(lease.clone()));
    let request = pb::StreamRecordsRequest { source, max_batch_records: 2, ..Default::default() };
    let mut live = client.stream(request).await.expect("a stream");
    assert_eq!(live.records(2).await.0, [0, 1]);
    assert!(client.session(&lease).await.streaming_position.is_some());
    drop(live);
    assert_eq!(client.session(&lease).await.streaming_position, None);
    assert_eq!(
        client.given(&lease).await,
        [0, 1, 2, 3, 4, 5],
        "whatever was under way is not delivered"
    );
}
