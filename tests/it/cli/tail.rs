use std::time::Duration;

use super::*;

fn until_counts(server: &ScriptedServer) -> Vec<i64> {
    server
        .script
        .asked_pushes
        .lock()
        .iter()
        .map(|request| request.until.unwrap_or_default().record_count)
        .collect()
}

#[tokio::test]
async fn follows_one_shard_from_latest() {
    let server = pushing([Ok(vec![records(&[1], "t1"), end(EndReason::Limit, "t2")])]);
    let ran = run(&server, &["tail", "orders", SHARD, "-n", "1"]).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, "10:00:00 INSERT id=1\n"));
    assert!(
        ran.talk
            .starts_with("following 1795428000000-d35d208d of orders, from now on; Ctrl-C stops\n"),
        "{}",
        ran.talk
    );
    assert!(
        ran.talk.contains(&format!("go on with: shardstream tail orders {SHARD} --from t2 ")),
        "{}",
        ran.talk
    );
    assert_eq!((places(&server), until_counts(&server)), (vec!["LATEST".to_owned()], vec![1]));
}

#[tokio::test]
async fn begins_at_a_record_that_is_named_by_its_number() {
    for (from, iterator_type) in [
        ("at:00442", IteratorType::AtSequenceNumber),
        ("after:00442", IteratorType::AfterSequenceNumber),
    ] {
        let server = pushing([Ok(vec![records(&[1], "t1"), end(EndReason::Limit, "t2")])]);
        let ran = run(&server, &["tail", "orders", SHARD, "--from", from]).await;
        assert_eq!(ran.exit, Exit::Ok, "{}", ran.talk);
        let asked = server.script.asked_pushes.lock()[0].source.clone();
        let Some(stream_records_request::Source::Start(ShardStart { start: place, .. })) = asked
        else {
            panic!("{asked:?}")
        };
        let Some(shard_start::Start::Position(position)) = place else { panic!("{place:?}") };
        assert_eq!(
            (position.iterator_type(), position.sequence_number.as_str()),
            (iterator_type, "00442")
        );
        let line = ["shardstream", "tail", "orders", "--from", from];
        let refused = Invocation::parse(line).expect_err("a number is a shard's");
        assert!(refused.to_string().contains("SHARD"), "{refused}");
    }
}

#[tokio::test]
async fn goes_on_from_the_last_token_whatever_breaks() {
    let server = pushing([
        Ok(vec![records(&[1], "t1"), Push::Fail(Status::unavailable("gone"))]),
        Err(status(Code::Unavailable, "UPSTREAM_THROTTLED")),
        Ok(vec![
            records(&[2], "t2"),
            end(EndReason::Draining, "t3"),
            Push::Fail(status(Code::Unavailable, "DRAINING")),
        ]),
        Ok(vec![end(EndReason::MaxAge, "t4"), Push::Fail(Status::unavailable("age"))]),
        Ok(vec![records(&[3], "t5")]),
        Ok(vec![records(&[4], "t6"), end(EndReason::Limit, "t7")]),
    ]);
    let ran = run(&server, &["tail", "orders", SHARD, "--from", "trim-horizon", "-n", "4"]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Ok, 4), "{}", ran.talk);
    assert_eq!(places(&server), ["TRIM_HORIZON", "t1", "t1", "t3", "t4", "t5"]);
    assert_eq!(until_counts(&server), [4, 3, 3, 2, 2, 1]);
    for said in ["not available: gone", "going away", "asks to reconnect", "without a word"] {
        assert!(ran.talk.contains(said), "{said}: {}", ran.talk);
    }
}

#[tokio::test]
async fn a_count_that_is_reached_is_not_asked_for_again() {
    let server = pushing([Ok(vec![records(&[1], "t1"), Push::Fail(Status::unavailable("gone"))])]);
    let ran = run(&server, &["tail", "orders", SHARD, "-n", "1"]).await;
    assert_eq!((ran.exit, ran.data.lines().count(), places(&server).len()), (Exit::Ok, 1, 1));
}

#[tokio::test]
async fn being_stopped_while_the_server_does_not_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let mut out = Output::to(io::sink(), io::sink(), Format::Table, None);
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert_eq!(
        cli::run_on(&command(&["tail", "orders", SHARD], &url), &mut out, &cancel).await,
        Exit::Interrupted
    );
}

#[tokio::test]
async fn latest_without_a_token_is_not_asked_for_twice() {
    let heartbeat = event(Event::Heartbeat(Heartbeat::default()), "");
    let server = pushing([
        Ok(vec![heartbeat, Push::Fail(Status::unavailable("gone"))]),
        Ok(vec![end(EndReason::Limit, "t")]),
    ]);
    assert_eq!(run(&server, &["tail", "orders", SHARD]).await.exit, Exit::Ok);
    assert_eq!(places(&server), ["LATEST", "AT_TIMESTAMP"]);
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let shards = vec![shard(SHARD, "", ShardState::Open)];
    let pushes = [Ok(vec![records(&[1], "t1"), Push::Hang]), Ok(vec![end(EndReason::Limit, "t2")])];
    let max_heartbeat = Some(Duration::from_millis(100));
    let pushes = Mutex::new(pushes.into_iter().collect());
    let server =
        ScriptedServer::start(Script { shards, pushes, max_heartbeat, ..Default::default() });
    let ran = run(&server, &["tail", "orders", SHARD]).await;
    assert_eq!((ran.exit, places(&server)), (Exit::Ok, vec!["LATEST".to_owned(), "t1".to_owned()]));
    assert!(ran.talk.contains("nothing heard of the server"), "{}", ran.talk);
}

#[tokio::test]
async fn survives_a_server_that_is_killed() {
    let server = pushing([Ok(vec![records(&[1], "t1"), Push::Hang])]);
    let (address, data, talk) = (server.address, Shared::default(), Shared::default());
    let mut out = Output::to(data.clone(), talk.clone(), Format::Table, None);
    let asked = command(&["tail", "orders", SHARD], &server.url());
    let following =
        tokio::spawn(async move { cli::run_on(&asked, &mut out, &CancellationToken::new()).await });
    printed(&data, "id=1").await;
    drop(server);
    printed(&talk, "going on in").await;
    let again = [Ok(vec![records(&[2], "t2"), end(EndReason::Limit, "t3")])];
    let script = Script { pushes: Mutex::new(again.into_iter().collect()), ..Default::default() };
    let server = ScriptedServer::start_at(address, script.into());
    assert_eq!(following.await.expect("no panic"), Exit::Ok);
    assert_eq!(data.text(), "10:00:00 INSERT id=1\n10:00:00 INSERT id=2\n");
    assert_eq!(places(&server), ["t1"]);
}

#[tokio::test]
async fn being_stopped_prints_the_token() {
    let server = pushing([Ok(vec![records(&[1], "t1"), Push::Hang])]);
    let (data, talk, cancel) = (Shared::default(), Shared::default(), CancellationToken::new());
    let run = run_to(&server, &["tail", "orders", SHARD], data.clone(), talk.clone(), &cancel);
    let stop = async {
        printed(&data, "id=1").await;
        cancel.cancel();
    };
    let (exit, ()) = tokio::join!(run, stop);
    assert_eq!(exit, Exit::Interrupted);
    let command = format!(
        "go on with: shardstream tail orders {SHARD} --from t1 --server {}\n",
        server.url()
    );
    assert!(talk.text().ends_with(&command), "{}", talk.text());
}

#[tokio::test]
async fn a_gap_is_loud_and_ends_or_does_not() {
    let gap = || {
        let gap = Gap {
            shard_id: SHARD.into(),
            after_sequence_number: "7".into(),
            cause: GapCause::Trimmed.into(),
            certain: true,
            ..Default::default()
        };
        event(Event::Gap(gap), "behind")
    };
    let failing = vec![
        gap(),
        end(EndReason::Gap, "behind"),
        Push::Fail(status(Code::OutOfRange, "RECORDS_TRIMMED")),
    ];
    let ran =
        run(&pushing([Ok(failing)]), &["tail", "orders", SHARD, "--from", "0123456789abcdef"])
            .await;
    assert_eq!(ran.exit, Exit::Failure);
    let told = "GAP in shard 1795428000000-d35d208d: records are gone between 7 and what comes next: AWS trimmed them";
    assert!(ran.talk.contains(told), "{}", ran.talk);
    assert!(
        ran.talk.contains(&format!("go on with: shardstream tail orders {SHARD} --from behind")),
        "{}",
        ran.talk
    );

    let server = pushing([Ok(vec![gap(), records(&[9], "t"), end(EndReason::Limit, "t")])]);
    let ran =
        run(&server, &["tail", "orders", SHARD, "--gaps", "continue", "--output", "json"]).await;
    assert_eq!(ran.exit, Exit::Ok);
    let first = ran.data.lines().next().expect("a line");
    let expected = format!(
        r#"{{"shard_id":"{SHARD}","gap":{{"after_sequence_number":"7","cause":"TRIMMED","certain":true}},"token":"behind"}}"#
    );
    assert_eq!(first, expected);
    assert_eq!(server.script.asked_pushes.lock()[0].gap_policy(), GapPolicy::Continue);
}

#[tokio::test]
async fn unreadable_records_are_named() {
    let bad = Unreadable {
        shard_id: SHARD.into(),
        sequence_number: "8".into(),
        cause: "too deep".into(),
        ..Default::default()
    };
    let skipped = event(Event::Unreadable(bad), "t1");
    let server = pushing([Ok(vec![skipped, end(EndReason::Limit, "t1")])]);
    let ran = run(&server, &["tail", "orders", SHARD, "--unreadable", "skip"]).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, ""));
    assert!(ran.talk.contains("unreadable: the record 8 cannot be read: too deep"), "{}", ran.talk);

    let server = pushing([Ok(vec![
        end(EndReason::Unreadable, "t0"),
        Push::Fail(status(Code::DataLoss, "RECORD_UNREADABLE")),
    ])]);
    let ran = run(&server, &["tail", "orders", SHARD]).await;
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.talk.contains("next: --unreadable skip"), "{}", ran.talk);
}

#[tokio::test]
async fn the_end_of_the_shard_leads_to_its_children() {
    let child = shard("shardId-00000001795428000009-eeeeeeee", SHARD, ShardState::Open);
    let shard_end = ShardEnd { shard_id: SHARD.into(), children: vec![child], complete: false };
    let ending = vec![
        records(&[1], "t1"),
        event(Event::ShardEnd(shard_end), "t2"),
        end(EndReason::ShardEnd, "t2"),
    ];
    let ran = run(&pushing([Ok(ending)]), &["tail", "orders", SHARD]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Ok, 1));
    let told = "\
shard 1795428000000-d35d208d has ended, with 1 child; more may appear, `children` asks again
  shardstream tail orders shardId-00000001795428000009-eeeeeeee --from trim-horizon
";
    assert!(ran.talk.ends_with(told), "{}", ran.talk);
}

#[tokio::test]
async fn heartbeats_tell_of_the_tip_and_of_trouble_once() {
    let beat = |at_tip, error: &str| {
        event(
            Event::Heartbeat(Heartbeat {
                at_tip,
                upstream_error: error.into(),
                ..Default::default()
            }),
            "t",
        )
    };
    let beats = vec![
        beat(true, ""),
        beat(true, ""),
        beat(false, "UPSTREAM_THROTTLED"),
        beat(false, "UPSTREAM_THROTTLED"),
        beat(true, ""),
        end(EndReason::Limit, "t"),
    ];
    let ran = run(&pushing([Ok(beats)]), &["tail", "orders", SHARD]).await;
    assert_eq!(ran.talk.matches("nothing newer is there yet").count(), 1, "{}", ran.talk);
    assert_eq!(ran.talk.matches("cannot read (UPSTREAM_THROTTLED)").count(), 1, "{}", ran.talk);
    assert_eq!(ran.talk.matches("reads again").count(), 1, "{}", ran.talk);
}
