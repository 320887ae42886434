//! `tail` of a whole stream.

use std::time::Duration;

use shardstream::pb::subscribe_response::Event;

use super::*;

const OTHER: &str = "shardId-00000001795428000009-eeeeeeee";

/// Records of a shard; an empty token: none is due.
fn of(shard: &str, ids: &[u32], shard_token: &str, token: &str) -> Push<SubscribeResponse> {
    Push::Message(Box::new(SubscribeResponse {
        records: ids.iter().map(|id| record(*id)).collect(),
        shard_id: shard.into(),
        shard_token: shard_token.into(),
        token: token.into(),
        ..Default::default()
    }))
}

fn told(event: Event, token: &str) -> Push<SubscribeResponse> {
    Push::Message(Box::new(SubscribeResponse {
        event: Some(event),
        token: token.into(),
        ..Default::default()
    }))
}

fn ended(reason: EndReason, token: &str) -> Push<SubscribeResponse> {
    told(Event::End(End { reason: reason.into(), ..Default::default() }), token)
}

fn subscribed(
    streams: impl IntoIterator<Item = Result<Vec<Push<SubscribeResponse>>, Status>>,
) -> ScriptedServer {
    let subscriptions = Mutex::new(streams.into_iter().collect());
    ScriptedServer::start(Script { subscriptions, ..Default::default() })
}

/// Where subscriptions were asked to begin: a position or a token, and the shard tokens beside it.
fn starts(server: &ScriptedServer) -> Vec<(String, Vec<String>)> {
    let start = |request: &SubscribeRequest| {
        let place = match request.start.clone().expect("a place") {
            subscribe_request::Start::Token(token) => token,
            subscribe_request::Start::Position(position) => position
                .iterator_type()
                .as_str_name()
                .trim_start_matches("ITERATOR_TYPE_")
                .to_owned(),
        };
        (place, request.shard_tokens.clone())
    };
    server.script.asked_subscriptions.lock().iter().map(start).collect()
}

fn start(place: &str, shard_tokens: &[&str]) -> (String, Vec<String>) {
    (place.to_owned(), shard_tokens.iter().map(|token| (*token).to_owned()).collect())
}

#[tokio::test]
async fn every_shard_is_followed_with_its_tag_in_front() {
    let open = ShardOpen { shard: Some(shard(OTHER, SHARD, ShardState::Open)) };
    let end = ShardEnd { shard_id: SHARD.into(), ..Default::default() };
    let pushes = || {
        Ok(vec![
            of(SHARD, &[1], "s1", "t1"),
            told(Event::ShardEnd(end.clone()), ""),
            told(Event::ShardOpen(open.clone()), ""),
            of(OTHER, &[2], "o1", ""),
            ended(EndReason::Limit, "t2"),
        ])
    };
    let server = subscribed([pushes()]);
    let ran = run(&server, &["tail", "orders"]).await;
    let lines = "d35d208d 10:00:00 INSERT id=1\neeeeeeee 10:00:00 INSERT id=2\n";
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, lines));
    let talk = format!(
        "following orders, from now on; Ctrl-C stops\nstopped after 2 records\n\
         go on with: shardstream tail orders --from t2 --server {}\n",
        server.url()
    );
    assert_eq!(ran.talk, talk, "shards come and go silently");

    let ran = run(&subscribed([pushes()]), &["tail", "orders", "--verbose"]).await;
    assert_eq!(ran.data, lines);
    let begins = "shard 1795428000009-eeeeeeee begins, a child of 1795428000000-d35d208d\n";
    assert!(
        ran.talk.contains("shard 1795428000000-d35d208d has ended, with 0 children"),
        "{}",
        ran.talk
    );
    assert!(ran.talk.contains(begins), "{}", ran.talk);
}

#[tokio::test]
async fn what_was_asked_for_is_passed_on() {
    let server = subscribed([Ok(vec![ended(EndReason::Limit, "t")])]);
    let args = [
        "tail",
        "orders",
        "--from",
        "2026-11-23T10:00:00Z",
        "--until",
        "2026-11-23T11:00:00Z",
        "-n",
        "7",
        "--exit-at-tip",
        "--order",
        "by-time",
        "--gaps",
        "continue",
        "--unreadable",
        "skip",
    ];
    assert_eq!(run(&server, &args).await.exit, Exit::Ok);
    let asked = server.script.asked_subscriptions.lock()[0].clone();
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let until = Until { record_count: 7, time: at(1_795_431_600), at_tip: true };
    assert_eq!(
        (asked.stream.as_str(), asked.until, asked.order()),
        ("orders", Some(until), RecordOrder::ByTime)
    );
    let position = Position {
        iterator_type: IteratorType::AtTimestamp.into(),
        time: at(1_795_428_000),
        ..Default::default()
    };
    assert_eq!(asked.start, Some(subscribe_request::Start::Position(position)));
    assert_eq!(asked.gap_policy(), GapPolicy::Continue);
    assert_eq!(asked.unreadable_policy(), UnreadablePolicy::Skip);
    assert!(asked.heartbeat_interval.is_some());
}

#[tokio::test]
async fn it_goes_on_with_the_token_and_the_newer_shard_tokens() {
    let broken = || Push::Fail(Status::unavailable("gone"));
    let server = subscribed([
        Ok(vec![
            of(SHARD, &[1], "s1", "t1"),
            of(SHARD, &[2], "s2", ""),
            of(OTHER, &[3], "o3", ""),
            broken(),
        ]),
        Ok(vec![
            of(OTHER, &[4], "o4", ""),
            told(Event::Heartbeat(Heartbeat::default()), "t2"),
            broken(),
        ]),
        Ok(vec![
            of(OTHER, &[5], "o5", ""),
            told(Event::ShardEnd(ShardEnd { shard_id: OTHER.into(), ..Default::default() }), ""),
            broken(),
        ]),
        Ok(vec![of(SHARD, &[6], "s6", ""), ended(EndReason::Draining, "t3"), broken()]),
        Ok(vec![ended(EndReason::Limit, "t4")]),
    ]);
    let ran = run(&server, &["tail", "orders", "--from", "trim-horizon", "-n", "7"]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Ok, 6), "{}", ran.talk);
    let expected = [
        start("TRIM_HORIZON", &[]),
        start("t1", &["s2", "o3"]),
        start("t2", &[]),
        // The shard has ended, and only the next token of the stream will know.
        start("t2", &["o5"]),
        start("t3", &[]),
    ];
    assert_eq!(starts(&server), expected);
    let counts: Vec<i64> = server
        .script
        .asked_subscriptions
        .lock()
        .iter()
        .map(|asked| asked.until.expect("one").record_count)
        .collect();
    assert_eq!(counts, [7, 4, 3, 2, 1]);
    assert!(ran.talk.contains("--from t4"), "{}", ran.talk);
}

#[tokio::test]
async fn a_server_killed_in_mid_stream_loses_and_repeats_nothing() {
    let server =
        subscribed([Ok(vec![of(SHARD, &[1], "s1", "t1"), of(SHARD, &[2], "s2", ""), Push::Hang])]);
    let (address, data, talk) = (server.address, Shared::default(), Shared::default());
    let mut out = Output::to(data.clone(), talk.clone(), Format::Table, None);
    let asked = command(&["tail", "orders"], &server.url());
    let following =
        tokio::spawn(async move { cli::run_on(&asked, &mut out, &CancellationToken::new()).await });
    printed(&data, "id=2").await;
    drop(server);
    printed(&talk, "going on in").await;
    let again = [Ok(vec![of(SHARD, &[3], "s3", ""), ended(EndReason::Limit, "t2")])];
    let script =
        Script { subscriptions: Mutex::new(again.into_iter().collect()), ..Default::default() };
    let server = ScriptedServer::start_at(address, script.into());
    assert_eq!(following.await.expect("no panic"), Exit::Ok);
    let ids: Vec<String> =
        data.text().lines().map(|line| line.split("id=").nth(1).expect("an id").into()).collect();
    assert_eq!(
        (ids, starts(&server)),
        (vec!["1".into(), "2".into(), "3".into()], vec![start("t1", &["s2"])])
    );
}

#[tokio::test]
async fn a_shards_token_follows_its_shard() {
    const TOKEN: &str = "0123456789abcdef";
    let refusal = status(Code::InvalidArgument, "TOKEN_WRONG_KIND");
    let subscriptions = Mutex::new([Err(refusal)].into_iter().collect());
    let pushes = Mutex::new(
        [Ok(vec![records(&[1], "t1"), end(EndReason::Limit, "t1")])].into_iter().collect(),
    );
    let server = ScriptedServer::start(Script { subscriptions, pushes, ..Default::default() });
    let ran = run(&server, &["tail", "orders", "--from", TOKEN]).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, "10:00:00 INSERT id=1\n"), "{}", ran.talk);
    assert_eq!(
        (starts(&server), places(&server)),
        (vec![start(TOKEN, &[])], vec![TOKEN.to_owned()])
    );
    assert!(ran.talk.contains("go on with: shardstream tail orders --from t1 "), "{}", ran.talk);

    let server = subscribed([Ok(vec![ended(EndReason::Limit, "t")])]);
    assert_eq!(run(&server, &["tail", "orders", "--from", TOKEN]).await.exit, Exit::Ok);
    assert_eq!((starts(&server), places(&server).len()), (vec![start(TOKEN, &[])], 0));
}

#[tokio::test]
async fn latest_without_a_token_is_asked_for_once() {
    let beat = told(Event::Heartbeat(Heartbeat::default()), "");
    let server = subscribed([
        Ok(vec![beat, Push::Fail(Status::unavailable("gone"))]),
        Ok(vec![ended(EndReason::Limit, "t")]),
    ]);
    assert_eq!(run(&server, &["tail", "orders"]).await.exit, Exit::Ok);
    assert_eq!(starts(&server), [start("LATEST", &[]), start("AT_TIMESTAMP", &[])]);
}

#[tokio::test]
async fn gaps_are_told_on_stderr_and_end_it_unless_it_is_to_go_on() {
    let gap = |cause: GapCause| {
        let gap = Gap {
            shard_id: OTHER.into(),
            cause: cause.into(),
            certain: true,
            ..Default::default()
        };
        told(Event::Gap(gap), "behind")
    };
    let refused = Push::Fail(status(Code::OutOfRange, "RECORDS_TRIMMED"));
    let failing = vec![
        gap(GapCause::Trimmed),
        gap(GapCause::ShardExpired),
        ended(EndReason::Gap, "behind both"),
        refused,
    ];
    let ran = run(&subscribed([Ok(failing)]), &["tail", "orders", "--from", "trim-horizon"]).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Failure, ""));
    assert_eq!(
        ran.talk.matches("GAP in shard 1795428000009-eeeeeeee: records are gone").count(),
        2,
        "{}",
        ran.talk
    );
    assert!(
        ran.talk.contains("go on with: shardstream tail orders --from 'behind both'"),
        "{}",
        ran.talk
    );

    let going_on = vec![
        gap(GapCause::StreamReplaced),
        of(OTHER, &[9], "o9", "t"),
        ended(EndReason::Limit, "t"),
    ];
    let ran = run(&subscribed([Ok(going_on)]), &["tail", "orders", "--gaps", "continue"]).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, "eeeeeeee 10:00:00 INSERT id=9\n"));
    assert!(ran.talk.contains("AWS no longer has the stream"), "{}", ran.talk);
}

#[tokio::test]
async fn the_end_of_the_stream_is_told() {
    let next = StreamEnd { stream_arn: "arn:old".into(), next_stream_arn: "arn:new".into() };
    let last = StreamEnd { stream_arn: "arn:new".into(), ..Default::default() };
    let pushes = vec![
        of(SHARD, &[1], "s1", "t1"),
        told(Event::StreamEnd(next), "t2"),
        of(OTHER, &[2], "o2", "t3"),
        told(Event::StreamEnd(last), "t4"),
        ended(EndReason::StreamEnd, "t4"),
    ];
    let ran = run(&subscribed([Ok(pushes)]), &["tail", "orders"]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Ok, 2));
    let told = "the stream arn:old is closed and read to its end\ngoing on with arn:new\n\
                the stream arn:new is closed and read to its end\n2 records\n";
    assert!(ran.talk.ends_with(told), "{}", ran.talk);
}

#[tokio::test]
async fn json_is_one_object_a_line_for_records_and_events() {
    let server = subscribed([Ok(vec![
        told(Event::ShardOpen(ShardOpen { shard: Some(shard(SHARD, "", ShardState::Open)) }), ""),
        of(SHARD, &[1, 2], "s2", ""),
        told(Event::Heartbeat(Heartbeat { at_tip: true, ..Default::default() }), "t1"),
        told(Event::Heartbeat(Heartbeat { at_tip: true, ..Default::default() }), "t2"),
        told(
            Event::ShardEnd(ShardEnd {
                shard_id: SHARD.into(),
                complete: true,
                ..Default::default()
            }),
            "",
        ),
        told(Event::StreamEnd(StreamEnd { stream_arn: "arn".into(), ..Default::default() }), "t3"),
        ended(EndReason::StreamEnd, "t3"),
    ])]);
    let ran = run(&server, &["tail", "orders", "--output", "json"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.talk);
    let lines: Vec<serde_json::Value> =
        ran.data.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len(), 6, "{}", ran.data);
    assert_eq!(lines[0]["shard_open"]["shard_id"], SHARD);
    assert_eq!(
        (&lines[1]["meta"]["sequence_number"], lines[1].get("shard_token")),
        (&"1".into(), None)
    );
    assert_eq!((&lines[2]["shard_id"], &lines[2]["shard_token"]), (&SHARD.into(), &"s2".into()));
    // A program has to see the token that covers its records; heartbeats beyond that are no news.
    assert_eq!(lines[3], serde_json::json!({ "heartbeat": { "at_tip": true }, "token": "t1" }));
    assert_eq!(lines[4]["shard_end"]["complete"], true);
    assert_eq!(
        lines[5],
        serde_json::json!({ "stream_end": { "stream_arn": "arn" }, "token": "t3" })
    );
}

#[tokio::test]
async fn a_template_shapes_the_line() {
    let server = subscribed([Ok(vec![of(SHARD, &[1], "s1", "t1"), ended(EndReason::Limit, "t1")])]);
    let ran =
        run(&server, &["tail", "orders", "--format", "{shard}\t{type} {key} #{sequence}"]).await;
    assert_eq!((ran.exit, ran.data), (Exit::Ok, format!("{SHARD}\tINSERT id=1 #1\n")));
}

#[tokio::test]
async fn records_that_the_token_does_not_cover_are_told_at_the_end() {
    let pushes = vec![of(SHARD, &[1], "s1", "t1"), of(SHARD, &[2, 3], "s2", ""), Push::Hang];
    let server = subscribed([Ok(pushes)]);
    let (data, talk, cancel) = (Shared::default(), Shared::default(), CancellationToken::new());
    let run = run_to(&server, &["tail", "orders"], data.clone(), talk.clone(), &cancel);
    let stop = async {
        printed(&data, "id=3").await;
        cancel.cancel();
    };
    let (exit, ()) = tokio::join!(run, stop);
    assert_eq!(exit, Exit::Interrupted);
    let told = format!(
        "stopped after 3 records\ngo on with: shardstream tail orders --from t1 --server {}\n\
         2 records newer than the token will come again\n",
        server.url()
    );
    assert!(talk.text().ends_with(&told), "{}", talk.text());
}

#[tokio::test]
async fn silence_is_not_borne_for_ever() {
    let streams = [
        Ok(vec![of(SHARD, &[1], "s1", "t1"), of(SHARD, &[2], "s2", ""), Push::Hang]),
        Ok(vec![ended(EndReason::Limit, "t2")]),
    ];
    let max_heartbeat = Some(Duration::from_millis(100));
    let subscriptions = Mutex::new(streams.into_iter().collect());
    let server =
        ScriptedServer::start(Script { subscriptions, max_heartbeat, ..Default::default() });
    let ran = run(&server, &["tail", "orders"]).await;
    assert_eq!(
        (ran.exit, starts(&server)),
        (Exit::Ok, vec![start("LATEST", &[]), start("t1", &["s2"])])
    );
}
